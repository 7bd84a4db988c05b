"""Training of the default network at 320 x 320 px: images/s of the loader, by its processes, and of the step.

The loader reads JPEGs of 640 x 480 px, augments them and draws their targets: what a worker does in a real run. It is
no bottleneck where its rate is above that of the step; their ratio says how many workers a machine needs.

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
from measure import show

from pose_ros.config_file import built
from pose_ros.datasets.augment import Augmentation, AugmentConfig, TrainingStream
from pose_ros.datasets.images import AnnotatedImage, ImageSet, Mixture
from pose_ros.datasets.synthetic.scene import SyntheticImages
from pose_ros.network import zoo
from pose_ros.training.config import LoaderConfig, TrainingConfig
from pose_ros.training.learner import Learner
from pose_ros.training.loader import Positions, make_loader
from pose_ros.training.losses.fields import FieldsLoss
from pose_ros.training.parallel import joined
from pose_ros.training.run_inputs import examples

NETWORK, SIDE, BATCH, PICTURES = "pose_ros_mobilenet_v1_075", 320, 16, 24


def pictures(folder: Path, skeleton: Any) -> ImageSet:
    """JPEGs of synthetic people."""
    listed = []
    for number, sample in enumerate(SyntheticImages(skeleton, PICTURES, (640, 480))):
        file = folder / f"{number}.jpg"
        cv2.imwrite(str(file), sample.image_bgr)
        listed.append(AnnotatedImage(file, sample.keypoints, sample.states, sample.boxes))
    return ImageSet("benchmark", skeleton, listed)


def rate(items: Iterator[Any], steps: int, warm_up: int) -> float:
    """Images per second of batches."""
    list(islice(items, warm_up))
    start = time.perf_counter()
    list(islice(items, steps))
    return steps * BATCH / (time.perf_counter() - start)


def loader_rate(taught: Any, workers: int, steps: int = 30) -> float:
    """Images per second of the loader alone."""
    warm_up = 2 + 4 * workers  # what is ready beforehand does not count
    positions = Positions(0, warm_up + steps + 4 * workers, BATCH)
    return rate(iter(make_loader(taught, positions, LoaderConfig(workers))), steps, warm_up)


def step_rate(batch: Any, precision: str) -> tuple[str, float]:
    """The device, and images per second of forward, loss, backward and optimiser, on one batch again and again."""
    data = {"network": NETWORK, "output": ".", "data": [{}], "steps": 1000, "precision": precision}
    config = built(TrainingConfig, data, "")
    with joined() as world:
        learner = Learner(zoo.build(NETWORK), FieldsLoss(config.loss), config, 1000, world)
        steps = 100 if world.device.type == "cuda" else 6
        taken = (learner.step(step, iter([batch])) for step in range(1000))
        return world.device.type, rate(taken, steps, warm_up=steps // 3)


def main() -> None:
    """Measure, print the table."""
    network = zoo.build(NETWORK)
    with tempfile.TemporaryDirectory() as folder:
        mixture = Mixture([pictures(Path(folder), network.spec.skeleton)], [1.0])
        stream = TrainingStream(mixture, Augmentation(AugmentConfig(), network.spec.skeleton), (SIDE, SIDE))
        config = built(TrainingConfig, {"network": NETWORK, "output": ".", "data": [{}], "steps": 1}, "")
        taught = examples(stream, len(mixture), network.spec, config.targets)
        loaders = {workers: loader_rate(taught, workers) for workers in (1, 2)}
        batch = next(iter(make_loader(taught, Positions(0, 1, BATCH), LoaderConfig(0))))
    steps = {precision: step_rate(batch, precision) for precision in ("fp32", "bf16")}
    fastest = max(speed for _, speed in steps.values())
    rows = [(f"loader, {n} workers", f"{speed:.0f}", f"{speed / fastest:.1f} x") for n, speed in loaders.items()]
    rows += [(f"step, {name} on {device}", f"{speed:.1f}", "") for name, (device, speed) in steps.items()]
    title = f"training, {SIDE} x {SIDE} px, batches of {BATCH}, {torch.get_num_threads()} threads of torch"
    show(title, ("what", "images/s", "of the faster step"), rows)


if __name__ == "__main__":
    main()
