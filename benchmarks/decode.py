"""Measure PAF decoding of [18 + background, 92, 164] heatmaps and 38 PAF channels, with one thread.

The comparison is the same algorithm in NumPy. The library uses it when numba is missing. Both run on the same arrays
in the same minute. Two references on the same heatmaps allow a comparison of machines: cv2.dilate (5 x 5), which other
decoders use to find peaks, and np.max, which reads every value once.

    python benchmarks/decode.py
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import scene
from measure import median_ms, print_table

from pose_ros.arrays import FloatArray
from pose_ros.decoder import make_decoder
from pose_ros.fields import ModelSpec
from pose_ros.skeleton import OPENPOSE_18

LIMITS_MS = {1: 0.20, 5: 0.25, 20: 0.50, 50: 1.60}
PLAIN = "--plain"
WITHOUT_NUMBA = "import runpy, sys; sys.modules['numba'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


def times(repeats: int) -> dict[str, float]:
    """Measure the time per decode, ms, by number of people."""
    decoder = make_decoder(ModelSpec("benchmark", OPENPOSE_18, stride=4), "paf")
    results = {}
    for people in LIMITS_MS:
        fields, _ = scene.fields(people)
        found = len(decoder(fields))
        if found != people:
            raise RuntimeError(f"people: expected {people}, got {found}; the time is not valid")
        results[str(people)] = median_ms(lambda fields=fields: decoder(fields), repeats)
    return results


def reference_ms(heatmaps: FloatArray, repeats: int = 200) -> tuple[float, float]:
    """Measure cv2.dilate (5 x 5) and np.max on heatmaps (K, H, W), ms. All benchmarks of decoders use them."""
    maps, kernel = np.ascontiguousarray(heatmaps), np.ones((5, 5))
    dilate = median_ms(lambda: [cv2.dilate(each, kernel) for each in maps], repeats)
    return dilate, median_ms(lambda: np.max(maps), repeats)


def main() -> None:
    """Measure both and print the table."""
    cv2.setNumThreads(1)
    if PLAIN in sys.argv:
        print(json.dumps(times(repeats=20)))
        return
    ours = times(repeats=300)
    command = [sys.executable, "-c", WITHOUT_NUMBA, __file__, PLAIN]
    plain = json.loads(subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parent).stdout)
    dilate, read = reference_ms(scene.fields(20)[0].heatmaps[:18])
    rows = [
        (
            n,
            f"{ours[n]:.3f}",
            f"{LIMITS_MS[int(n)]:.2f}",
            f"{plain[n]:.2f}",
            f"{plain[n] / ours[n]:.0f} x",
            f"{ours[n] / dilate:.2f}",
            f"{ours[n] / read:.1f}",
        )
        for n in ours
    ]
    references = (f"of cv2.dilate ({dilate:.3f} ms)", f"of np.max ({read:.3f} ms)")
    columns = ("people", "pose_ros, ms", "limit, ms", "NumPy, ms", "ratio", *references)
    print_table("PAF decode, 92 x 164, one thread, medians", columns, rows)


if __name__ == "__main__":
    main()
