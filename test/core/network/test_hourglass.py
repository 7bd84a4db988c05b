"""Test hourglasses: their connections and outputs."""

import pytest

torch = pytest.importorskip("torch")

from pose_ros.network import zoo  # noqa: E402
from pose_ros.network.associative_embedding import AssociativeEmbedding  # noqa: E402
from pose_ros.network.cu_net import CUNet  # noqa: E402
from pose_ros.network.hourglass import Hourglass, HourglassStack  # noqa: E402
from pose_ros.network.pyranet import fractional_max_pool  # noqa: E402
from pose_ros.network.soft_gated_hourglass import SoftGatedResidual  # noqa: E402
from pose_ros.network.stacked_hourglass import Residual  # noqa: E402
from pose_ros.skeleton import MPII_16, Skeleton  # noqa: E402

PAIR = Skeleton("pair", ("nose", "neck"), ((0, 1),))
LEVELS = (0, 1, 2, 3, 4, 3, 2, 1, 0)
"""Level of each block of a U-Net."""


@pytest.mark.parametrize(
    ("name", "stages", "channels", "parameters", "grouping"),
    [
        ("associative_embedding_4hg", 4, {"heatmaps": 17, "tags": 17}, 138_893_840, "tag"),
        ("stacked_hourglass_2", 2, {"heatmaps": 16}, None, "single"),
        ("stacked_hourglass_8", 8, {"heatmaps": 16}, None, "single"),
        ("soft_gated_hourglass_4", 4, {"heatmaps": 16}, 8_444_744, "single"),
        ("pyranet_2", 2, {"heatmaps": 16}, 7_286_464, "single"),
        ("cu_net_8", 8, {"heatmaps": 16}, 8_009_984, "single"),
    ],
)
def test_every_hourglass_predicts_at_stride_4(name, stages, channels, parameters, grouping) -> None:
    with torch.device("meta"):
        network = zoo.build(name)
        outputs = network(torch.zeros(2, 3, 64, 128))
    assert [{field: output.shape for field, output in stage.items()} for stage in outputs] == [
        {field: (2, count, 16, 32) for field, count in channels.items()}
    ] * stages
    assert {head.field for head in network.spec.heads} == set(channels)
    assert (network.spec.name, network.spec.stride, network.spec.grouping) == (name, 4, grouping)
    assert parameters in (None, sum(p.numel() for p in network.parameters()))


def count_weights(name: str, kind: type[torch.nn.Module] = torch.nn.Module) -> float:
    """Count the weights of all modules of a kind, in millions."""
    with torch.device("meta"):
        modules = [module for module in zoo.build(name).modules() if isinstance(module, kind)]
    return sum(weight.numel() for module in modules for weight in module.parameters(recurse=False)) / 1e6


@pytest.mark.parametrize(
    ("name", "kind", "millions"),
    [
        ("pyranet_8", torch.nn.Module, 28.1),
        ("cu_net_8", torch.nn.Conv2d, 7.9),  # its publisher counts convolutions only
        ("cu_net_16", torch.nn.Conv2d, 15.9),
    ],
)
def test_published_number_of_weights(name, kind, millions) -> None:
    assert round(count_weights(name, kind), 1) == millions


def test_soft_gates_need_a_third_of_the_weights_of_the_hourglass() -> None:
    assert round(count_weights("stacked_hourglass_8") / count_weights("soft_gated_hourglass_4"), 1) == 3.0


def test_each_resolution_has_a_skip_connection() -> None:
    hourglass = Hourglass((1, 1, 1), lambda cin, cout: torch.nn.Identity())
    features = torch.arange(16.0).reshape(1, 1, 4, 4)  # maxima of 2 × 2: 5 7 13 15, of those: 15
    expected = features + torch.tensor([[5.0, 7], [13, 15]]).repeat_interleave(2, 0).repeat_interleave(2, 1) + 15
    assert torch.equal(hourglass(features), expected)


def test_each_resolution_has_its_channels() -> None:
    layers = []
    Hourglass((8, 12, 16), lambda cin, cout: layers.append((cin, cout)) or torch.nn.Identity())
    assert layers == [(8, 8), (8, 12), (12, 12), (12, 16), (16, 16), (16, 12), (12, 8)]


def test_an_hourglass_reads_features_and_prediction_of_the_previous_one() -> None:
    torch.manual_seed(0)
    towers = [torch.nn.Conv2d(4, 4, 1) for _ in range(2)]
    stack = HourglassStack(torch.nn.Conv2d(3, 4, 1), towers, channels=4, cout=2)
    images = torch.randn(1, 3, 5, 6)
    x = stack.stem(images)
    f = towers[0](x)
    p = stack.predictions[0](f)
    second = stack.predictions[1](towers[1](x + stack.merge_features[0](f) + stack.merge_predictions[0](p)))
    torch.testing.assert_close(stack(images), [p, second])


@pytest.mark.parametrize(("stage", "changes"), [(0, True), (1, False)], ids=["read by the next stack", "not read"])
def test_channels_without_a_target_reach_the_next_stack_but_not_the_output(stage, changes) -> None:
    torch.manual_seed(0)
    network = AssociativeEmbedding(PAIR, stacks=2, channels=8, growth=4).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = network.fields(images)
        first = network(images)[0]
        network.stack.predictions[stage].bias[2 * len(PAIR) :] += 1
        after = network.fields(images)
        torch.testing.assert_close(network(images)[0], first)
    assert after["heatmaps"].shape == after["tags"].shape == (1, len(PAIR), 16, 16)
    assert torch.equal(before["tags"], after["tags"]) is not changes


@pytest.mark.parametrize(("cin", "cout"), [(8, 8), (4, 8)], ids=["same channels", "more channels"])
def test_residual_adds_to_its_input(cin, cout) -> None:
    block = Residual(cin, cout).eval()
    torch.nn.init.zeros_(block.change[-1].weight)
    torch.nn.init.zeros_(block.change[-1].bias)
    features = torch.randn(1, cin, 3, 4)
    torch.testing.assert_close(block(features), block.keep(features))
    assert (cin == cout) == torch.equal(block(features), features)


def test_a_soft_gate_scales_each_channel_of_the_skip_connection() -> None:
    torch.manual_seed(0)
    block, features = SoftGatedResidual(8, 8).eval(), torch.randn(1, 8, 5, 6)
    with torch.no_grad():
        change = block(features)  # the gates are 0 at first
        block.keep.gate[:] = torch.linspace(-1, 1, 8)[:, None, None]
        expected = features * torch.linspace(-1, 1, 8)[:, None, None] + change
        torch.testing.assert_close(block(features), expected)
    narrowest = block.convs[2](block.convs[1](block.convs[0](features)))
    assert [conv[2].out_channels for conv in block.convs] == [4, 2, 2]
    torch.testing.assert_close(change[:, 6:], narrowest)


@pytest.mark.parametrize(("cells", "scale", "expected"), [(8, 0.5, [0, 2, 4, 6]), (8, 2**-0.25, [0, 1, 2, 4, 5, 6])])
def test_fractional_pooling_takes_maxima_of_two_cells(cells, scale, expected) -> None:
    row = torch.arange(float(cells))
    pooled = fractional_max_pool(row.expand(1, 1, cells, cells), scale)
    assert pooled.shape[2:] == (len(expected),) * 2
    assert pooled[0, 0, 0].tolist() == [first + 1 for first in expected]


@pytest.mark.parametrize("order", [1, 2])
def test_a_u_net_reads_the_new_features_of_previous_ones(order) -> None:
    torch.manual_seed(0)
    network = CUNet(PAIR, units=5, order=order, channels=8, growth=4).eval()
    features = torch.randn(1, 8, 16, 16)
    reads = []
    for index, unit in enumerate(network.units):
        new = [[torch.randn(1, 4, 16 >> level, 16 >> level) for level in LEVELS] for _ in range(min(index, order))]
        with torch.no_grad():
            before, own = unit(features, new)
            assert [tuple(each.shape[1:]) for each in own] == [(4, 16 >> level, 16 >> level) for level in LEVELS]
            reads.append([not torch.equal(unit(features, _with_change(new, each))[0], before) for each in range(9)])
    assert reads[0] == [False] * 9 and all(all(read) for read in reads[1:])
    assert [len(unit.blocks) for unit in network.units] == [9] * 5
    widths = [unit.blocks[0].layers[0][0].num_features for unit in network.units]
    assert widths == [8 + 4 * min(index, order) for index in range(5)]


def test_a_coupling_of_order_0_is_rejected() -> None:
    with pytest.raises(ValueError, match="order: expected 1 or more, got 0"):
        CUNet(PAIR, units=2, order=0)


def _with_change(new, position):
    return [[each + 1 if p == position else each for p, each in enumerate(unit)] for unit in new]


def test_mpii_keypoints_have_left_and_right() -> None:
    assert len(MPII_16) == 16
    assert [MPII_16.keypoint_names[k] for k in MPII_16.flip_order[:3]] == ["left_ankle", "left_knee", "left_hip"]
