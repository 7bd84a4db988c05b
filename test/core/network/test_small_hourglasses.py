"""Test hourglasses for one person in a small size: they learn, and the loss reaches all weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tiny_training  # noqa: E402

from pose_ros.network.cu_net import CUNet  # noqa: E402
from pose_ros.network.model import PoseNetwork  # noqa: E402
from pose_ros.network.pyranet import PyraNet  # noqa: E402
from pose_ros.network.soft_gated_hourglass import SoftGatedHourglass  # noqa: E402
from pose_ros.training.contact_sheet import find_people  # noqa: E402
from pose_ros.training.losses.config import LossConfig  # noqa: E402
from pose_ros.training.losses.fields import FieldsLoss  # noqa: E402
from pose_ros.training.targets.config import TargetConfig  # noqa: E402

IMAGES, STEPS, SIZE = 4, 45, tiny_training.SIZE
SMALL: dict[str, Callable[[], PoseNetwork]] = {
    "soft_gated": lambda: SoftGatedHourglass(tiny_training.DOTS, stacks=2, channels=16),
    "pyranet": lambda: PyraNet(tiny_training.DOTS, stacks=2, channels=32),
    "cu_net": lambda: CUNet(tiny_training.DOTS, units=3, order=2, channels=24, growth=8),
}


@pytest.fixture(params=SMALL)
def network(request: pytest.FixtureRequest) -> PoseNetwork:
    torch.manual_seed(0)
    return SMALL[request.param]()


def test_every_stage_predicts_at_stride_4(network: PoseNetwork) -> None:
    stages = network(torch.rand(2, 3, SIZE, 2 * SIZE))
    assert len(stages) > 1 and {tuple(stage) for stage in stages} == {("heatmaps",)}
    assert {tuple(stage["heatmaps"].shape) for stage in stages} == {(2, 4, SIZE // 4, SIZE // 2)}
    assert (network.spec.grouping, network.spec.stride, network.spec.origin) == ("single", 4, 1.5)


def test_the_loss_reaches_every_weight(network: PoseNetwork) -> None:
    stages = network(torch.rand(8, 3, SIZE, SIZE))  # with few images, a rectifier may be closed for all of them
    sum(stage["heatmaps"].square().mean() for stage in stages).backward()
    unused = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert unused == []


def test_four_images_are_learnt(network: PoseNetwork) -> None:
    samples, images, targets = tiny_training.make_batch(network, TargetConfig(heatmap_sigma=4), IMAGES)
    optimiser, loss = torch.optim.Adam(network.parameters(), lr=0.01), FieldsLoss(LossConfig())
    for _ in range(STEPS):
        optimiser.zero_grad()
        total, _ = loss(network(images), targets)
        total.backward()
        optimiser.step()
    (people,) = find_people(network, samples).values()
    for found, sample in zip(people, samples, strict=True):
        assert np.linalg.norm(found.keypoints - sample.keypoints, axis=2).max() < 4
