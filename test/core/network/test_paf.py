"""Test the networks with part affinity fields, CPM and the backbones: shapes, channels and parameters."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import checkpoint_keys  # noqa: E402

from pose_ros.network import cpm, lightweight_openpose, openpose, openpose_body25, trt_pose  # noqa: E402
from pose_ros.network.densenet import DenseNet  # noqa: E402
from pose_ros.network.resnet import ResNet  # noqa: E402
from pose_ros.skeleton import BODY_25, COCO_17, OPENPOSE_18, TRT_POSE_18  # noqa: E402

NETWORKS = {
    **trt_pose.NETWORKS,
    **lightweight_openpose.NETWORKS,
    **openpose.NETWORKS,
    **openpose_body25.NETWORKS,
    **cpm.NETWORKS,
}
BODY = {"heatmaps": 18, "pafs": 42}
OPENPOSE = {"heatmaps": 19, "pafs": 38}
FIELDS = {
    **dict.fromkeys(trt_pose.NETWORKS, (BODY, 4, 1)),
    "lightweight_openpose_1": (OPENPOSE, 8, 2),
    "lightweight_openpose_3": (OPENPOSE, 8, 4),
    "openpose_coco": (OPENPOSE, 8, 6),
    "openpose_body25": ({"heatmaps": 26, "pafs": 52}, 8, 5),
    "cpm_mpii": ({"heatmaps": 15}, 8, 6),
}

OPENPOSE_PAIRS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (2, 16), (5, 17)),
)
OPENPOSE_CHANNELS = (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26)
BODY_25_PAIRS = (
    *((1, 8), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11), (8, 12), (12, 13)),
    *((13, 14), (1, 0), (0, 15), (15, 17), (0, 16), (16, 18), (2, 17), (5, 18), (14, 19), (19, 20), (14, 21)),
    *((11, 22), (22, 23), (11, 24)),
)
BODY_25_CHANNELS = (
    *(0, 14, 22, 16, 18, 24, 26, 6, 2, 4, 8, 10, 12, 30, 32, 36, 34, 38, 20, 28),
    *(40, 42, 44, 46, 48, 50),
)
TRT_POSE_LINKS = (
    *((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 8), (7, 9), (8, 10), (9, 11), (2, 3), (1, 2), (1, 3)),
    *((2, 4), (3, 5), (4, 6), (5, 7), (18, 1), (18, 6), (18, 7), (18, 12), (18, 13)),
)


def build(name, *args):
    """Build a network without memory for its weights."""
    with torch.device("meta"):
        return NETWORKS[name](*args)


def count_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_table_has_every_network():
    assert set(FIELDS) == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_fields_have_the_channels_and_the_stride_of_the_description(name):
    network = build(name)
    channels, stride, stages = FIELDS[name]

    outputs = network(torch.empty(2, 3, 96, 160, device="meta"))
    fields = network.fields(torch.empty(2, 3, 96, 160, device="meta"))

    assert network.spec.name == name
    assert network.spec.stride == stride
    assert network.spec.origin == (stride - 1) / 2
    assert [head.field for head in network.spec.heads] == list(fields)
    shapes = {field: (2, count, 96 // stride, 160 // stride) for field, count in channels.items()}
    assert {field: tuple(values.shape) for field, values in fields.items()} == shapes
    assert len(outputs) == stages
    for stage in outputs:
        assert stage
        assert all(tuple(values.shape) == shapes[field] for field, values in stage.items())


@pytest.mark.parametrize("name", [name for name, (channels, *_) in FIELDS.items() if "pafs" in channels])
def test_every_field_is_supervised_in_each_stage_that_predicts_it(name):
    exceptions = {"openpose_body25": {"heatmaps": 2, "pafs": 4}}
    stages = FIELDS[name][2]

    outputs = build(name)(torch.empty(1, 3, 64, 64, device="meta"))

    counts = {field: sum(field in stage for stage in outputs) for field in ("heatmaps", "pafs")}
    assert counts == exceptions.get(name, {"heatmaps": stages, "pafs": stages})


@pytest.mark.parametrize(
    ("name", "table", "unused"),
    [
        ("trt_pose_resnet18_att", "trt_pose_resnet18_baseline_att", ".fc."),
        ("trt_pose_densenet121_att", "trt_pose_densenet121_baseline_att", ".classifier."),
        ("lightweight_openpose_1", "lightweight_hpe_mobilenet_ref1", "-"),
        ("lightweight_openpose_3", "lightweight_hpe_mobilenet_ref3", "-"),
        ("openpose_coco", "pytorch_openpose_body18", "-"),
    ],
)
def test_number_of_parameters_equals_that_of_the_publisher(name, table, unused):
    published = checkpoint_keys.count_parameters(checkpoint_keys.published_shapes(table), without=(unused,))

    assert count_parameters(build(name)) == published


@pytest.mark.parametrize(
    ("backbone", "depth", "published"),
    [
        pytest.param(ResNet, 18, 11_689_512, id="resnet18"),
        pytest.param(ResNet, 34, 21_797_672, id="resnet34"),
        pytest.param(ResNet, 50, 25_557_032, id="resnet50"),
        pytest.param(ResNet, 101, 44_549_160, id="resnet101"),
        pytest.param(ResNet, 152, 60_192_808, id="resnet152"),
        pytest.param(DenseNet, 121, 7_978_856, id="densenet121"),
        pytest.param(DenseNet, 161, 28_681_000, id="densenet161"),
        pytest.param(DenseNet, 169, 14_149_480, id="densenet169"),
        pytest.param(DenseNet, 201, 20_013_928, id="densenet201"),
    ],
)
def test_backbones_have_the_parameters_of_torchvision_without_the_classifier(backbone, depth, published):
    with torch.device("meta"):
        network = backbone(depth)

    features = network(torch.empty(1, 3, 96, 160, device="meta"))

    assert count_parameters(network) == published - (network.channels[-1] + 1) * 1000
    expected = [(1, c, 96 // s, 160 // s) for c, s in zip(network.channels, network.strides, strict=True)]
    assert [tuple(level.shape) for level in features] == expected


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("depth", [18, 50])
def test_a_dilated_resnet_equals_the_strided_one_at_its_cells(depth, output_stride):
    torch.manual_seed(0)
    strided, dilated = ResNet(depth).eval(), ResNet(depth, output_stride).eval()
    dilated.load_state_dict(strided.state_dict())
    images = torch.randn(1, 3, 64, 96)

    with torch.no_grad():
        coarse, fine = strided(images), dilated(images)

    assert dilated.strides == (4, 8, min(16, output_stride), output_stride)
    for level, stride in enumerate(dilated.strides):
        step = strided.strides[level] // stride
        torch.testing.assert_close(fine[level][..., ::step, ::step], coarse[level], rtol=1e-4, atol=1e-5)
    assert fine[3].shape[-2:] == (64 // output_stride, 96 // output_stride)


def test_a_bottleneck_has_its_stride_on_the_3x3_convolution():
    with torch.device("meta"):
        first = ResNet(50).layer2[0]

    assert [conv.stride[0] for conv in (first.conv1, first.conv2, first.conv3, first.downsample[0])] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    ("build_it", "message"),
    [
        pytest.param(lambda: ResNet(20), "expected depth 18, 34, 50, 101, 152 .*got 20", id="unknown ResNet depth"),
        pytest.param(lambda: ResNet(18, 4), "output stride 8, 16 or 32, got 18 and 4", id="unknown stride"),
        pytest.param(lambda: DenseNet(120), "expected depth 121, 161, 169, 201, got 120", id="unknown DenseNet depth"),
    ],
)
def test_an_unknown_size_is_reported(build_it, message):
    with pytest.raises(ValueError, match=message):
        build_it()


@pytest.mark.parametrize(
    ("skeleton", "pairs", "channels"),
    [
        pytest.param(OPENPOSE_18, OPENPOSE_PAIRS, OPENPOSE_CHANNELS, id="OpenPose COCO, Lightweight OpenPose"),
        pytest.param(BODY_25, BODY_25_PAIRS, BODY_25_CHANNELS, id="BODY_25"),
        pytest.param(
            TRT_POSE_18,
            [(a - 1, b - 1) for a, b in TRT_POSE_LINKS],
            range(0, 2 * len(TRT_POSE_LINKS), 2),
            id="trt_pose",
        ),
    ],
)
def test_limbs_have_the_order_of_the_publishers_channels(skeleton, pairs, channels):
    assert skeleton.limbs == tuple(pair for _, pair in sorted(zip(channels, pairs, strict=True)))


@pytest.mark.parametrize("name", ["trt_pose_resnet18_att", "lightweight_openpose_1", "openpose_coco", "cpm_mpii"])
def test_a_custom_skeleton_determines_the_channels(name):
    background = 0 if name.startswith("trt_pose") else 1

    network = build(name, COCO_17)
    fields = network.fields(torch.empty(1, 3, 64, 64, device="meta"))

    assert network.spec.skeleton == COCO_17
    assert fields["heatmaps"].shape[1] == 17 + background
    assert "pafs" not in fields or fields["pafs"].shape[1] == 2 * len(COCO_17.limbs)


@pytest.mark.parametrize("attention", [torch.sigmoid, torch.tanh, None])
def test_attention_multiplies_the_features(attention):
    torch.manual_seed(0)
    branch = trt_pose.TrtPoseBranch(8, 3, attention, channels=4).eval()
    features = torch.randn(1, 8, 2, 3)

    with torch.no_grad():
        fine = branch.up(features)
        gate = attention(branch.gate(fine)) if attention else 1
        torch.testing.assert_close(branch(features), branch.conv(fine * gate))
    assert (attention is None) == (not hasattr(branch, "gate"))


def test_the_centre_map_is_highest_in_the_middle_of_the_image():
    centre = cpm.centre_map(torch.zeros(2, 32, 5, 8), sigma=2.0)

    assert centre.shape == (2, 1, 5, 8)
    torch.testing.assert_close(centre, centre.flip(-1).flip(-2))
    torch.testing.assert_close(centre[0, 0, 2, 3:5], torch.full((2,), 0.5).square().div(-8).exp())
    torch.testing.assert_close(centre[1, 0, 0, 0], torch.tensor(-(2.0**2 + 3.5**2) / 8).exp())
    assert centre.max() == centre[0, 0, 2, 3]


@pytest.mark.parametrize("name", ["lightweight_openpose_1", "cpm_mpii"])
def test_all_parameters_have_gradients(name):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    images = torch.randn(1, 3, 32, 48)

    sum(values.square().mean() for stage in network(images) for values in stage.values()).backward()

    assert all(parameter.grad is not None for parameter in network.parameters())
