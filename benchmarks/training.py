"""Measure training of the default network at 320 x 320 px: images/s of the loader and of the training step.

The loader reads JPEGs of 640 x 480 px, augments them and draws their targets, as in a real run. If the loader is faster
than the step, it is no bottleneck. The ratio of both shows how many workers a machine needs.

    python benchmarks/training.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import torch
from measure import print_table

from pose_ros.config_file import build_config
from pose_ros.datasets.augment import Augmentation, AugmentConfig, TrainingStream
from pose_ros.datasets.images import AnnotatedImage, ImageSet, Mixture
from pose_ros.datasets.synthetic.scene import SyntheticImages
from pose_ros.network import zoo
from pose_ros.training.config import LoaderConfig, TrainingConfig
from pose_ros.training.learner import Learner
from pose_ros.training.loader import Positions, make_loader
from pose_ros.training.losses.fields import FieldsLoss
from pose_ros.training.parallel import join_processes
from pose_ros.training.run_inputs import make_examples

NETWORK, SIDE, BATCH, IMAGES = "pose_ros_mobilenet_v1_075", 320, 16, 24


def write_images(folder: Path, skeleton: Any) -> ImageSet:
    """Write synthetic people as JPEG files. Returns the image set."""
    images = []
    for number, sample in enumerate(SyntheticImages(skeleton, IMAGES, (640, 480))):
        file = folder / f"{number}.jpg"
        cv2.imwrite(str(file), sample.image_bgr)
        images.append(AnnotatedImage(file, sample.keypoints, sample.states, sample.boxes))
    return ImageSet("benchmark", skeleton, images)


def images_per_s(items: Iterator[Any], steps: int, warm_up: int) -> float:
    """Measure images per second of an iterator of batches."""
    list(islice(items, warm_up))
    start = time.perf_counter()
    list(islice(items, steps))
    return steps * BATCH / (time.perf_counter() - start)


def loader_rate(examples: Any, workers: int, steps: int = 30) -> float:
    """Measure images per second of the loader alone."""
    warm_up = 2 + 4 * workers  # skips the batches that are ready before the measurement starts
    positions = Positions(0, warm_up + steps + 4 * workers, BATCH)
    return images_per_s(iter(make_loader(examples, positions, LoaderConfig(workers))), steps, warm_up)


def step_rate(batch: Any, precision: str) -> tuple[str, float]:
    """Measure the training step on one repeated batch. Returns the device and images per second."""
    data = {"network": NETWORK, "output": ".", "data": [{}], "steps": 1000, "precision": precision}
    config = build_config(TrainingConfig, data, "")
    with join_processes() as world:
        learner = Learner(zoo.build(NETWORK), FieldsLoss(config.loss), config, 1000, world)
        steps = 100 if world.device.type == "cuda" else 6
        results = (learner.step(step, iter([batch])) for step in range(1000))
        return world.device.type, images_per_s(results, steps, warm_up=steps // 3)


def main() -> None:
    """Measure and print the table."""
    network = zoo.build(NETWORK)
    with tempfile.TemporaryDirectory() as folder:
        mixture = Mixture([write_images(Path(folder), network.spec.skeleton)], [1.0])
        stream = TrainingStream(mixture, Augmentation(AugmentConfig(), network.spec.skeleton), (SIDE, SIDE))
        config = build_config(TrainingConfig, {"network": NETWORK, "output": ".", "data": [{}], "steps": 1}, "")
        examples = make_examples(stream, len(mixture), network.spec, config.targets)
        loaders = {workers: loader_rate(examples, workers) for workers in (1, 2)}
        batch = next(iter(make_loader(examples, Positions(0, 1, BATCH), LoaderConfig(0))))
    steps = {precision: step_rate(batch, precision) for precision in ("fp32", "bf16")}
    fastest = max(speed for _, speed in steps.values())
    rows = [(f"loader, {n} workers", f"{speed:.0f}", f"{speed / fastest:.1f} x") for n, speed in loaders.items()]
    rows += [(f"step, {name} on {device}", f"{speed:.1f}", "") for name, (device, speed) in steps.items()]
    title = f"Training, {SIDE} x {SIDE} px, batches of {BATCH}, {torch.get_num_threads()} torch threads"
    print_table(title, ("part", "images/s", "relative to the faster step"), rows)


if __name__ == "__main__":
    main()
