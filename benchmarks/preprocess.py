"""Measure the conversion of an image to the input of a network, relative to one copy of the image.

All figures are CPU time of one thread, so that other programs on the machine change them less.
"""

from __future__ import annotations

import cv2
import numpy as np
from measure import measure_in_turns, print_table

from pose_ros.config import PreprocessConfig
from pose_ros.fields import InputSpec
from pose_ros.preprocess import Preprocessor, fit
from pose_ros.ros.node.freed_memory import keep_freed_memory

SHORT_SIDE = 352
MEAN, STD = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)
INPUTS = {
    "uint8, RGB (the default model)": InputSpec(short_side=SHORT_SIDE),
    "float32, NHWC": InputSpec(short_side=SHORT_SIDE, dtype="float32", mean=MEAN, std=STD),
    "float32, NCHW": InputSpec(short_side=SHORT_SIDE, dtype="float32", mean=MEAN, std=STD, layout="NCHW"),
}
LIMITS_MS = {(640, 480): "", (1280, 720): "0.6", (1920, 1080): "1.0"}
REPEATS = 150


def resize(image: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Scale with OpenCV alone, in the way of the library: the cost that it cannot avoid."""
    while image.shape[1] >= 2 * size_wh[0] and image.shape[0] >= 2 * size_wh[1]:
        image = cv2.resize(image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR)


def main() -> None:
    """Print one table with a row per image size and network input."""
    keep_freed_memory()  # as the node does
    cv2.setNumThreads(1)
    rows = []
    for (width, height), limit in LIMITS_MS.items():
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        for name, spec in INPUTS.items():
            preprocess = Preprocessor(spec, PreprocessConfig())
            size_wh = fit((width, height), spec, PreprocessConfig()).scaled_wh
            ms = measure_in_turns(
                {
                    "copy": image.copy,
                    "resize": lambda size_wh=size_wh, image=image: resize(image, size_wh),
                    "rgb": lambda preprocess=preprocess, image=image: preprocess(image, "rgb"),
                    "bgr": lambda preprocess=preprocess, image=image: preprocess(image, "bgr"),
                },
                REPEATS,
            )
            ratios = ms["rgb"] / ms["copy"], ms["rgb"] / ms["resize"], ms["bgr"] / ms["rgb"]
            cells = (*(f"{ratio:.2f}" for ratio in ratios), f"{ms['rgb']:.2f}", limit if "uint8" in name else "")
            rows.append((f"{width} × {height}", name, *cells))
    columns = ("image", "input", "/ one copy", "/ bare cv2.resize", "bgr8 / rgb8", "rgb8, ms", "limit, ms")
    print_table("Image to network input, 10th percentile of the CPU time", columns, rows)


if __name__ == "__main__":
    main()
