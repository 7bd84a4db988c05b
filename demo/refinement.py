"""Make the images of docs/refinement.md: people of the default model before and after refinement.

The second image shows the frame turned by 90 degrees, with upright crops and with crops turned by the torso.

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
SHOWN_TURNED = (slice(300, 560), slice(30, 350))


def main() -> None:
    """Write the images: before on the left, after on the right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="network for one person")
    parser.add_argument("--frame", type=int, default=FRAME, help="number of the frame")
    parser.add_argument("--output", type=Path, default=DOCS / "refinement.jpg", help="image to write")
    parser.add_argument(
        "--turned", type=Path, default=DOCS / "refinement_rotate.jpg", help="image of the turned frame to write"
    )
    options = parser.parse_args()
    video = cv2.VideoCapture(str(find_clip()))
    video.set(cv2.CAP_PROP_POS_FRAMES, options.frame)
    image_bgr = video.read()[1]
    config = replace(EstimatorConfig(), refinement=RefinementConfig(model=str(options.model)))
    estimator = PoseEstimator.load(config=config)
    refiner = load_refiner(config, estimator.skeleton)
    turned = np.ascontiguousarray(np.rot90(image_bgr, -1))
    for image, shown, rotations, output in (
        (image_bgr, SHOWN, (False,), options.output),
        (turned, SHOWN_TURNED, (False, True), options.turned),
    ):
        before = estimator.estimate(image)
        stages = [
            RefinementStage.of_single_images(refiner, replace(config.refinement, rotate=rotate)) for rotate in rotations
        ]
        results = [before, *(stage.refine(before, image) for stage in stages)]
        panels = [draw(image, people, estimator.skeleton, STYLE)[shown] for people in results]
        cv2.imwrite(str(output), cv2.resize(np.hstack(panels), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))


if __name__ == "__main__":
    main()
