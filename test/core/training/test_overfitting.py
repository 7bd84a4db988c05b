"""Test training end to end: both groupings detect the people in two overfitted images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pycocotools")
from tiny_training import make_config  # noqa: E402

from pose_ros.datasets.sample import LABELLED, Sample  # noqa: E402
from pose_ros.network.mobilenet_v1 import MobileNetV1  # noqa: E402
from pose_ros.network.multi_head import MultiHeadNetwork  # noqa: E402
from pose_ros.skeleton import OPENPOSE_18  # noqa: E402
from pose_ros.training.contact_sheet import find_people  # noqa: E402
from pose_ros.training.run_inputs import RunInputs  # noqa: E402
from pose_ros.training.trainer import Trainer  # noqa: E402
from pose_ros.training.validation import compute_ap  # noqa: E402

SIZE, IMAGES, STEPS = 96, 2, 250
CLOTHES = {"shoulder": 0, "elbow": 30, "wrist": 60, "hip": 90, "knee": 120, "ankle": 150}


def make_sample(seed: int) -> Sample:
    """Draw two figures side by side on noise, with small random changes of the limbs."""
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 200, (SIZE // 8, SIZE // 8, 3)).astype(np.uint8)
    image = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    keypoints = np.array([random_person(rng, SIZE * share) for share in (0.27, 0.73)], np.float32)
    for figure in keypoints:
        draw_figure(image, figure)
    boxes = np.concatenate([keypoints.min(axis=1) - 4, keypoints.max(axis=1) + 4], axis=1)
    return Sample(image, keypoints, np.full(keypoints.shape[:2], LABELLED, np.uint8), boxes)


def random_person(rng: np.random.Generator, middle: float) -> np.ndarray:
    height = SIZE * rng.uniform(0.65, 0.85)
    standing = OPENPOSE_18.standing * [1.3, 1.0] + rng.normal(0, 0.015, (18, 2))
    return standing * height + [middle, rng.uniform(4, SIZE - 4 - height)]


def draw_figure(image: np.ndarray, figure: np.ndarray) -> None:
    def point(k: int) -> tuple[int, int]:
        return round(float(figure[k, 0]) * 16), round(float(figure[k, 1]) * 16)

    for a, b in OPENPOSE_18.drawn_limbs:
        cv2.line(image, point(a), point(b), (40, 40, 40), 5, cv2.LINE_AA, 4)
    for k, name in enumerate(OPENPOSE_18.keypoint_names):
        hue = (CLOTHES.get(name.split("_")[-1], 15) + 15 * name.startswith("left")) % 180
        colour = cv2.cvtColor(np.uint8([[[hue, 255, 255]]]), cv2.COLOR_HSV2BGR)[0, 0].tolist()
        cv2.circle(image, point(k), 40, colour, -1, cv2.LINE_AA, 4)


def small_network() -> MultiHeadNetwork:
    torch.manual_seed(0)
    pairs = [(24, 1, 1), (32, 2, 1), (48, 2, 1), (64, 1, 1), (96, 2, 1), (96, 1, 1)]
    return MultiHeadNetwork("small", MobileNetV1(pairs, stem=16), OPENPOSE_18, channels=64)


@dataclass(frozen=True)
class ShiftedSamples:
    """Samples shifted by a few pixels. Without shifts, tags are trained at one cell, but a tie reads the next cell."""

    samples: list[Sample]

    def sample(self, epoch: int, index: int) -> Sample:
        sample, offset = self.samples[index], np.random.default_rng([epoch, index]).integers(-4, 5, 2)
        image = np.roll(sample.image_bgr, offset[::-1], axis=(0, 1))
        moved = np.tile(offset, 2).astype(np.float32)
        return replace(sample, image_bgr=image, keypoints=sample.keypoints + moved[:2], boxes=sample.boxes + moved)


@pytest.mark.slow
def test_overfitted_images_are_detected(tmp_path: Path) -> None:
    samples, network = [make_sample(seed) for seed in range(IMAGES)], small_network()
    settings = make_config(
        tmp_path,
        STEPS,
        size_wh=[SIZE, SIZE],
        batch=IMAGES,
        loss={"pull": 6},
        optimiser={"rate": 1e-2, "backbone_rate": 1e-2, "ema": 0.95},
        schedule={"warm_up": 20, "final": 0.01},
        checkpoint={"steps": 0, "minutes": 0},
        log_steps=50,
    )
    before = torch.get_num_threads()
    Trainer(settings, RunInputs(network, ShiftedSamples(samples), IMAGES)).run()
    torch.set_num_threads(before)
    reached = {name: compute_ap(network, samples, people) for name, people in find_people(network, samples).items()}
    assert set(reached) == {"paf", "tag"} and min(reached.values()) >= 0.95, reached
