"""Make a tiny network, and images of people of four coloured dots, for training runs of a few seconds.

Train them with ``python tiny_training.py OUTPUT STEPS [NAME=VALUE …]``.
"""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from pose_ros.config_file import build_config
from pose_ros.datasets.sample import LABELLED, Sample
from pose_ros.network.mobilenet_v1 import MobileNetV1
from pose_ros.network.model import PoseNetwork
from pose_ros.network.multi_head import MultiHeadNetwork
from pose_ros.skeleton import Skeleton
from pose_ros.training.config import TrainingConfig
from pose_ros.training.loader import Normaliser, pixels_of
from pose_ros.training.run_inputs import RunInputs
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.make import make_targets
from pose_ros.training.trainer import Trainer

DOTS = Skeleton("dots", ("nose", "neck", "left_hip", "right_hip"), ((0, 1), (1, 2), (1, 3)))
COLOURS = ((60, 60, 230), (60, 220, 60), (230, 90, 60), (230, 220, 60))
SHAPE = np.array([(0, -1), (0, 0), (0.5, 1), (-0.5, 1)], np.float32)
SIZE = 64


@dataclass(frozen=True)
class Dots:
    """Stream of images of people of dots, one image per index."""

    seed: int = 0
    most: int = 2
    delay_s: float = 0.0

    def sample(self, epoch: int, index: int) -> Sample:
        time.sleep(self.delay_s)
        rng = np.random.default_rng([self.seed, epoch, index])
        people = [20 + 24 * rng.random(2) + SHAPE * rng.uniform(10, 16) for _ in range(rng.integers(1, self.most + 1))]
        return draw_dots(np.array(people, np.float32), SIZE, rng)


class BrokenDots(Dots):
    """Stream whose second image cannot be read."""

    def sample(self, epoch: int, index: int) -> Sample:
        if index == 1:
            raise ValueError("labels a.json: image b.jpg: expected a complete image")
        return super().sample(epoch, index)


def draw_dots(keypoints: np.ndarray, size: int, rng: np.random.Generator) -> Sample:
    """Draw an image of people (N, 4, 2)."""
    image = rng.integers(90, 140, (size, size, 3)).astype(np.uint8)
    for person in keypoints:
        for (x, y), colour in zip(person, COLOURS, strict=True):
            cv2.circle(image, (round(float(x) * 16), round(float(y) * 16)), 56, colour, -1, cv2.LINE_AA, 4)
    boxes = np.concatenate([keypoints.min(axis=1) - 3, keypoints.max(axis=1) + 3], axis=1)
    inside = ((keypoints >= 0) & (keypoints <= size - 1)).all(axis=2)
    return Sample(image, keypoints, np.where(inside, LABELLED, 0).astype(np.uint8), boxes)


def first_box_target(sample: Sample) -> dict[str, np.ndarray]:
    """Return a target. It is a module-level function, so that worker processes can unpickle it."""
    return {"people": sample.boxes[:1]}


def tiny_network(seed: int = 0) -> MultiHeadNetwork:
    torch.manual_seed(seed)
    return MultiHeadNetwork("tiny", MobileNetV1([(8, 2, 1), (12, 2, 1), (16, 2, 1)], stem=8), DOTS, channels=16)


def make_batch(
    network: PoseNetwork, config: TargetConfig, count: int = 4
) -> tuple[list[Sample], torch.Tensor, dict[str, torch.Tensor]]:
    """Make images of one person each: samples, the input of a network, and its targets."""
    samples = [Dots(most=1).sample(0, index) for index in range(count)]
    pixels = torch.from_numpy(np.stack([pixels_of(sample, network.spec.input) for sample in samples]))
    made = [make_targets(sample, network.spec, config) for sample in samples]
    targets = {name: torch.from_numpy(np.stack([each[name] for each in made])) for name in made[0]}
    return samples, Normaliser(network.spec.input, torch.device("cpu"))(pixels), targets


def make_inputs(**more) -> RunInputs:
    parts = {"stream": Dots(), "epoch": 100, "validation": [Dots(seed=1).sample(0, i) for i in range(3)], **more}
    return RunInputs(parts.pop("network", None) or tiny_network(), **parts)


def make_config(output: Path, steps: int, **more) -> TrainingConfig:
    """Make a small configuration. ``more`` holds further entries, nested ones as mappings."""
    data = {
        "network": "tiny",
        "output": str(output),
        "data": [{}],
        "size_wh": [SIZE, SIZE],
        "steps": steps,
        "batch": 4,
        "threads": 1,
        "device": "cpu",
        "log_steps": 1,
        "loader": {"workers": 0},
        "schedule": {"warm_up": 2},
        "checkpoint": {"steps": 5, "minutes": 0},
        "validation": {"pictures": 0},
        "optimiser": {"rate": 3e-3, "backbone_rate": 3e-3},
    }
    return build_config(TrainingConfig, {**data, **more}, "")


def main(output: str, steps: str, *settings: str) -> None:
    import yaml

    more = {name: yaml.safe_load(value) for name, value in (setting.split("=", 1) for setting in settings)}
    stream = Dots(delay_s=more.pop("delay_s", 0.0))
    Trainer(make_config(Path(output), int(steps), **more), make_inputs(stream=stream)).run()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the test runner may have ignored it
    main(*sys.argv[1:])
