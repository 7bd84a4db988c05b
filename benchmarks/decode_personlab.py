"""Measure PersonLab decoding of 31 x 41 fields (641 x 481 px at stride 16) of 17 keypoints, with one thread.

The limits are the times of the C++ decoder of the authors (libcoral) on fields of this size. cv2.dilate (5 x 5) and
np.max on the same heatmaps are the references for a comparison of machines.

    python benchmarks/decode_personlab.py
"""

from __future__ import annotations

import cv2
import scene_personlab
from decode import reference_ms
from measure import median_ms, print_table

from pose_ros.decoder import make_decoder
from pose_ros.fields import ModelSpec

LIMITS_MS = {1: 0.05, 10: 0.08, 30: 0.23}


def times(repeats: int) -> dict[int, float]:
    """Measure the time per decode, ms, by number of people."""
    decoder = make_decoder(ModelSpec("benchmark", scene_personlab.POSENET_17, stride=16), "personlab")
    results = {}
    for people in LIMITS_MS:
        fields, _ = scene_personlab.fields(people)
        found = len(decoder(fields))
        if found != people:
            raise RuntimeError(f"people: expected {people}, got {found}; the time is not valid")
        results[people] = median_ms(lambda fields=fields: decoder(fields), repeats)
    return results


def main() -> None:
    """Measure and print the table."""
    cv2.setNumThreads(1)
    ours, (dilate, read) = times(repeats=500), reference_ms(scene_personlab.fields(10)[0].heatmaps)
    rows = [
        (str(n), f"{ours[n]:.3f}", f"{LIMITS_MS[n]:.2f}", f"{ours[n] / dilate:.2f}", f"{ours[n] / read:.1f}")
        for n in ours
    ]
    references = (f"of cv2.dilate ({dilate:.3f} ms)", f"of np.max ({read:.3f} ms)")
    columns = ("people", "pose_ros, ms", "limit, ms", *references)
    print_table("PersonLab decode, 31 x 41, one thread, medians", columns, rows)


if __name__ == "__main__":
    main()
