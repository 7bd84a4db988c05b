"""Test the HRNet family and the single-person networks: their connections and outputs."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from pose_ros.decoder import make_decoder  # noqa: E402
from pose_ros.network import zoo  # noqa: E402
from pose_ros.network.cpn import GlobalNet  # noqa: E402
from pose_ros.network.dekr import AdaptiveBlock  # noqa: E402
from pose_ros.network.higherhrnet import HigherHRNet, higherhrnet  # noqa: E402
from pose_ros.network.hrnet import BranchTransition, Concatenate, ExchangeUnit, HRNet, hrnet  # noqa: E402
from pose_ros.network.mspn import MSPN  # noqa: E402
from pose_ros.skeleton import CROWDPOSE_14, MPII_16, Skeleton  # noqa: E402

PAIR = Skeleton("pair", ("nose", "neck"), ((0, 1),))

SINGLE = {  # stages, and millions of parameters if the paper states them
    "hrnet_w32": (1, 28.5),
    "hrnet_w48": (1, 63.6),
    "simple_baseline_resnet50": (1, 34.0),
    "simple_baseline_resnet101": (1, 53.0),
    "simple_baseline_resnet152": (1, 68.6),
    "cpn_resnet50": (5, None),
    "cpn_resnet101": (5, None),
    "mspn_2": (8, None),
    "mspn_3": (12, None),
    "mspn_4": (16, None),
}


@pytest.mark.parametrize(("name", "stages", "millions"), [(name, *row) for name, row in SINGLE.items()])
def test_single_person_networks_predict_heatmaps_at_stride_4(name, stages, millions) -> None:
    with torch.device("meta"):
        network = zoo.build(name)
        outputs = network(torch.zeros(2, 3, 256, 192))
    assert [{field: tuple(map.shape) for field, map in stage.items()} for stage in outputs] == [
        {"heatmaps": (2, 17, 64, 48)}
    ] * stages
    spec = network.spec
    assert (spec.name, spec.stride, spec.grouping, spec.input.size_wh) == (name, 4, "single", (192, 256))
    count = sum(p.numel() for p in network.parameters()) / 1e6
    assert millions in (None, round(count, 1))


@pytest.mark.parametrize(
    ("name", "parameters", "short_side"),
    [("higherhrnet_w32", 28_645_331, 512), ("higherhrnet_w48", 63_827_139, 640)],
)
def test_higherhrnet_predicts_tags_at_a_quarter_and_heatmaps_at_both_resolutions(name, parameters, short_side) -> None:
    with torch.device("meta"):
        network = zoo.build(name)
        images = torch.zeros(1, 3, 64, 128)
        coarse, fine = network(images)
        fields = network.fields(images)
    assert {field: tuple(map.shape) for field, map in coarse.items()} == {
        "heatmaps": (1, 17, 16, 32),
        "tags": (1, 17, 16, 32),
    }
    assert {field: tuple(map.shape) for field, map in fine.items()} == {"heatmaps": (1, 17, 32, 64)}
    assert fields["heatmaps"].shape == fields["tags"].shape == (1, 17, 32, 64)
    assert sum(p.numel() for p in network.parameters()) == parameters
    spec = network.spec
    assert (spec.stride, spec.origin, spec.input.short_side, spec.grouping) == (2, 1, short_side, "tag")


def test_higherhrnet_averages_its_heatmaps_at_matching_positions() -> None:
    """A cell of the coarse map lies between four cells of the fine map: 2 c + 1/2."""

    class Stages(HigherHRNet):
        def forward(self, images):
            return [{"heatmaps": coarse, "tags": coarse + 10}, {"heatmaps": fine}]

    with torch.device("meta"):
        spec = higherhrnet(PAIR).spec
        network = Stages(spec, 4)
    column = torch.arange(6.0)
    coarse = column.expand(1, 2, 4, 6) * 4 + 2  # x in pixels, at stride 4 and origin 2
    fine = torch.arange(12.0).expand(1, 2, 8, 12) * spec.stride + spec.origin
    fields = network.fields(torch.zeros(1))
    inner = (..., slice(1, -1))  # the outermost fine cells do not lie between two coarse cells
    torch.testing.assert_close(fields["heatmaps"][inner], fine[inner])
    torch.testing.assert_close(fields["tags"][inner], fine[inner] + 10)


def test_higherhrnet_on_random_weights_agrees_with_its_stages() -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        spec = higherhrnet(PAIR).spec
    network = HigherHRNet(spec, 4).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        (coarse, fine), fields = network(images), network.fields(images)
    resized = functional.interpolate(coarse["heatmaps"], size=(32, 32), mode="bilinear")
    torch.testing.assert_close(fields["heatmaps"], (resized + fine["heatmaps"]) / 2)
    corner = coarse["tags"][..., :2, :2]
    weights = torch.tensor([[9.0, 3], [3, 1]]) / 16  # of the four coarse cells around fine cell (1, 1)
    torch.testing.assert_close(fields["tags"][..., 1, 1], (corner * weights).sum(dim=(2, 3)))


@pytest.mark.parametrize(("name", "features", "short_side"), [("dekr_w32", 480, 512), ("dekr_w48", 720, 640)])
def test_dekr_predicts_centres_and_has_a_branch_for_each_keypoint(name, features, short_side) -> None:
    with torch.device("meta"):
        network = zoo.build(name)
        (outputs,) = network(torch.zeros(1, 3, 64, 128))
    assert {field: tuple(map.shape) for field, map in outputs.items()} == {
        "heatmaps": (1, 17, 16, 32),
        "centres": (1, 1, 16, 32),
        "keypoint_offsets": (1, 34, 16, 32),
    }
    assert len(network.branches) == 17 and network.heatmaps[0].in_channels == features
    spec = network.spec
    assert (spec.stride, spec.origin, spec.input.short_side, spec.grouping) == (4, 0, short_side, "centernet")


@pytest.mark.parametrize(
    ("matrix", "translation", "quarter_turns"),
    [((1, 0, 0, 1), (0, 0), 0), ((0, 1, -1, 0), (0, 0), -1), ((1, 0, 0, 1), (1, -2), 0)],
    ids=["plain at first", "rotated", "shifted"],
)
def test_adaptive_block_convolves_with_the_transformed_kernel(matrix, translation, quarter_turns) -> None:
    torch.manual_seed(0)
    block = AdaptiveBlock(3).eval()
    features = torch.randn(1, 3, 9, 8)
    with torch.no_grad():
        if quarter_turns or any(translation):
            block.matrix.bias[:] = torch.tensor(matrix)
            block.translation.bias[:] = torch.tensor(translation)
        plain = functional.conv2d(features, block.weight.rot90(quarter_turns, (2, 3)), padding=1)
        shifted = plain.roll((-translation[0], -translation[1]), (2, 3))
        expected = (block.norm(shifted) + features).relu()
        inner = (..., slice(1, -3), slice(3, -1))
        torch.testing.assert_close(block(features)[inner], expected[inner])


@pytest.mark.parametrize("scales", [1, 2, 4])
def test_backbone_returns_the_requested_number_of_resolutions(scales) -> None:
    with torch.device("meta"):
        backbone = HRNet(4, scales)
        maps = backbone(torch.zeros(1, 3, 64, 96))
    expected = [(1, 4 << scale, 16 >> scale, 24 >> scale) for scale in range(scales)]
    assert [tuple(features.shape) for features in maps] == expected
    assert backbone.channels == tuple(4 << scale for scale in range(scales))
    assert backbone.strides == (4, 8, 16, 32)[:scales]


def test_exchange_unit_sums_all_resolutions() -> None:
    torch.manual_seed(0)
    exchange = ExchangeUnit((2, 4, 8), outputs=2).eval()
    maps = [torch.randn(1, 2 << scale, 16 >> scale, 8 >> scale) for scale in range(3)]
    with torch.no_grad():
        fine, coarse = exchange(maps)
        own = [branch(features) for branch, features in zip(exchange.branches, maps, strict=True)]
        layers = exchange.fuse_layers
        torch.testing.assert_close(fine, (own[0] + layers[0][1](own[1]) + layers[0][2](own[2])).relu())
        torch.testing.assert_close(coarse, (layers[1][0](own[0]) + own[1] + layers[1][2](own[2])).relu())
        assert (layers[1][0](own[0]) < 0).any()  # no ReLU before the sum


def test_transition_makes_the_new_resolution_from_the_coarsest() -> None:
    torch.manual_seed(0)
    transition = BranchTransition((2, 4), (2, 4, 8)).eval()
    maps = [torch.randn(1, 2, 8, 8), torch.randn(1, 4, 4, 4)]
    with torch.no_grad():
        fine, middle, new = transition(maps)
        other = transition([maps[0] + 1, maps[1]])[2]
    assert fine is maps[0] and middle is maps[1] and new.shape == (1, 8, 2, 2)
    assert torch.equal(new, other)


def test_concatenation_keeps_a_single_map_and_the_finest_grid() -> None:
    fine, coarse = torch.randn(1, 2, 8, 4), torch.full((1, 3, 4, 2), 5.0)
    assert torch.equal(Concatenate()((fine,)), fine)
    both = Concatenate()((fine, coarse))
    assert torch.equal(both[:, :2], fine) and torch.equal(both[:, 2:], torch.full((1, 3, 8, 4), 5.0))


@pytest.mark.parametrize(
    ("name", "skeleton"),
    [("hrnet_w32", MPII_16), ("higherhrnet_w32", CROWDPOSE_14), ("mspn_2", PAIR), ("cpn_resnet50", PAIR)],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_skeleton_determines_the_channels(name, skeleton) -> None:
    with torch.device("meta"):
        network = zoo.build(name, skeleton)
        fields = network.eval().fields(torch.zeros(1, 3, 64, 64))
    assert network.spec.skeleton == skeleton
    assert {map.shape[1] for map in fields.values()} == {len(skeleton)}


def test_pyramid_levels_depend_on_all_coarser_levels() -> None:
    torch.manual_seed(0)
    pyramid = GlobalNet((4, 8, 16), 2).eval()
    maps = [torch.randn(1, 4 << scale, 16 >> scale, 8 >> scale) for scale in range(3)]
    with torch.no_grad():
        levels, heatmaps = pyramid(maps)
        changed, _ = pyramid([*maps[:2], maps[2] + 1])
        lowest, _ = pyramid([maps[0] + 1, *maps[1:]])
    assert [level.shape[2] for level in levels] == [16, 8, 4]
    assert {heatmap.shape for heatmap in heatmaps} == {(1, 2, 16, 8)}
    assert not any(torch.equal(a, b) for a, b in zip(levels, changed, strict=True))
    assert [torch.equal(a, b) for a, b in zip(levels, lowest, strict=True)] == [False, True, True]


@pytest.mark.parametrize("path", ["features", "down", "up"])
def test_a_stage_of_mspn_depends_on_the_previous_one_through_three_paths(path) -> None:
    torch.manual_seed(0)
    network = MSPN(PAIR, stages=2).eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = network(images)
        for norm in getattr(network.bridges[0], path).modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.bias += 1
        after = network(images)
    same = [torch.equal(a["heatmaps"], b["heatmaps"]) for a, b in zip(before, after, strict=True)]
    assert same == [True] * 4 + [False] * 4


def test_a_crop_has_one_person_with_keypoints_at_multiples_of_the_stride() -> None:
    with torch.device("meta"):
        spec = hrnet(PAIR, width=4).spec
    heatmaps = np.zeros((1, 2, 16, 16), np.float32)
    heatmaps[0, 0, 3, 5] = heatmaps[0, 1, 10, 6] = 1
    people = make_decoder(spec)(spec.fields({"heatmaps": heatmaps}))
    assert people.keypoints.tolist() == [[[20, 12], [24, 40]]]
