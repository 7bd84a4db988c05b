"""Test hourglasses: their connections and outputs."""

import pytest

torch = pytest.importorskip("torch")

from pose_ros.network import zoo  # noqa: E402
from pose_ros.network.associative_embedding import AssociativeEmbedding  # noqa: E402
from pose_ros.network.hourglass import Hourglass, HourglassStack  # noqa: E402
from pose_ros.network.stacked_hourglass import Residual  # noqa: E402
from pose_ros.skeleton import MPII_16, Skeleton  # noqa: E402

PAIR = Skeleton("pair", ("nose", "neck"), ((0, 1),))


@pytest.mark.parametrize(
    ("name", "stages", "channels", "parameters", "grouping"),
    [
        ("associative_embedding_4hg", 4, {"heatmaps": 17, "tags": 17}, 138_893_840, "tag"),
        ("stacked_hourglass_2", 2, {"heatmaps": 16}, None, "single"),
        ("stacked_hourglass_8", 8, {"heatmaps": 16}, None, "single"),
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


def test_mpii_keypoints_have_left_and_right() -> None:
    assert len(MPII_16) == 16
    assert [MPII_16.keypoint_names[k] for k in MPII_16.flip_order[:3]] == ["left_ankle", "left_knee", "left_hip"]
