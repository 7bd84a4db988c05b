"""Make the image of docs/refinement.md: people of the default model before and after refinement.

. .venv/ros.sh && python demo/refinement.py thunder.onnx
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from clip import find_clip

from pose_ros.config import EstimatorConfig, OverlayConfig, RefinementConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.media.overlay import draw
from pose_ros.refinement.stage import RefinementStage, load_refiner

DOCS = Path(__file__).resolve().parents[1] / "docs"
FRAME = 640
STYLE = OverlayConfig(thickness=0.5)
SHOWN = (slice(190, 350), slice(465, 695))


def main() -> None:
    """Write the image: before on the left, after on the right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="network for one person")
    parser.add_argument("--frame", type=int, default=FRAME, help="number of the frame")
    parser.add_argument("--output", type=Path, default=DOCS / "refinement.jpg", help="image to write")
    options = parser.parse_args()
    video = cv2.VideoCapture(str(find_clip()))
    video.set(cv2.CAP_PROP_POS_FRAMES, options.frame)
    image_bgr = video.read()[1]
    config = replace(EstimatorConfig(), refinement=RefinementConfig(model=str(options.model)))
    estimator = PoseEstimator.load(config=config)
    refiner = load_refiner(config, estimator.skeleton)
    before = estimator.estimate(image_bgr)
    after = RefinementStage.of_single_images(refiner, config.refinement).refine(before, image_bgr)
    panels = [draw(image_bgr, people, estimator.skeleton, STYLE)[SHOWN] for people in (before, after)]
    shown = cv2.resize(np.hstack(panels), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(options.output), shown)


if __name__ == "__main__":
    main()
