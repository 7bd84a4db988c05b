"""Test losses: gradients, weights, invariances, and comparison with plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from pose_ros.training.losses.config import PUSH_FORMS, LossConfig  # noqa: E402
from pose_ros.training.losses.dense import focal, l1, l2, logistic, reduce_cells, softmax  # noqa: E402
from pose_ros.training.losses.fields import FieldsLoss, targets_on_grid  # noqa: E402
from pose_ros.training.losses.tags import gather_tags, pull_and_push  # noqa: E402

B, P, K, L, D, H, W = 2, 4, 3, 2, 2, 4, 6
CENTRES = ("centres", "centre_offsets", "sizes", "keypoint_offsets", "heatmap_offsets")
CHANNELS = {
    **{"heatmaps": K, "pafs": 2 * L, "short_offsets": 2 * K, "mid_offsets": 4 * L, "long_offsets": 2 * K},
    **{"segmentation": 1, "centres": 1, "centre_offsets": 2, "sizes": 2, "keypoint_offsets": 2 * K},
    "heatmap_offsets": 2,
}


def make_batch(seed: int = 0, *names: str) -> tuple[list[dict], dict]:
    """Make two stages of random outputs (float64, with gradients) of some or all fields, and their targets."""
    random = torch.Generator().manual_seed(seed)
    shapes = {name: (B, channels, H, W) for name, channels in CHANNELS.items()} | {"tags": (B, K * D, H, W)}
    shapes = {name: shape for name, shape in shapes.items() if name in (names or shapes)}

    def outputs() -> dict:
        return {
            name: torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True)
            for name, shape in shapes.items()
        }

    targets = {"tag_cells": torch.randint(-1, H * W, (B, P, K), generator=random, dtype=torch.int32)}
    targets["tag_cells"][:, -1] = -1
    for name in shapes.keys() - {"tags"}:
        targets[name] = torch.rand(shapes[name], generator=random, dtype=torch.float64)
        targets[f"{name}_weights"] = torch.randint(0, 2, shapes[name], generator=random, dtype=torch.uint8)
    return [outputs(), outputs()], targets


def pull_and_push_by_hand(tags: np.ndarray, cells: np.ndarray, form: str) -> tuple[list, list]:
    """Compute pull and push, (B,) each, from tags (B, K D, H, W) and cells (B, P, K)."""
    kernels = {
        "gaussian": lambda d: np.exp(-(d**2) / 2),
        "exp": lambda d: np.exp(-(d**2)) / 2,
        "max": lambda d: max(0, 1 - d) / 2,
    }
    pulls, pushes = [], []
    for image, people in zip(tags.reshape(len(tags), K, D, -1), cells, strict=True):
        read = [[image[k, :, cell] for k, cell in enumerate(person) if cell >= 0] for person in people]
        read = [np.array(person) for person in read if person]
        means = [person.mean(axis=0) for person in read]
        spread = [((person - mean) ** 2).sum(axis=1).mean() for person, mean in zip(read, means, strict=True)]
        pairs = [kernels[form](np.linalg.norm(a - b)) for i, a in enumerate(means) for b in means[:i]]
        pulls.append(np.mean(spread) if spread else 0)
        pushes.append(np.mean(pairs) if pairs else 0)
    return pulls, pushes


@pytest.mark.parametrize("form", PUSH_FORMS)
@pytest.mark.parametrize("people", range(P + 1))
def test_pull_and_push_equal_a_loop(people: int, form: str) -> None:
    stages, targets = make_batch(people)
    cells = targets["tag_cells"].clone()
    cells[:, people:] = -1
    ours = pull_and_push(*gather_tags(stages[0]["tags"], cells), form)
    reference = pull_and_push_by_hand(stages[0]["tags"].detach().numpy(), cells.numpy(), form)
    for our, their in zip(ours, reference, strict=True):
        np.testing.assert_allclose(our.detach(), their, rtol=1e-12)


def test_the_huber_pull_is_linear_beyond_one() -> None:
    tags = torch.tensor([[[[0.0], [0.4], [6.2]]]], requires_grad=True)  # mean 2.2: distances 2.2, 1.8, 4
    present = torch.ones(1, 1, 3, dtype=torch.bool)
    pull, _ = pull_and_push(tags, present, pull_form="huber")
    assert pull.item() == pytest.approx((2 * 2.2 - 1 + 2 * 1.8 - 1 + 2 * 4 - 1) / 3)
    near, _ = pull_and_push(tags / 10, present, pull_form="huber")
    assert near.item() == pytest.approx((0.22**2 + 0.18**2 + 0.4**2) / 3)
    (pull + near).backward()
    assert tags.grad.isfinite().all()
    same, _ = pull_and_push(torch.ones(1, 1, 3, 2, requires_grad=True), present, pull_form="huber")
    same.backward()
    assert same.item() == 0


def test_a_field_with_weight_0_needs_no_target() -> None:
    stages, targets = make_batch(0, "heatmaps", "sizes")
    del targets["sizes"], targets["sizes_weights"]
    _, parts = FieldsLoss(LossConfig(sizes=0))(stages, targets)
    assert list(parts) == ["heatmaps"]
    with pytest.raises(ValueError, match="targets: expected sizes"):
        FieldsLoss(LossConfig())(stages, targets)


@pytest.mark.parametrize("form", PUSH_FORMS)
def test_equal_tags_have_no_pull_and_full_push_with_finite_gradients(form: str) -> None:
    tags = torch.ones(1, K * D, H, W, dtype=torch.float64, requires_grad=True)
    cells = torch.tensor([[[0, 1, -1], [2, -1, 5]]])
    pull, push = pull_and_push(*gather_tags(tags, cells), form)
    assert pull.item() == 0 and push.item() == (1 if form == "gaussian" else 0.5)
    (pull + push).sum().backward()
    assert torch.isfinite(tags.grad).all()
    _, alone = pull_and_push(*gather_tags(tags, cells[:, :1]), form)
    assert alone.item() == 0


@given(seed=st.integers(0, 10_000), shift=st.floats(-50, 50), form=st.sampled_from(PUSH_FORMS))
@settings(deadline=None, max_examples=20)
def test_pull_and_push_do_not_depend_on_person_order_or_tag_origin(seed: int, shift: float, form: str) -> None:
    stages, targets = make_batch(seed)
    tags, cells = stages[0]["tags"].detach(), targets["tag_cells"]
    before = pull_and_push(*gather_tags(tags, cells), form)
    order = torch.randperm(P, generator=torch.Generator().manual_seed(seed))
    after = pull_and_push(*gather_tags(tags + shift, cells[:, order]), form)
    torch.testing.assert_close(before, after, rtol=1e-9, atol=1e-9)


def test_several_cells_of_a_keypoint_count_like_several_keypoints() -> None:
    stages, targets = make_batch(1)
    tags, cells = stages[0]["tags"].detach(), targets["tag_cells"]
    once = pull_and_push(*gather_tags(tags, cells))
    torch.testing.assert_close(pull_and_push(*gather_tags(tags, cells[..., None].expand(-1, -1, -1, 4))), once)
    elsewhere = torch.where(cells >= 0, (cells + 1) % (H * W), -1)
    values, present = gather_tags(tags, torch.stack([cells, elsewhere], dim=3))
    for reading, index in enumerate((cells, elsewhere)):
        alone = gather_tags(tags, index)
        torch.testing.assert_close(values[:, :, reading::2], alone[0])
        torch.testing.assert_close(present[:, :, reading::2], alone[1])


@pytest.mark.parametrize("normalisation", ["channels", "openpose", "mean"])
@pytest.mark.parametrize("hardest", [0, 1, 2, K])
def test_reduction_equals_a_loop(normalisation: str, hardest: int) -> None:
    cells = torch.rand(B, K, H, W, dtype=torch.float64)
    sums = [sorted(cells[b, k].sum().item() for k in range(K))[-(hardest or K) :] for b in range(B)]
    by = {"channels": B * (hardest or K), "openpose": 2 * B, "mean": B * (hardest or K) * H * W}[normalisation]
    np.testing.assert_allclose(reduce_cells(cells, normalisation, hardest), np.sum(sums) / by)


def test_losses_of_cells_equal_the_formulas() -> None:
    stages, targets = make_batch(0, "heatmaps")
    output, target = stages[0]["heatmaps"].detach(), targets["heatmaps"]
    weights = targets["heatmaps_weights"].double()
    x, y, w = output.numpy(), target.numpy(), weights.numpy()
    p = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(l2(output, target, weights), w * (x - y) ** 2)
    np.testing.assert_allclose(logistic(output, target, weights), -w * (y * np.log(p) + (1 - y) * np.log(1 - p)))
    np.testing.assert_allclose(l1(output, target, weights), (w * abs(x - y)).sum() / w.sum(), rtol=1e-4)
    peak = y > 0.9
    y[peak] = 1
    cells = np.where(peak, (1 - p) ** 2 * np.log(p), (1 - y) ** 4 * p**2 * np.log(1 - p))
    np.testing.assert_allclose(focal(output, target, weights), -(w * cells).sum() / (w * peak).sum())


def test_the_loss_of_distributions_equals_a_loop() -> None:
    logits = make_batch(0, "heatmaps")[0][0]["heatmaps"].detach()
    target = torch.zeros_like(logits)
    target[0, 0, 1, 2], target[0, 0, 1, 3], target[1, 2, 3, 5] = 0.25, 0.75, 1.0  # the other channels have no label
    entropy, distance = softmax(logits, target)
    rows, cols = np.mgrid[:H, :W]
    sums = np.zeros(2)
    for x, y in zip(logits.numpy().reshape(-1, H, W), target.numpy().reshape(-1, H, W), strict=True):
        if y.sum():
            p = np.exp(x) / np.exp(x).sum()
            means = [[(q * grid).sum() for grid in (rows, cols)] for q in (p, y)]
            sums += -(y * np.log(p)).sum(), np.abs(np.subtract(*means)).mean()
    np.testing.assert_allclose([entropy, distance], sums / (B * K))


def test_distributions_learn_only_from_labels() -> None:
    stages, targets = make_batch(0, "heatmaps")
    targets["heatmaps"][:] = 0
    targets["heatmaps"][0, 1, 2, 3] = 1
    config = LossConfig(heatmap_loss="softmax", coordinates=0.5)
    total, parts = FieldsLoss(config)(stages[:1], targets)
    entropy, distance = softmax(stages[0]["heatmaps"], targets["heatmaps"])
    torch.testing.assert_close(total, entropy + 0.5 * distance)
    torch.testing.assert_close(parts["heatmaps"], total.detach())
    total.backward()
    learnt = stages[0]["heatmaps"].grad.abs().sum(dim=(2, 3)) > 0
    assert learnt.nonzero().tolist() == [[0, 1]]


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_extreme_distributions_have_finite_losses_and_gradients(scale: float) -> None:
    logits = (scale * torch.tensor([[[[1.0, -1.0], [0.5, 0.0]]]])).requires_grad_()
    total = sum(softmax(logits, torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])))
    total.backward()
    assert torch.isfinite(total) and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("logit", [-1e4, 1e4])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("loss", [focal, logistic])
def test_extreme_logits_have_finite_losses_and_gradients(loss, target: float, logit: float) -> None:
    output = torch.full((1, 1, 2, 2), logit, requires_grad=True)
    total = loss(output, torch.full((1, 1, 2, 2), target), torch.ones(1, 1, 2, 2)).sum()
    total.backward()
    assert torch.isfinite(total) and torch.isfinite(output.grad).all()


def test_default_weights_and_normalisation() -> None:
    """sum w (1 + 2 h) d^2 / (K B) + sum w d^2 / (2 L B) + 3 (pull + push), at each stage."""
    stages, targets = make_batch(1, "heatmaps", "pafs", "tags")
    total, _ = FieldsLoss(LossConfig())(stages, targets)
    numbers = {name: target.numpy().astype(float) for name, target in targets.items()}
    expected = 0.0
    for stage in stages:
        outputs = {name: output.detach().numpy() for name, output in stage.items()}
        heat = (
            numbers["heatmaps_weights"]
            * (1 + 2 * numbers["heatmaps"])
            * (outputs["heatmaps"] - numbers["heatmaps"]) ** 2
        )
        paf = numbers["pafs_weights"] * (outputs["pafs"] - numbers["pafs"]) ** 2
        pull, push = pull_and_push_by_hand(outputs["tags"], targets["tag_cells"].numpy(), "gaussian")
        expected += heat.sum() / (K * B) + paf.sum() / (2 * L * B) + 3 * (np.mean(pull) + np.mean(push))
    np.testing.assert_allclose(total.item(), expected, rtol=1e-6)


@pytest.mark.parametrize("config", [LossConfig(), LossConfig(heatmap_loss="logistic", hardest=2, push_form="max")])
def test_parts_sum_to_the_loss(config: LossConfig) -> None:
    total, parts = FieldsLoss(config)(*make_batch())
    assert set(parts) == set(CHANNELS) | {"pull", "push"}
    torch.testing.assert_close(torch.stack(list(parts.values())).sum(), total.detach())
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.parametrize(
    ("names", "config"),
    [
        (("heatmaps", "pafs"), LossConfig()),
        (("heatmaps", "centres"), LossConfig(heatmap_loss="logistic", centre_loss="l2", hardest=2)),
        (("heatmaps", "centres"), LossConfig(heatmap_loss="focal")),
        (("segmentation", "short_offsets", "sizes"), LossConfig()),
        *[(("tags",), LossConfig(push_form=form)) for form in PUSH_FORMS],
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_gradients(names: tuple[str, ...], config: LossConfig) -> None:
    stages, targets = make_batch(3, *names)
    targets = {name: target[:1, :, :2, :2] if target.ndim == 4 else target[:1] % 4 for name, target in targets.items()}
    outputs = [stages[0][name].detach()[:1, :, :2, :2].requires_grad_() for name in names]
    loss = FieldsLoss(config)
    assert torch.autograd.gradcheck(lambda *given: loss([dict(zip(names, given, strict=True))], targets)[0], outputs)


@pytest.mark.parametrize("form", ["l2", "logistic", "focal"])
def test_the_gradient_is_0_where_the_weight_is_0(form: str) -> None:
    stages, targets = make_batch(4)
    FieldsLoss(LossConfig(heatmap_loss=form, centre_loss=form))(stages, targets)[0].backward()
    for stage in stages:
        for name in CHANNELS:
            valid = targets[f"{name}_weights"] > 0
            assert not stage[name].grad[~valid].any() and stage[name].grad[valid].any(), name


def test_weights_of_one_channel_apply_to_all() -> None:
    stages, targets = make_batch(5, "pafs", "sizes")
    one = {name: target[:, :1] if name.endswith("_weights") else target for name, target in targets.items()}
    every = {**targets, **{name: one[name].expand_as(targets[name]) for name in targets if name.endswith("_weights")}}
    loss = FieldsLoss(LossConfig())
    torch.testing.assert_close(loss(stages, one)[0], loss(stages, every)[0])


def test_a_tag_is_read_at_its_cell() -> None:
    tags = torch.arange(2 * K * D * H * W).reshape(2, K * D, H, W)
    cells = torch.tensor([[[0, W + 2, -1]], [[-1, -1, H * W - 1]]])
    values, present = gather_tags(tags, cells)
    assert present.tolist() == [[[True, True, False]], [[False, False, True]]]
    assert values[0, 0, 1].tolist() == tags[0, D : 2 * D, 1, 2].tolist()
    assert values[1, 0, 2].tolist() == tags[1, 2 * D :, -1, -1].tolist()


def test_additional_heatmaps_are_ignored() -> None:
    stages, targets = make_batch(6, "heatmaps")
    more = torch.cat([stages[0]["heatmaps"], torch.ones(B, 1, H, W)], dim=1)
    loss = FieldsLoss(LossConfig())
    assert loss([{"heatmaps": more}], targets)[0] == loss(stages[:1], targets)[0]


def test_coarser_stages_use_means_of_valid_blocks() -> None:
    _, targets = make_batch(7, "heatmaps", "tags")
    coarse = targets_on_grid(targets, (H // 2, W // 2))
    np.testing.assert_allclose(coarse["heatmaps"][0, 1, 1, 2], targets["heatmaps"][0, 1, 2:4, 4:6].mean())
    assert coarse["heatmaps_weights"][0, 1, 1, 2] == targets["heatmaps_weights"][0, 1, 2:4, 4:6].min()
    for cell, fine in zip(coarse["tag_cells"].ravel(), targets["tag_cells"].ravel(), strict=True):
        assert cell == (-1 if fine < 0 else fine // W // 2 * (W // 2) + fine % W // 2)


def test_stages_may_have_different_fields_and_grids() -> None:
    fine, targets = make_batch(8, "heatmaps", "tags")
    small = {name: output[:, :, ::2, ::2] for name, output in fine[0].items()}
    total, parts = FieldsLoss(LossConfig())([small, {"heatmaps": fine[1]["heatmaps"]}], targets)
    assert set(parts) == {"heatmaps", "pull", "push"} and total > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype) -> None:
    target = torch.zeros(1, 1, 64, 64)
    targets = {"pafs": target, "pafs_weights": torch.ones_like(target, dtype=torch.uint8)}
    output = torch.full(target.shape, 200.0, dtype=dtype, requires_grad=True)  # its square overflows float16
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = FieldsLoss(LossConfig())([{"pafs": output}], targets)
    assert total.dtype == torch.float32 and total.item() == 64 * 64 * 200**2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (B, 3, H, W)}, r"sizes: expected the shape of its target, \(2, 2, 4, 6\), got \(2, 3, 4, 6\)"),
        ({"pafs": (B, 4, H, W)}, "targets: expected pafs, which a stage outputs, got .*sizes"),
        ({"sizes": (B, 2, 3, 6)}, r"stage: expected the grid of the targets \(4, 6\) or 1/n of it, got \(3, 6\)"),
    ],
)
def test_outputs_without_a_matching_target_are_refused(change: dict, message: str) -> None:
    _, targets = make_batch(9, "sizes")
    stage = {name: torch.zeros(shape) for name, shape in change.items()}
    with pytest.raises(ValueError, match=message):
        FieldsLoss(LossConfig())([stage], targets)


@pytest.mark.parametrize(
    ("change", "error"),
    [({"push_form": "hinge"}, ValueError), ({"pafs": -1.0}, ValueError), ({"hardest": 1.5}, TypeError)],
)
def test_settings_are_checked(change: dict, error: type) -> None:
    with pytest.raises(error, match="LossConfig"):
        LossConfig(**change)


def test_weights_of_0_leave_out_the_tags_or_are_refused_altogether() -> None:
    stages, targets = make_batch(0, "heatmaps", "tags")
    del targets["tag_cells"]
    _, parts = FieldsLoss(LossConfig(pull=0, push=0))(stages, targets)
    assert list(parts) == ["heatmaps"]
    with pytest.raises(ValueError, match="loss: expected a weight above 0 for one of heatmaps, tags, got 0 for all"):
        FieldsLoss(LossConfig(heatmaps=0, pull=0, push=0))(stages, targets)
