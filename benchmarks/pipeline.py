"""Measure the time from image to people, relative to the network alone in the same runtime. Both run in turns.

python benchmarks/pipeline.py [IMAGE]        default: a frame of the demo clip, or noise if the clip is missing
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import resnet
from measure import print_table

from pose_ros.estimator import PoseEstimator
from pose_ros.files import user_cache
from pose_ros.preprocess import fit

LIMITS = {"default": 1.25, "resnet18": 1.10}


def load_image() -> tuple[np.ndarray, str]:
    """Return a 640 x 480 image and its name."""
    clip = user_cache() / "vtest.avi"
    if len(sys.argv) > 1:
        image, name = cv2.imread(sys.argv[1]), Path(sys.argv[1]).name
    elif clip.is_file():
        video = cv2.VideoCapture(str(clip))
        video.set(cv2.CAP_PROP_POS_FRAMES, 300)
        image, name = video.read()[1], "frame 300 of vtest.avi"
    else:
        image, name = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8), "noise"
    if image is None:
        raise SystemExit(f"image: expected an image file, got {name}")
    return cv2.resize(image, (640, 480)), name


def compare(estimator: PoseEstimator, image: np.ndarray, repeats: int) -> tuple[float, float, float, int]:
    """Return the median times of the network and of the whole, ms, their median ratio, and the number of people."""
    transform = fit((image.shape[1], image.shape[0]), estimator.spec.input, estimator.config.preprocess)
    tensor = np.zeros((1, transform.input_wh[1], transform.input_wh[0], 3), np.uint8)
    tensor[0, : transform.scaled_wh[1], : transform.scaled_wh[0]] = cv2.resize(image, transform.scaled_wh)
    feeds, network, whole = {estimator.spec.input.tensor: tensor}, [], []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        estimator.runner.run(feeds)
        middle = time.perf_counter()
        people = estimator.estimate(image)
        network.append(1e3 * (middle - start))
        whole.append(1e3 * (time.perf_counter() - middle))
    network, whole = network[3:], whole[3:]
    ratio = statistics.median(w / n for w, n in zip(whole, network, strict=True))
    return statistics.median(network), statistics.median(whole), ratio, len(people)


def main() -> None:
    """Measure both models and print the table."""
    image, name = load_image()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet18.onnx"
        spec = resnet.write(path, (320, 256))
        estimators = {"default": PoseEstimator.load(), "resnet18": PoseEstimator.load(path, spec=spec)}
        rows = []
        for model, estimator in estimators.items():
            network, whole, ratio, people = compare(estimator, image, repeats=100 if model == "default" else 30)
            cells = (f"{network:.2f}", f"{whole:.2f}", f"{ratio:.3f}", f"{LIMITS[model]:.2f}", str(people))
            rows.append((model, *cells))
    columns = ("model", "network, ms", "image to people, ms", "ratio", "limit", "people")
    print_table(f"Image to people, 640 x 480, {name}", columns, rows)


if __name__ == "__main__":
    main()
