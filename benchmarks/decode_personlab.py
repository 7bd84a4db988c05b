"""PersonLab decoding of 31 x 41 fields (641 x 481 px at stride 16), 17 keypoints, one thread.

The limits are the times of the authors' own C++ (libcoral) on fields of this size. The yardstick (cv2.dilate, 5 x 5,
on the same heatmaps) lets machines be compared.

    python benchmarks/decode_personlab.py
"""

from __future__ import annotations

import cv2
import numpy as np
import scene_personlab
from measure import median_ms, show

from pose_ros.decoder import make_decoder
from pose_ros.fields import ModelSpec

LIMITS_MS = {1: 0.05, 10: 0.08, 30: 0.23}


def times(repeats: int) -> dict[int, float]:
    """Milliseconds per decode, by number of people."""
    decoder = make_decoder(ModelSpec("benchmark", scene_personlab.POSENET_17, stride=16), "personlab")
    results = {}
    for people in LIMITS_MS:
        fields, _ = scene_personlab.fields(people)
        found = len(decoder(fields))
        if found != people:
            raise RuntimeError(f"people: expected {people}, got {found}: the figure would mean nothing")
        results[people] = median_ms(lambda fields=fields: decoder(fields), repeats)
    return results


def yardstick_ms() -> float:
    """cv2.dilate of the same heatmaps."""
    heatmaps, kernel = scene_personlab.fields(10)[0].heatmaps, np.ones((5, 5))
    return median_ms(lambda: [cv2.dilate(heatmap, kernel) for heatmap in heatmaps])


def main() -> None:
    """Measure and print the table."""
    cv2.setNumThreads(1)
    ours, yard = times(repeats=500), yardstick_ms()
    rows = [(str(n), f"{ours[n]:.3f}", f"{LIMITS_MS[n]:.2f}", f"{ours[n] / yard:.2f}") for n in ours]
    columns = ("people", "pose_ros, ms", "limit, ms", f"of cv2.dilate ({yard:.3f} ms)")
    show("PersonLab decode, 31 x 41, one thread, medians", columns, rows)


if __name__ == "__main__":
    main()
