"""Test the importers of trt_pose, Lightweight OpenPose and OpenPose.

The publishers' networks are written here a second time, with the publishers' keys. With the same random weights, both
must compute the same.
"""

from __future__ import annotations

import re
from functools import cache, reduce

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import checkpoint_keys  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from pose_ros.checkpoint import lightweight_openpose, load_checkpoint, openpose, trt_pose  # noqa: E402
from pose_ros.checkpoint.loading import load_state, publishers  # noqa: E402
from pose_ros.network.trt_pose import HAND_21, NETWORKS  # noqa: E402
from pose_ros.skeleton import BODY_25, OPENPOSE_18, TRT_POSE_18  # noqa: E402

RESNET = "trt_pose_resnet18_baseline_att"
DENSENET = "trt_pose_densenet121_baseline_att"
LIGHT_1, LIGHT_3 = "lightweight_hpe_mobilenet_ref1", "lightweight_hpe_mobilenet_ref3"
OPENPOSE = "pytorch_openpose_body18"
TABLES = {
    RESNET: ("trt_pose", "trt_pose_resnet18_att"),
    DENSENET: ("trt_pose", "trt_pose_densenet121_att"),
    LIGHT_1: ("Lightweight OpenPose", "lightweight_openpose_1"),
    LIGHT_3: ("Lightweight OpenPose", "lightweight_openpose_3"),
    OPENPOSE: ("OpenPose", "openpose_coco"),
    "body_25": ("OpenPose", "openpose_body25"),
}
OTHERS = (
    *("centernet_multi_pose_dla34", "centernet_multi_pose_hourglass", "dekr_w32", "higherhrnet_w32"),
    *("higherhrnet_w48", "pose_ae_train_4hg", "posenet_pytorch_mnv1_101"),
)
PUBLISHERS = (trt_pose.PUBLISHER, lightweight_openpose.PUBLISHER, openpose.PUBLISHER)


def body_25_shapes():
    """Return the shapes of OpenPose's BODY_25, with Caffe's names of the layers."""
    rows = [("conv1_1", 3, 64), ("conv1_2", 64, 64), ("conv2_1", 64, 128), ("conv2_2", 128, 128), ("conv3_1", 128, 256)]
    rows += [(f"conv3_{n}", 256, 256) for n in (2, 3, 4)] + [("conv4_1", 256, 512), ("conv4_2", 512, 512)]
    rows += [("conv4_3_CPM", 512, 256), ("conv4_4_CPM", 256, 128)]
    shapes = {f"prelu{name}.weight": (n,) for name, n in (("4_2", 512), ("4_3_CPM", 256), ("4_4_CPM", 128))}
    shapes |= {f"{name}.weight": (cout, cin, 3, 3) for name, cin, cout in rows}
    shapes |= {f"{name}.bias": (cout,) for name, _, cout in rows}
    stages = {"0_L2": (128, 96, 256, 52), "0_L1": (180, 96, 256, 26), "1_L1": (206, 128, 512, 26)}
    stages |= {f"{stage}_L2": (180, 128, 512, 52) for stage in (1, 2, 3)}
    for stage, (cin, width, inner, cout) in stages.items():
        for block in range(1, 6):
            for conv in range(3):
                name = f"{block}_stage{stage}_{conv}"
                before = width if conv else cin if block == 1 else 3 * width
                shapes |= {f"Mconv{name}.weight": (width, before, 3, 3), f"Mconv{name}.bias": (width,)}
                shapes[f"Mprelu{name}.weight"] = (width,)
        shapes |= {f"Mconv6_stage{stage}.weight": (inner, 3 * width, 1, 1), f"Mconv6_stage{stage}.bias": (inner,)}
        shapes |= {f"Mconv7_stage{stage}.weight": (cout, inner, 1, 1), f"Mconv7_stage{stage}.bias": (cout,)}
        shapes[f"Mprelu6_stage{stage}.weight"] = (inner,)
    return shapes


def shapes_of(table):
    return body_25_shapes() if table == "body_25" else checkpoint_keys.published_shapes(table)


@cache
def state(table):
    return checkpoint_keys.random_state(shapes_of(table))


@cache
def network(table):
    """Load the network. The tests share it and do not change it."""
    return load_state(dict(state(table)), f"{table}.pth")


@pytest.fixture(scope="module", autouse=True)
def clear_caches():
    """Free the gigabyte of all these weights."""
    yield
    state.cache_clear()
    network.cache_clear()


class Layers:
    """Layers of a checkpoint as functions, by the publisher's names."""

    def __init__(self, table, prefix=""):
        self.state, self.prefix = state(table), prefix

    def __getitem__(self, key):
        return self.state[self.prefix + key]

    def conv(self, x, name, stride=1, dilation=1, groups=1):
        weight = self[f"{name}.weight"]
        padding = dilation * (weight.shape[-1] // 2)
        bias = self.state.get(f"{self.prefix}{name}.bias")
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    def norm(self, x, name):
        arrays = (self[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *arrays)

    def prelu(self, x, name):
        return F.prelu(x, self[f"{name}.weight"])


def resnet_18(images):
    layers = Layers(RESNET, "0.resnet.")
    x = F.max_pool2d(layers.norm(layers.conv(images, "conv1", stride=2), "bn1").relu(), 3, 2, 1)
    for layer in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride, shortcut = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1, x
            if stride == 2:
                shortcut = layers.norm(layers.conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = layers.norm(layers.conv(x, f"{name}.conv1", stride), f"{name}.bn1").relu()
            x = (layers.norm(layers.conv(x, f"{name}.conv2"), f"{name}.bn2") + shortcut).relu()
    return x


def densenet_121(images):
    layers = Layers(DENSENET, "0.densenet.features.")
    x = F.max_pool2d(layers.norm(layers.conv(images, "conv0", stride=2), "norm0").relu(), 3, 2, 1)
    for block, count in enumerate((6, 12, 24, 16), start=1):
        for n in range(1, count + 1):
            name = f"denseblock{block}.denselayer{n}"
            new = layers.conv(layers.norm(x, f"{name}.norm1").relu(), f"{name}.conv1")
            x = torch.cat([x, layers.conv(layers.norm(new, f"{name}.norm2").relu(), f"{name}.conv2")], dim=1)
        if block < 4:
            x = layers.conv(layers.norm(x, f"transition{block}.norm").relu(), f"transition{block}.conv")
            x = F.avg_pool2d(x, 2)
    return layers.norm(x, "norm5")


def trt_pose_forward(table, images):
    layers = Layers(table, "1.")
    features, fields = {RESNET: resnet_18, DENSENET: densenet_121}[table](images), {}
    for name, gate in (("cmap", torch.sigmoid), ("paf", torch.tanh)):
        x = features
        for n in (0, 3, 6):
            x = F.conv_transpose2d(x, layers[f"{name}_up.{n}.weight"], layers[f"{name}_up.{n}.bias"], 2, 1)
            x = layers.norm(x, f"{name}_up.{n + 1}").relu()
        fields[name] = layers.conv(x * gate(layers.conv(x, f"{name}_att")), f"{name}_conv")
    return fields


def lightweight_forward(images):
    layers = Layers(LIGHT_1)
    x = layers.norm(layers.conv(images, "model.0.0", stride=2), "model.0.1").relu()
    for n in range(1, 12):
        stride, dilation = (2 if n in (2, 4) else 1), (2 if n == 7 else 1)
        x = layers.conv(x, f"model.{n}.0", stride, dilation, groups=x.shape[1])
        x = layers.norm(x, f"model.{n}.1").relu()
        x = layers.norm(layers.conv(x, f"model.{n}.3"), f"model.{n}.4").relu()
    narrow = x = layers.conv(x, "cpm.align.0").relu()
    for n in range(3):
        x = F.elu(layers.conv(F.elu(layers.conv(x, f"cpm.trunk.{n}.0", groups=128)), f"cpm.trunk.{n}.2"))
    features = x = layers.conv(narrow + x, "cpm.conv.0").relu()
    for n in range(3):
        x = layers.conv(x, f"initial_stage.trunk.{n}.0").relu()
    first = lightweight_head(layers, x, "initial_stage")
    x = torch.cat([features, *first], dim=1)
    for n in range(5):
        block = f"refinement_stages.0.trunk.{n}"
        narrow = x = layers.conv(x, f"{block}.initial.0").relu()
        for k in (0, 1):
            x = layers.norm(layers.conv(x, f"{block}.trunk.{k}.0", dilation=k + 1), f"{block}.trunk.{k}.1").relu()
        x = narrow + x
    return [first, lightweight_head(layers, x, "refinement_stages.0")]


def lightweight_head(layers, x, stage):
    return [
        layers.conv(layers.conv(x, f"{stage}.{field}.0.0").relu(), f"{stage}.{field}.1.0")
        for field in ("heatmaps", "pafs")
    ]


def vgg(layers, x, blocks, prelu=False):
    for block, names in enumerate(blocks):
        x = F.max_pool2d(x, 2) if block else x
        for name in names.split():
            x = layers.conv(x, f"conv{name}")
            x = layers.prelu(x, f"prelu{name}") if prelu and name in ("4_2", "4_3_CPM", "4_4_CPM") else x.relu()
    return x


VGG_BLOCKS = ("1_1 1_2", "2_1 2_2", "3_1 3_2 3_3 3_4", "4_1 4_2 4_3_CPM 4_4_CPM")


def openpose_forward(images):
    features = x = vgg(Layers(OPENPOSE, "model0."), images, VGG_BLOCKS)
    results = []
    for stage in range(1, 7):
        fields = []
        for branch in (1, 2):
            layers, y = Layers(OPENPOSE, f"model{stage}_{branch}."), x
            count = 5 if stage == 1 else 7
            for n in range(1, count + 1):
                name = f"conv5_{n}_CPM_L{branch}" if stage == 1 else f"Mconv{n}_stage{stage}_L{branch}"
                y = layers.conv(y, name)
                y = y.relu() if n < count else y
            fields.append(y)
        results.append(fields)
        x = torch.cat([*fields, features], dim=1)
    return results


def body_25_forward(images):
    layers = Layers("body_25")
    features = vgg(layers, images, VGG_BLOCKS, prelu=True)

    def stage(x, name):
        for block in range(1, 6):
            outputs = []
            for conv in range(3):
                layer = f"{block}_stage{name}_{conv}"
                x = layers.prelu(layers.conv(x, f"Mconv{layer}"), f"Mprelu{layer}")
                outputs.append(x)
            x = torch.cat(outputs, dim=1)
        x = layers.prelu(layers.conv(x, f"Mconv6_stage{name}"), f"Mprelu6_stage{name}")
        return layers.conv(x, f"Mconv7_stage{name}")

    paf = stage(features, "0_L2")
    for n in (1, 2, 3):
        paf = stage(torch.cat([features, paf], dim=1), f"{n}_L2")
    heat = stage(torch.cat([features, paf], dim=1), "0_L1")
    return stage(torch.cat([features, heat, paf], dim=1), "1_L1"), paf


def check_close(result, expected):
    """Check that two fields are equal, and that their values depend on the image."""
    assert expected.std(dim=(2, 3)).mean() > 0.01
    torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@pytest.fixture
def images():
    return torch.randn(1, 3, 32, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("table", "expected"), [(table, name) for table, (_, name) in TABLES.items()])
def test_a_published_checkpoint_loads_completely(table, expected):
    model = network(table)

    assert model.spec.name == expected
    assert not model.training


@pytest.mark.parametrize("table", [RESNET, DENSENET])
@torch.no_grad()
def test_trt_pose_fields_equal_the_publishers_with_x_before_y(table, images):
    fields, expected = network(table).fields(images), trt_pose_forward(table, images)

    check_close(fields["heatmaps"], expected["cmap"])
    check_close(fields["pafs"][:, 0::2], expected["paf"][:, 1::2])
    check_close(fields["pafs"][:, 1::2], expected["paf"][:, 0::2])


@torch.no_grad()
def test_each_stage_of_lightweight_openpose_equals_the_publishers(images):
    for stage, (heatmaps, pafs) in zip(network(LIGHT_1)(images), lightweight_forward(images), strict=True):
        check_close(stage["heatmaps"], heatmaps)
        check_close(stage["pafs"], pafs)


@torch.no_grad()
def test_each_stage_of_openpose_equals_the_publishers(images):
    for stage, (pafs, heatmaps) in zip(network(OPENPOSE)(images), openpose_forward(images), strict=True):
        check_close(stage["heatmaps"], heatmaps)
        check_close(stage["pafs"], pafs)


@torch.no_grad()
def test_body_25_fields_equal_the_publishers(images):
    heatmaps, pafs = body_25_forward(images)

    fields = network("body_25").fields(images)

    check_close(fields["heatmaps"], heatmaps)
    check_close(fields["pafs"], pafs)


def test_a_published_file_with_its_training_state_loads(tmp_path):
    path = tmp_path / "checkpoint_iter_370000.pth"
    wrapped = {f"module.{key}": value for key, value in state(LIGHT_1).items()}
    torch.save({"state_dict": wrapped, "optimizer": {"lr": 4e-5}, "iter": 370000, "current_epoch": 280}, path)

    model = load_checkpoint(path)

    assert model.spec.skeleton == OPENPOSE_18
    torch.testing.assert_close(model.state_dict(), network(LIGHT_1).state_dict())


def test_the_error_names_the_identified_network_if_another_was_requested(tmp_path):
    torch.save(state(LIGHT_1), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"missing, first stages\.2.*its keys identify it as a checkpoint of \S+_1$"):
        load_checkpoint(tmp_path / "a.pth", network="lightweight_openpose_3")


def test_a_caffe_model_in_a_numpy_archive_loads(tmp_path):
    path = tmp_path / "pose_iter_584000.npz"
    np.savez(path, **{key: value.numpy() for key, value in state("body_25").items()})

    model = load_checkpoint(path)

    assert model.spec.skeleton == BODY_25
    torch.testing.assert_close(model.state_dict(), network("body_25").state_dict())


def test_caffe_names_are_converted_without_the_prefixes_of_a_port():
    bare = {key.partition(".")[2]: value for key, value in state(OPENPOSE).items()}

    assert set(openpose.PUBLISHER.convert(bare)) == set(network(OPENPOSE).state_dict())


@pytest.mark.parametrize("table", [RESNET, LIGHT_1, "body_25"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda s, key: s.pop(key), r"1 missing, first {}", id="removed"),
        pytest.param(
            lambda s, key: s.update({key: s[key][:-1]}), r"1 mis-shaped, first {} \(expected", id="mis-shaped"
        ),
        pytest.param(lambda s, key: s.update(odd=s[key]), "1 unexpected, first odd", id="added"),
    ],
)
def test_keys_that_do_not_fit_are_reported(table, damage, message):
    keys = {
        RESNET: ("0.resnet.layer4.1.conv2.weight", "backbone.layer4.1.conv2.weight"),
        LIGHT_1: ("refinement_stages.0.pafs.1.0.weight", "stages.1.pafs.1.0.weight"),
        "body_25": ("Mprelu6_stage1_L1.weight", "heatmaps.1.leave.prelu6.weight"),
    }
    published, own = keys[table]
    damaged = dict(state(table))
    damage(damaged, published)

    with pytest.raises(ValueError, match=message.format(own.replace(".", r"\."))) as error:
        load_state(damaged, "damaged.pth")

    assert f"damaged.pth ({TABLES[table][0]}, {TABLES[table][1]})" in str(error.value)


@pytest.mark.parametrize("table", TABLES)
def test_exactly_one_publisher_identifies_a_checkpoint(table):
    shapes = shapes_of(table)

    assert [publisher.name for publisher in publishers() if publisher.network(shapes)] == [TABLES[table][0]]


@pytest.mark.parametrize("table", OTHERS)
def test_checkpoints_of_other_families_are_not_identified(table):
    shapes = checkpoint_keys.published_shapes(table)

    assert [publisher.name for publisher in PUBLISHERS if publisher.network(shapes)] == []


def trt_pose_shapes(name):
    """Return the shapes of one of our networks, with the keys of trt_pose."""
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in NETWORKS[name]().state_dict().items()}
    attention = name.endswith("_att")
    backbone = "0.resnet." if "resnet" in name else "0.densenet."
    rules = [
        (r"^backbone\.", backbone),
        (r"^heads\.heatmaps\.", "1.cmap_"),
        (r"^heads\.pafs\.", "1.paf_"),
        (r"_conv\.", "_conv." if attention else "_conv.1."),
        (r"_up\.", "_up." if attention else "_conv.0."),
        (r"_gate\.", "_att."),
    ]
    return {reduce(lambda key, rule: re.sub(*rule, key), rules, key): shape for key, shape in shapes.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_backbone_and_attention_of_trt_pose_are_identified(name):
    shapes = trt_pose_shapes(name)

    with torch.device("meta"):
        model = trt_pose.PUBLISHER.network(shapes)()
        converted = trt_pose.PUBLISHER.convert({key: torch.empty(shape) for key, shape in shapes.items()})

    assert model.spec.name == name
    assert model.spec.skeleton == TRT_POSE_18
    assert converted.keys() == model.state_dict().keys()


def trt_pose_shapes_with(keypoints, links):
    shapes = trt_pose_shapes("trt_pose_resnet18_att")
    shapes |= {"1.cmap_conv.weight": (keypoints, 256, 1, 1), "1.cmap_conv.bias": (keypoints,)}
    return shapes | {"1.paf_conv.weight": (2 * links, 256, 1, 1), "1.paf_conv.bias": (2 * links,)}


def test_a_hand_is_identified():
    with torch.device("meta"):
        model = trt_pose.PUBLISHER.network(trt_pose_shapes_with(21, 20))()

    assert model.spec.skeleton == HAND_21
    assert {HAND_21.keypoint_names[k] for limb in HAND_21.limbs for k in limb} == set(HAND_21.keypoint_names)


def test_unknown_keypoints_are_rejected():
    build = trt_pose.PUBLISHER.network(trt_pose_shapes_with(5, 4))

    with pytest.raises(ValueError, match=r"expected 18 keypoints and 21 links .* got 5 and 4"):
        build()


@pytest.mark.parametrize("count", [0, 2, 5])
def test_refinement_stages_are_counted(count):
    shapes = checkpoint_keys.published_shapes(LIGHT_1)
    first = {key: shape for key, shape in shapes.items() if not key.startswith("refinement_stages.")}
    stage = {key.split(".", 2)[2]: shape for key, shape in shapes.items() if key.startswith("refinement_stages.")}
    shapes = first | {f"refinement_stages.{n}.{key}": shape for n in range(count) for key, shape in stage.items()}

    with torch.device("meta"):
        model = lightweight_openpose.PUBLISHER.network(shapes)()
        converted = lightweight_openpose.PUBLISHER.convert({key: torch.empty(shape) for key, shape in shapes.items()})

    assert model.spec.name == f"lightweight_openpose_{count}"
    assert converted.keys() == model.state_dict().keys()
