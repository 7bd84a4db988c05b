"""Measure tag decoding of 17 heatmaps and 17 tags, with one thread.

For the column "10 % completed", one tenth of the keypoints is removed and the decoder searches for them. The times of
the other projects are those of their published decoders on synthetic fields of the same sizes, measured once on another
machine. cv2.dilate (5 x 5) and np.max on the same heatmaps are the references for a comparison of machines.

    python benchmarks/decode_tags.py
"""

from __future__ import annotations

import cv2
import scene_tags
from decode import reference_ms
from measure import median_ms, print_table

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.skeleton import COCO_17

LIMITS_MS = {128: {1: 0.3, 10: 0.5, 30: 1.2}, 512: {1: 3.0, 10: 4.0, 30: 6.0}}
OTHER_PROJECTS_MS = {
    128: {1: "5.7 / 8.6 / 9.3", 10: "8.3 / 14 / 20", 30: "14 / 32 / 95"},
    512: {1: "- / 143 / 168", 10: "- / 175 / 228", 30: "- / 245 / 1016"},
}
SPEC = ModelSpec("benchmark", COCO_17, stride=4)


def decode_ms(fields: Fields, people: int, repeats: int, **config: bool) -> float:
    """Measure the time per decode, ms. The decoder must find all people."""
    decoder = make_decoder(SPEC, "tag", DecoderConfig(**config))
    if len(decoder(fields)) != people:
        raise RuntimeError(f"people: expected {people}, got {len(decoder(fields))}; the time is not valid")
    return median_ms(lambda: decoder(fields), repeats)


def make_row(side: int, people: int) -> tuple[str, ...]:
    """Measure one row of the table."""
    sigma = 2.0 if side == 128 else 4.0
    fields, _ = scene_tags.fields(people, (side, side), sigma)
    incomplete, _ = scene_tags.fields(people, (side, side), sigma, missing=0.1)
    repeats = 300 if side == 128 else 60
    ours = decode_ms(fields, people, repeats)
    completed = decode_ms(incomplete, people, repeats, complete=True)
    dilate, read = reference_ms(fields.heatmaps, repeats)
    limit, others = LIMITS_MS[side][people], OTHER_PROJECTS_MS[side][people]
    ratios = f"{ours / dilate:.2f}", f"{ours / read:.1f}"
    return f"{side}²", f"{people}", f"{ours:.3f}", f"{limit:.1f}", f"{completed:.3f}", others, *ratios


def main() -> None:
    """Measure and print the table."""
    cv2.setNumThreads(1)
    rows = [make_row(side, people) for side, limits in LIMITS_MS.items() for people in limits]
    others = "OMZ / mmpose / HigherHRNet, ms"
    columns = ("field", "people", "ms", "limit", "10 % completed", others, "of cv2.dilate", "of np.max")
    print_table("Tag decode, 17 keypoints, one thread, medians", columns, rows)


if __name__ == "__main__":
    main()
