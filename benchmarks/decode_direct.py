"""Measure the decoder of networks that output people, on 8400 anchors of 56 channels, with one thread.

YOLO-pose has such outputs for an image of 640 x 640. Each person appears in 12 anchors. In noise, every anchor is a
person. cv2.dilate (5 x 5) and np.max on 17 maps of 160 x 160 are the references for a comparison of machines.

    python benchmarks/decode_direct.py
"""

from __future__ import annotations

import cv2
import numpy as np
from decode import reference_ms
from measure import median_ms, print_table

from pose_ros.arrays import FloatArray
from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, ModelSpec, PeopleSpec
from pose_ros.skeleton import COCO_17

ANCHORS, ROWS_PER_PERSON = 8400, 12
LIMITS_MS = {1: 0.2, 10: 0.4, 30: 1.0}
SPEC = ModelSpec("benchmark", COCO_17, stride=1, score_threshold=0.25, people=PeopleSpec(box="centre"))


def make_rows(people: int) -> FloatArray:
    """Make the output (56, ANCHORS) of a network for a crowd."""
    random = np.random.default_rng(people)
    rows = np.zeros((ANCHORS, 56), np.float32)
    places = random.choice(ANCHORS, (people, ROWS_PER_PERSON), replace=False)
    for n, anchors in enumerate(places):
        corner = np.array([100 * (n % 6), 120 * (n // 6)])
        xy = corner + random.uniform([0, 0], [60, 110], (17, 2))
        noisy = np.concatenate([xy + random.normal(0, 0.5, (len(anchors), 17, 2)), np.full((12, 17, 1), 0.9)], axis=2)
        rows[anchors, :4] = [corner[0] + 30, corner[1] + 55, 60, 110]
        rows[anchors, 4] = random.uniform(0.3, 0.95, len(anchors))
        rows[anchors, 5:] = noisy.reshape(len(anchors), 51)
    return np.ascontiguousarray(rows.T)


def make_noise() -> FloatArray:
    """Make an output in which every number is random."""
    random = np.random.default_rng(0)
    rows = random.uniform(0, 640, (56, ANCHORS)).astype(np.float32)
    rows[4] = random.random(ANCHORS)
    rows[7::3] = random.random((17, ANCHORS))
    return rows


def to_fields(rows: FloatArray) -> Fields:
    """Return the fields of an output (56, A)."""
    return Fields(boxes=rows[:4], person_scores=rows[4:5], people=rows[5:])


def main() -> None:
    """Measure and print the table."""
    cv2.setNumThreads(1)
    dilate, read = reference_ms(np.random.default_rng(0).random((17, 160, 160), np.float32))
    decode, table = make_decoder(SPEC, "direct"), []
    for people, limit in LIMITS_MS.items():
        fields = to_fields(make_rows(people))
        if len(decode(fields)) != people:
            raise RuntimeError(f"people: expected {people}, got {len(decode(fields))}; the time is not valid")
        ms = median_ms(lambda fields=fields: decode(fields))
        table.append((f"{people}", f"{ms:.3f}", f"{limit:.1f}", f"{ms / dilate:.2f}", f"{ms / read:.1f}"))
    noise = to_fields(make_noise())
    ms = median_ms(lambda: decode(noise), 20)
    table.append((f"noise, {len(decode(noise))} found", f"{ms:.3f}", "50", f"{ms / dilate:.2f}", f"{ms / read:.1f}"))
    print_table(
        "People of 8400 anchors, one thread, medians", ("people", "ms", "limit", "of cv2.dilate", "of np.max"), table
    )


if __name__ == "__main__":
    main()
