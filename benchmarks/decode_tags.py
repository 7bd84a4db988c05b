"""Tag decoding of 17 heatmaps and 17 tags, one thread.

For the column "10 % completed" a tenth of the keypoints is taken away and looked for. The peers' figures are those of
their published decoders on synthetic fields of the same sizes, measured once on another machine. The yardstick
(cv2.dilate, 5 x 5, on the same heatmaps) lets machines be compared.

    python benchmarks/decode_tags.py
"""

from __future__ import annotations

import cv2
import numpy as np
import scene_tags
from measure import median_ms, show

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.fields import Fields, ModelSpec
from pose_ros.skeleton import COCO_17

LIMITS_MS = {128: {1: 0.3, 10: 0.5, 30: 1.2}, 512: {1: 3.0, 10: 4.0, 30: 6.0}}
PEERS = {
    128: {1: "5.7 / 8.6 / 9.3", 10: "8.3 / 14 / 20", 30: "14 / 32 / 95"},
    512: {1: "- / 143 / 168", 10: "- / 175 / 228", 30: "- / 245 / 1016"},
}
SPEC = ModelSpec("benchmark", COCO_17, stride=4)


def time_ms(fields: Fields, people: int, repeats: int, **config: bool) -> float:
    """Milliseconds per decode; all people must be found."""
    decoder = make_decoder(SPEC, "tag", DecoderConfig(**config))
    if len(decoder(fields)) != people:
        raise RuntimeError(f"people: expected {people}, got {len(decoder(fields))}: the figure would mean nothing")
    return median_ms(lambda: decoder(fields), repeats)


def row(side: int, people: int) -> tuple[str, ...]:
    """One row of the table."""
    sigma = 2.0 if side == 128 else 4.0
    fields, _ = scene_tags.fields(people, (side, side), sigma)
    gappy, _ = scene_tags.fields(people, (side, side), sigma, missing=0.1)
    repeats, kernel = (300 if side == 128 else 60), np.ones((5, 5))
    ours = time_ms(fields, people, repeats)
    completed = time_ms(gappy, people, repeats, complete=True)
    yard = median_ms(lambda: [cv2.dilate(heatmap, kernel) for heatmap in fields.heatmaps], repeats)
    limit, peers = LIMITS_MS[side][people], PEERS[side][people]
    return f"{side}²", f"{people}", f"{ours:.3f}", f"{limit:.1f}", f"{completed:.3f}", peers, f"{ours / yard:.2f}"


def main() -> None:
    """Measure, print the table."""
    cv2.setNumThreads(1)
    rows = [row(side, people) for side, limits in LIMITS_MS.items() for people in limits]
    columns = ("field", "people", "ms", "limit", "10 % completed", "OMZ / mmpose / HigherHRNet", "of dilate")
    show("Tag decode, 17 keypoints, one thread, medians", columns, rows)


if __name__ == "__main__":
    main()
