"""Test the importers of Associative Embedding, the HRNet family and Simple Baselines.

The publishers' networks are written here a second time, with the publishers' keys. With the same random weights, both
must compute the same.
"""

import functools
import re

import pytest

torch = pytest.importorskip("torch")

from checkpoint_keys import count_parameters, published_shapes, published_state, random_state  # noqa: E402
from torch.nn import functional  # noqa: E402

from pose_ros.checkpoint import associative_embedding, dekr, hrnet, simple_baseline  # noqa: E402
from pose_ros.checkpoint.loading import fill, load_state  # noqa: E402
from pose_ros.checkpoint.publisher import shapes_of  # noqa: E402
from pose_ros.network.associative_embedding import AssociativeEmbedding  # noqa: E402
from pose_ros.network.resnet import ResNet  # noqa: E402
from pose_ros.skeleton import COCO_17, Skeleton  # noqa: E402

TABLES = {
    "pose_ae_train_4hg": (associative_embedding, "associative_embedding_4hg", 148),
    "higherhrnet_w32": (hrnet, "higherhrnet_w32", 1810),
    "higherhrnet_w48": (hrnet, "higherhrnet_w48", 1810),
    "dekr_w32": (dekr, "dekr_w32", 2264),
}


def on_meta(shapes):
    """Make tensors without memory."""
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def build(module, shapes):
    with torch.device("meta"):
        return module.PUBLISHER.network(shapes)()


def hrnet_shapes(table, keypoints):
    """Return the shapes of single-person HRNet: HigherHRNet's backbone and one last convolution."""
    shapes = {key: shape for key, shape in published_shapes(table).items() if not key.startswith(("final", "deconv"))}
    width = shapes["stage2.0.branches.0.0.conv1.weight"][0]
    return {**shapes, "final_layer.weight": (keypoints, width, 1, 1), "final_layer.bias": (keypoints,)}


def simple_baseline_shapes(depth, keypoints):
    """Return the shapes of Simple Baselines: torchvision's backbone and the layers after it."""
    with torch.device("meta"):
        shapes = shapes_of(ResNet(depth).state_dict())
    for index, cin in ((0, 2048), (3, 256), (6, 256)):
        shapes[f"deconv_layers.{index}.weight"] = (cin, 256, 4, 4)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"deconv_layers.{index + 1}.{part}"] = (256,)
        shapes[f"deconv_layers.{index + 1}.num_batches_tracked"] = ()
    return {**shapes, "final_layer.weight": (keypoints, 256, 1, 1), "final_layer.bias": (keypoints,)}


@pytest.mark.parametrize("table", TABLES)
def test_every_entry_of_a_published_checkpoint_is_converted(table) -> None:
    module, name, count = TABLES[table]
    shapes = published_shapes(table)
    network = build(module, shapes)
    assert network.spec.name == name and len(shapes) == count
    assert sum(p.numel() for p in network.parameters()) == count_parameters(shapes, without=("regular_matrix",))
    assert shapes_of(module.PUBLISHER.convert(on_meta(shapes))) == shapes_of(network.state_dict())


@pytest.mark.parametrize("table", TABLES)
def test_only_its_publisher_identifies_a_checkpoint(table) -> None:
    modules = {associative_embedding, dekr, hrnet, simple_baseline}
    assert [m for m in modules if m.PUBLISHER.network(published_shapes(table))] == [TABLES[table][0]]


@pytest.mark.parametrize(
    ("keypoints", "width", "skeleton", "size_wh"),
    [(17, 32, "coco_17", (192, 256)), (17, 48, "coco_17", (192, 256)), (16, 32, "mpii_16", (256, 256))],
)
def test_single_person_hrnet(keypoints, width, skeleton, size_wh) -> None:
    shapes = hrnet_shapes(f"higherhrnet_w{width}", keypoints)
    network = build(hrnet, shapes)
    assert (network.spec.name, network.spec.skeleton.name) == (f"hrnet_w{width}", skeleton)
    assert network.spec.input.size_wh == size_wh
    assert shapes_of(hrnet.PUBLISHER.convert(on_meta(shapes))) == shapes_of(network.state_dict())


def test_crowdpose_higherhrnet_is_identified_by_its_14_keypoints() -> None:
    shapes = {**published_shapes("higherhrnet_w32"), "final_layers.1.bias": (14,)}
    assert build(hrnet, shapes).spec.skeleton.name == "crowdpose_14"


@pytest.mark.parametrize("depth", [50, 101, 152])
@pytest.mark.parametrize(("keypoints", "skeleton"), [(17, "coco_17"), (16, "mpii_16")])
def test_simple_baselines_depth_and_keypoints(depth, keypoints, skeleton) -> None:
    shapes = simple_baseline_shapes(depth, keypoints)
    network = build(simple_baseline, shapes)
    assert network.spec.name == f"simple_baseline_resnet{depth}" and network.spec.skeleton.name == skeleton
    assert shapes_of(simple_baseline.PUBLISHER.convert(on_meta(shapes))) == shapes_of(network.state_dict())


@pytest.mark.parametrize("module", [hrnet, simple_baseline], ids=["hrnet", "simple_baseline"])
def test_unknown_keypoints_are_rejected(module) -> None:
    shapes = hrnet_shapes("higherhrnet_w32", 21) if module is hrnet else simple_baseline_shapes(50, 21)
    with pytest.raises(ValueError, match=r"expected the keypoints of coco_17, mpii_16, crowdpose_14, got 21"):
        module.PUBLISHER.network(shapes)()


@pytest.mark.parametrize(
    ("table", "removed", "reported"),
    [
        ("pose_ae_train_4hg", "pre.0.conv.weight", "stack.stem.0.0.weight"),
        ("pose_ae_train_4hg", "features.2.0.low2.low2.up1.conv.bias", "stack.towers.2.0.inner.inner.around.0.bias"),
        ("pose_ae_train_4hg", "outs.3.conv.bias", "stack.predictions.3.bias"),
        ("higherhrnet_w32", "stage3.2.fuse_layers.0.1.0.weight", "backbone.stage3.2.fuse_layers.0.1.0.weight"),
        ("higherhrnet_w32", "final_layers.0.bias", "coarse.bias"),
        ("dekr_w32", "offset_feature_layers.16.1.adapt_conv.weight", "branches.16.1.weight"),
        ("dekr_w32", "head_heatmap.1.bias", "heatmaps.4.bias"),
        ("higherhrnet_w48", "deconv_layers.0.2.0.bn1.running_var", "doubled.4.bn1.running_var"),
    ],
    ids=lambda value: value,
)
def test_missing_and_mis_shaped_entries_are_reported(table, removed, reported) -> None:
    module, shapes = TABLES[table][0], published_shapes(table)
    converted = module.PUBLISHER.convert(on_meta({key: shape for key, shape in shapes.items() if key != removed}))
    network = build(module, shapes)
    with pytest.raises(ValueError, match=rf"1 missing, first {re.escape(reported)}$"):
        fill(network, converted, "a.pth")
    reshaped = module.PUBLISHER.convert(on_meta({**shapes, removed: (1, 2)}))
    with pytest.raises(ValueError, match=rf"1 mis-shaped, first {re.escape(reported)} \(expected .*, got \(1, 2\)\)"):
        fill(network, reshaped, "a.pth")


def pose_ae_forward(weights, images, stacks):
    """Run Associative Embedding with the keys of pose-ae-train. Returns all channels of the last stack."""

    def conv(key, x, stride=1):
        weight = weights[f"{key}.conv.weight"]
        return functional.conv2d(x, weight, weights[f"{key}.conv.bias"], stride, weight.shape[-1] // 2)

    def hourglass(key, x):
        if f"{key}.conv.weight" in weights:
            return conv(key, x).relu()
        low = conv(f"{key}.low1", functional.max_pool2d(x, 2)).relu()
        low = conv(f"{key}.low3", hourglass(f"{key}.low2", low)).relu()
        return conv(f"{key}.up1", x).relu() + low.repeat_interleave(2, 2).repeat_interleave(2, 3)

    x = conv("pre.1", conv("pre.0", images, 2).relu()).relu()
    x = conv("pre.4", conv("pre.3", functional.max_pool2d(x, 2)).relu()).relu()
    for s in range(stacks):
        feature = conv(f"features.{s}.2", conv(f"features.{s}.1", hourglass(f"features.{s}.0", x)).relu()).relu()
        prediction = conv(f"outs.{s}", feature)
        if s < stacks - 1:
            x = x + conv(f"merge_preds.{s}.conv", prediction) + conv(f"merge_features.{s}.conv", feature)
    return prediction


def small_pose_ae_shapes(channels=6, growth=2, outputs=8):
    """Return the shapes of the first two stacks, with fewer channels."""
    narrow = {256 + 128 * level: channels + growth * level for level in range(5)} | {68: outputs}
    shapes = {}
    for key, shape in published_shapes("pose_ae_train_4hg").items():
        if re.match(r"pre\.|\w+\.0\.|(features|outs)\.1\.", key):
            is_stem = key.startswith(("pre.0", "pre.1", "pre.3"))
            shapes[key] = shape if is_stem else tuple(narrow.get(n, n) for n in shape)
    return shapes


def test_associative_embedding_equals_the_publishers_network() -> None:
    weights = random_state(small_pose_ae_shapes())
    network = AssociativeEmbedding(Skeleton("pair", ("nose", "neck"), ()), stacks=2, channels=6, growth=2)
    fill(network, associative_embedding.PUBLISHER.convert(weights), "small")
    images = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = pose_ae_forward(weights, images, stacks=2)
        fields = network.fields(images)
    assert expected.shape == (1, 8, 16, 32) and expected.std() > 0.01
    torch.testing.assert_close(fields["heatmaps"], expected[:, :2])
    torch.testing.assert_close(fields["tags"], expected[:, 2:4])


class Reference:
    """HigherHRNet and DEKR with their publishers' keys."""

    def __init__(self, weights) -> None:
        self.weights = weights

    def conv(self, key, x, norm, stride=1):
        weight = self.weights[f"{key}.weight"]
        return self.norm(norm, functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2))

    def norm(self, key, x):
        mean, var, weight, bias = (
            self.weights[f"{key}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, var, weight, bias)

    def block(self, key, x):
        """Run two or three convolutions and a shortcut."""
        inner = x
        for n in (n for n in (1, 2, 3) if f"{key}.conv{n}.weight" in self.weights):
            inner = self.conv(f"{key}.conv{n}", inner.relu() if n > 1 else inner, f"{key}.bn{n}")
        if f"{key}.downsample.0.weight" in self.weights:
            x = self.conv(f"{key}.downsample.0", x, f"{key}.downsample.1")
        return (inner + x).relu()

    def blocks(self, key, x, count=4):
        return functools.reduce(lambda x, index: self.block(f"{key}.{index}", x), range(count), x)

    def resample(self, key, source, target, x):
        if source > target:
            x = self.conv(f"{key}.0", x, f"{key}.1")
            return functional.interpolate(x, scale_factor=2 ** (source - target), mode="nearest")
        for step in range(target - source):
            x = self.conv(f"{key}.{step}.0", x.relu() if step else x, f"{key}.{step}.1", stride=2)
        return x

    def stage(self, stage, exchanges, maps):
        """Run exchange units. Each returns the resolutions that it has weights for."""
        for e in range(exchanges):
            key = f"stage{stage}.{e}"
            maps = [self.blocks(f"{key}.branches.{i}", x) for i, x in enumerate(maps)]
            targets = [i for i in range(len(maps)) if f"{key}.fuse_layers.{i}.{int(i == 0)}" in self.modules]
            maps = [
                sum(self.resample(f"{key}.fuse_layers.{i}.{j}", j, i, x) for j, x in enumerate(maps)).relu()
                for i in targets
            ]
        return maps

    @functools.cached_property
    def modules(self):
        return {".".join(key.split(".")[:5]) for key in self.weights}

    def backbone(self, images):
        x = self.conv("conv1", images, "bn1", stride=2).relu()
        x = self.blocks("layer1", self.conv("conv2", x, "bn2", stride=2).relu())
        down = functools.partial(self.conv, stride=2)
        first = self.conv("transition1.0.0", x, "transition1.0.1").relu()
        maps = self.stage(2, 1, [first, down("transition1.1.0.0", x, "transition1.1.0.1").relu()])
        maps = self.stage(3, 4, [*maps, down("transition2.2.0.0", maps[-1], "transition2.2.0.1").relu()])
        return self.stage(4, 3, [*maps, down("transition3.3.0.0", maps[-1], "transition3.3.0.1").relu()])

    def last(self, key, x):
        return functional.conv2d(x, self.weights[f"{key}.weight"], self.weights[f"{key}.bias"])

    def higherhrnet(self, images):
        """Return both outputs."""
        (x,) = self.backbone(images)
        coarse = self.last("final_layers.0", x)
        x = torch.cat([x, coarse], dim=1)
        x = functional.conv_transpose2d(x, self.weights["deconv_layers.0.0.0.weight"], stride=2, padding=1)
        x = self.norm("deconv_layers.0.0.1", x).relu()
        for index in range(1, 5):
            x = self.block(f"deconv_layers.0.{index}.0", x)
        return coarse, self.last("final_layers.1", x)

    def dekr(self, images):
        """Return heatmaps and offsets, with plain convolutions instead of adaptive ones."""
        fine, *coarse = self.backbone(images)
        grid = {"size": fine.shape[2:], "mode": "bilinear", "align_corners": False}
        x = torch.cat([fine, *(functional.interpolate(features, **grid) for features in coarse)], dim=1)
        heat = self.conv("transition_heatmap.0", x, "transition_heatmap.1").relu()
        shares = self.conv("transition_offset.0", x, "transition_offset.1").relu().split(15, dim=1)
        offsets = []
        for k, x in enumerate(shares):
            for key in (f"offset_feature_layers.{k}.{index}" for index in range(2)):
                x = (self.conv(f"{key}.adapt_conv", x, f"{key}.bn") + x).relu()  # noqa: PLW2901
            offsets.append(self.last(f"offset_final_layer.{k}", x))
        return self.last("head_heatmap.1", self.block("head_heatmap.0.0", heat)), torch.cat(offsets, dim=1)


def check_close(got, expected):
    """Check for equality within 1e-4 of the standard deviation of the map."""
    assert expected.std() > 0.01
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))


def test_higherhrnet_equals_the_publishers_network() -> None:
    weights = published_state("higherhrnet_w32")
    network = load_state(weights, "a.pth")
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        coarse, fine = Reference(weights).higherhrnet(images)
        outputs = network(images)
    assert network.spec.skeleton == COCO_17 and not network.training
    check_close(outputs[0]["heatmaps"], coarse[:, :17])
    check_close(outputs[0]["tags"], coarse[:, 17:])
    check_close(outputs[1]["heatmaps"], fine)


def test_dekr_equals_the_publishers_network_with_negated_offsets() -> None:
    weights = published_state("dekr_w32")
    for key, value in weights.items():
        if "transform_matrix_conv" in key or "translation_conv" in key:
            plain = torch.tensor([1.0, 0, 0, 1]) if key.endswith("matrix_conv.bias") else torch.zeros_like(value)
            weights[key] = plain
    network = load_state(weights, "a.pth")
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        heat, offsets = Reference(weights).dekr(images)
        fields = network.fields(images)
    check_close(fields["heatmaps"], heat[:, :17])
    check_close(fields["centres"], heat[:, 17:])
    check_close(fields["keypoint_offsets"], -offsets)
