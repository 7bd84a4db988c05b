"""Make the images of docs/decoding.md: fields, peaks and people of the default model in one frame of the demo clip.

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
from pose_ros.media.panels import draw_panels
from pose_ros.preprocess import Preprocessor

DOCS = Path(__file__).resolve().parents[1] / "docs"
FRAME = 640
CROP = (slice(176, 576), slice(270, 770))
FIELDS_OF_GROUPING = {"paf": ("heatmaps", "pafs"), "tag": ("heatmaps", "tags")}


def main() -> None:
    """Write docs/decoding_paf.jpg and docs/decoding_tag.jpg."""
    video = cv2.VideoCapture(str(find_clip()))
    video.set(cv2.CAP_PROP_POS_FRAMES, FRAME)
    image_bgr = video.read()[1][CROP]
    estimator = PoseEstimator.load()
    spec, config = estimator.spec, DecoderConfig(min_person_score=0.15)
    tensor, _ = Preprocessor(spec.input, estimator.config.preprocess)(image_bgr)
    fields = spec.fields(estimator.runner.run({spec.input.tensor: tensor}))
    for grouping, names in FIELDS_OF_GROUPING.items():
        chosen = Fields(**{name: getattr(fields, name) for name in names})
        people = make_decoder(spec, grouping, config)(chosen)
        background = np.ascontiguousarray(tensor[0, ..., ::-1])
        image = draw_panels(chosen, people, spec, config, background)
        small_image = cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(DOCS / f"decoding_{grouping}.jpg"), small_image, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
