"""Makes the pictures of docs/decoding.md: what the default model says of a moment of the clip, and what becomes of it.

. .venv/ros.sh && python demo/decoding.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from clip import find_clip

from pose_ros.config import DecoderConfig
from pose_ros.decoder import make_decoder
from pose_ros.estimator import PoseEstimator
from pose_ros.fields import Fields
from pose_ros.media.panels import panels
from pose_ros.preprocess import Preprocessor

DOCS = Path(__file__).resolve().parents[1] / "docs"
FRAME = 640
CROP = (slice(176, 576), slice(270, 770))
SHOWN = {"paf": ("heatmaps", "pafs"), "tag": ("heatmaps", "tags")}


def main() -> None:
    """Write docs/decoding_paf.jpg and docs/decoding_tag.jpg."""
    video = cv2.VideoCapture(str(find_clip()))
    video.set(cv2.CAP_PROP_POS_FRAMES, FRAME)
    photo = video.read()[1][CROP]
    estimator = PoseEstimator.load()
    spec, config = estimator.spec, DecoderConfig(min_person_score=0.15)
    tensor, _ = Preprocessor(spec.input, estimator.config.preprocess)(photo)
    fields = spec.fields(estimator.runner.run({spec.input.tensor: tensor}))
    for grouping, names in SHOWN.items():
        chosen = Fields(**{name: getattr(fields, name) for name in names})
        people = make_decoder(spec, grouping, config)(chosen)
        background = np.ascontiguousarray(tensor[0, ..., ::-1])
        picture = panels(chosen, people, spec, config, background)
        smaller = cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(DOCS / f"decoding_{grouping}.jpg"), smaller, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
