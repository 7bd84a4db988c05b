"""Test the losses of DirectPose: each compared with plain loops, and its weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pose_ros.training.losses.config import LossConfig  # noqa: E402
from pose_ros.training.losses.dense import balanced_focal  # noqa: E402
from pose_ros.training.losses.directpose import LOSSES, cell_loss  # noqa: E402
from pose_ros.training.losses.fields import FieldsLoss  # noqa: E402

B, K, P = 2, 3, 10
CHANNELS = {"person_scores": 1, "centreness": 1, "person_offsets": 2 * K, "keypoint_scores": K}


def make_batch(seed: int = 0) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Make random outputs (float64, with gradients) and targets. Every third cell shows a person."""
    random = torch.Generator().manual_seed(seed)
    outputs, targets = {}, {}
    is_person = (torch.arange(P) % 3 == 0).expand(B, 1, P)
    for name, channels in CHANNELS.items():
        shape = B, channels, P
        outputs[name] = torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True)
        targets[name] = torch.rand(shape, generator=random, dtype=torch.float64)
        targets[f"{name}_weights"] = torch.randint(0, 2, shape, generator=random, dtype=torch.uint8) * is_person
    targets["person_scores"] = is_person.double()
    targets["person_scores_weights"] = torch.randint(0, 2, (B, 1, P), generator=random, dtype=torch.uint8)
    return outputs, targets


def numbers(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def test_the_balanced_focal_loss_equals_a_loop() -> None:
    outputs, targets = make_batch()
    logits, target = outputs["person_scores"], targets["person_scores"]
    weights = targets["person_scores_weights"].double()
    total, ones = 0.0, 0.0
    for z, y, w in zip(*(numbers(each).ravel() for each in (logits, target, weights)), strict=True):
        p = 1 / (1 + np.exp(-z))
        share, right = (0.25, p) if y else (0.75, 1 - p)
        total -= w * share * (1 - right) ** 2 * np.log(right)
        ones += w * y
    assert ones > 1
    np.testing.assert_allclose(balanced_focal(logits, target, weights).item(), total / ones, rtol=1e-12)
    assert cell_loss("person_scores", logits, targets).item() == pytest.approx(total / ones)


def test_the_loss_of_offsets_equals_a_loop_weighted_by_centreness() -> None:
    outputs, targets = make_batch()
    output, target, weights = (numbers(each) for each in (outputs["person_offsets"], targets["person_offsets"],
                                                           targets["person_offsets_weights"]))  # fmt: skip
    centreness, total, weight_sum = numbers(targets["centreness"]), 0.0, 0.0
    for image, channel, cell in np.ndindex(output.shape):
        error = abs(output[image, channel, cell] - target[image, channel, cell])
        smooth = error**2 / (2 / 9) if error < 1 / 9 else error - 1 / 18
        weight = weights[image, channel, cell] * centreness[image, 0, cell]
        total, weight_sum = total + weight * smooth, weight_sum + weight
    loss = cell_loss("person_offsets", outputs["person_offsets"], targets)
    np.testing.assert_allclose(loss.item(), total / weight_sum, rtol=1e-9)


@pytest.mark.parametrize("name", ["centreness", "keypoint_scores"])
def test_the_loss_of_logits_is_the_mean_cross_entropy_of_known_cells(name: str) -> None:
    outputs, targets = make_batch()
    known = targets[f"{name}_weights"].bool()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(outputs[name][known], targets[name][known])
    torch.testing.assert_close(cell_loss(name, outputs[name], targets), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_only_cells_with_a_weight_have_a_gradient(name: str) -> None:
    outputs, targets = make_batch()
    cell_loss(name, outputs[name], targets).backward()
    assert ((outputs[name].grad != 0) == targets[f"{name}_weights"].bool()).all()


def test_without_people_the_losses_are_0_and_finite() -> None:
    outputs, targets = make_batch()
    targets = {name: torch.zeros_like(target) for name, target in targets.items()}
    for name in LOSSES:
        loss = cell_loss(name, outputs[name], targets)
        loss.backward()
        assert loss.item() == 0 and torch.isfinite(outputs[name].grad).all()


def test_the_parts_are_weighted_and_named() -> None:
    outputs, targets = make_batch()
    heatmaps = torch.zeros(B, K, 2, 2, dtype=torch.float64, requires_grad=True)
    targets |= {"heatmaps": torch.eye(2).double().expand(B, K, 2, 2), "heatmaps_weights": torch.ones(B, K, 2, 2)}
    config = LossConfig(heatmap_loss="balanced", heatmaps=4, centreness=0, person_offsets=0.5)
    total, parts = FieldsLoss(config)([{"heatmaps": heatmaps, **outputs}], targets)
    assert set(parts) == {"heatmaps", "person_scores", "person_offsets", "keypoint_scores"}
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()))
    half = 0.5 * cell_loss("person_offsets", outputs["person_offsets"], targets)
    assert parts["person_offsets"].item() == pytest.approx(half.item())
    assert parts["heatmaps"].item() == pytest.approx(4 * 0.25 * np.log(2) * (0.25 + 0.75))  # as many 1 as 0


def test_wrong_targets_are_reported() -> None:
    outputs, targets = make_batch()
    with pytest.raises(
        ValueError, match=r"centreness: expected the shape of its target, \(2, 1, 10\), got \(2, 1, 9\)"
    ):
        cell_loss("centreness", outputs["centreness"][..., :9], targets)
    del targets["centreness"]
    with pytest.raises(ValueError, match="targets: expected centreness, which a stage outputs"):
        cell_loss("centreness", outputs["centreness"], targets)
