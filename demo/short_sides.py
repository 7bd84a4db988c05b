"""Make docs/short_sides.jpg: people who are far away and people who are near, at three short sides.

The upper row shows a part of a frame of the demo clip. The lower row is a small part of the frame, enlarged before the
network sees it, as if the camera was near.

. .venv/ros.sh && python demo/short_sides.py
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
from clip import find_clip

from pose_ros.arrays import Image
from pose_ros.config import EstimatorConfig, OverlayConfig, PreprocessConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.media.overlay import draw
from pose_ros.media.sheet import arrange, write_caption

OUTPUT = Path(__file__).resolve().parents[1] / "docs/short_sides.jpg"
FRAME = 640
SHOWN = (slice(120, 390), slice(110, 470))
NEAR = (slice(376, 532), slice(254, 462))
SHORT_SIDES = (192, 352, 704)
TILE_WH = (400, 300)


def read_frame(number: int) -> Image:
    """Read a frame of the clip."""
    video = cv2.VideoCapture(str(find_clip()))
    video.set(cv2.CAP_PROP_POS_FRAMES, number)
    image: Image = video.read()[1]
    return image


def main() -> None:
    """Write the image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frame", type=int, default=FRAME, help="number of the frame")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="image to write")
    options = parser.parse_args()
    frame = read_frame(options.frame)
    tiles = []
    near = cv2.resize(frame[NEAR], (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_CUBIC)
    for image, shown, thickness in ((frame, SHOWN, 0.5), (near, ..., 1.5)):
        for short_side in SHORT_SIDES:
            config = replace(EstimatorConfig(), preprocess=PreprocessConfig(short_side=short_side))
            estimator = PoseEstimator.load(config=config)
            people = estimator.estimate(image)
            drawn = draw(image, people, estimator.skeleton, OverlayConfig(thickness=thickness))[shown]
            tile = cv2.resize(drawn, TILE_WH, interpolation=cv2.INTER_AREA)
            write_caption(tile, f"short side {short_side} px")
            tiles.append(tile)
    cv2.imwrite(str(options.output), arrange(tiles, len(SHORT_SIDES)), [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    main()
