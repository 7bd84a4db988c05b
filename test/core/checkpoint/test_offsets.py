"""Test the importers of PoseNet, from torch and from TensorFlow Lite, and of CenterNet."""

from __future__ import annotations

import re
from typing import Any

import cv2
import golden
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("flatbuffers")

import checkpoint_keys as keys  # noqa: E402
import tflite_file  # noqa: E402

from pose_ros.checkpoint import centernet, load_checkpoint, loading, posenet  # noqa: E402
from pose_ros.checkpoint.formats.tflite import read_tflite  # noqa: E402
from pose_ros.checkpoint.publisher import shapes_of  # noqa: E402
from pose_ros.config import DecoderConfig  # noqa: E402
from pose_ros.decoder import make_decoder  # noqa: E402
from pose_ros.fields import Fields  # noqa: E402
from pose_ros.network import zoo  # noqa: E402

CORAL = keys.FOLDER.parent / "models" / "posenet"
FILES = sorted(CORAL.glob("*.tflite"))
PUBLISHED = {
    "posenet_pytorch_mnv1_101": (posenet.PUBLISHER, "posenet_mobilenet_v1_100", ()),
    "centernet_multi_pose_dla34": (
        *(centernet.PUBLISHER, "centernet_dla34"),
        ("base.level3.project.", "base.level4.project."),  # saved but never used
    ),
    "centernet_multi_pose_hourglass": (centernet.PUBLISHER, "centernet_hourglass", ()),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_key_is_converted(name) -> None:
    publisher, network_name, unused = PUBLISHED[name]
    table = keys.published_shapes(name)
    with torch.device("meta"):
        network = publisher.network(table)()
        converted = publisher.convert({key: torch.empty(shape) for key, shape in table.items()})
    assert network.spec.name == network_name
    assert shapes_of(converted) == shapes_of(network.state_dict())
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == keys.count_parameters(table, without=unused)


@pytest.mark.parametrize("publisher", [posenet.PUBLISHER, centernet.PUBLISHER], ids=["PoseNet", "CenterNet"])
def test_checkpoints_of_other_publishers_are_not_identified(publisher) -> None:
    for path in sorted(keys.FOLDER.glob("*.txt")):
        recognised = publisher.network(keys.published_shapes(path.stem)) is not None
        assert recognised == (PUBLISHED.get(path.stem, (None,))[0] is publisher), path.stem


@pytest.mark.parametrize(
    ("name", "published", "own"),
    [
        ("posenet_pytorch_mnv1_101", "features.conv0.conv.bias", "backbone.layers.0.conv.bias"),
        ("posenet_pytorch_mnv1_101", "features.conv13.depthwise.weight", "backbone.layers.25.conv.weight"),
        ("posenet_pytorch_mnv1_101", "heatmap.weight", "heads.heatmaps.weight"),
        ("centernet_multi_pose_dla34", "base.base_layer.0.weight", "backbone.base_layer.0.weight"),
        ("centernet_multi_pose_dla34", "dla_up.ida_2.node_3.conv.weight", "neck.steps.2.nodes.2.conv.weight"),
        ("centernet_multi_pose_dla34", "ida_up.proj_2.actf.0.bias", "neck.last.projections.1.norm.bias"),
        ("centernet_multi_pose_dla34", "hm_hp.2.bias", "heads.heatmaps.2.bias"),
        ("centernet_multi_pose_dla34", "hm.2.bias", "heads.centres.2.bias"),
    ],
)
def test_weights_get_the_right_keys(name, published, own) -> None:
    state = keys.published_state(name)
    assert torch.equal(PUBLISHED[name][0].convert(dict(state))[own], state[published])


@pytest.mark.parametrize("name", ["posenet_pytorch_mnv1_101", "centernet_multi_pose_dla34"])
def test_faulty_keys_of_a_checkpoint_are_reported(name) -> None:
    state = keys.published_state(name)
    for published, own in {"heatmap.bias": "heads.heatmaps.bias", "hm.0.weight": "heads.centres.0.weight"}.items():
        if published in state:
            with pytest.raises(ValueError, match=rf"1 missing, first {re.escape(own)}"):
                loading.load_state({key: value for key, value in state.items() if key != published}, "file")
            with pytest.raises(ValueError, match=rf"1 mis-shaped, first {re.escape(own)}"):
                loading.load_state(state | {published: torch.zeros(5, 5)}, "file")
    with pytest.raises(ValueError, match="1 unexpected, first more"):
        loading.load_state(state | {"more.weight": torch.zeros(1)}, "file")


@pytest.mark.parametrize("part", ["offset.bias", "displacement_bwd.weight"])
def test_missing_entries_that_posenet_reorders_are_reported(part) -> None:
    state = keys.published_state("posenet_pytorch_mnv1_101")
    odd_rows = torch.zeros(33, *state[part].shape[1:])
    for faulty in ({key: value for key, value in state.items() if key != part}, state | {part: odd_rows}):
        with pytest.raises(ValueError, match=r"(missing|mis-shaped), first heads\.(short|mid)_offsets"):
            loading.load_state(faulty, "file")


def test_offsets_of_posenet_are_reordered_from_y_x_to_x_y() -> None:
    state = keys.published_state("posenet_pytorch_mnv1_101")
    for head, first in (("offset", 0), ("displacement_fwd", 100), ("displacement_bwd", 200)):
        count = len(state[f"{head}.bias"])
        state[f"{head}.weight"] = torch.zeros_like(state[f"{head}.weight"])
        state[f"{head}.bias"] = first + torch.arange(float(count))  # all y, then all x
    network = loading.load_state(state, "file")
    with torch.no_grad():
        fields = network.fields(torch.zeros(1, 3, 32, 32))
    short, mid = fields["short_offsets"][0, :, 0, 0], fields["mid_offsets"][0, :, 0, 0]
    assert short[0::2].tolist() == list(range(17, 34)) and short[1::2].tolist() == list(range(17))
    assert mid[0:32:2].tolist() == list(range(116, 132)) and mid[1:32:2].tolist() == list(range(100, 116))
    assert mid[32::2].tolist() == list(range(216, 232)) and mid[33::2].tolist() == list(range(200, 216))


@pytest.mark.parametrize(("channels", "name"), [(16, "050"), (24, "075"), (32, "100")])
def test_the_width_of_posenet_is_identified(channels, name) -> None:
    network = posenet.PUBLISHER.network({"features.conv0.conv.weight": (channels, 3, 3, 3)})()
    assert network.spec.name == f"posenet_mobilenet_v1_{name}"


@pytest.mark.parametrize("depth", [18, 50])
def test_the_resnet_of_centernet_is_identified(depth) -> None:
    network = zoo.build(f"centernet_resnet{depth}")
    published = {"backbone.": "", "neck.": "deconv_layers."}
    published |= {f"heads.{own}.": f"{name}." for name, own in centernet.HEADS.items()}
    state = {}
    for key, value in keys.random_state(shapes_of(network.state_dict())).items():
        prefix = next(prefix for prefix in published if key.startswith(prefix))
        state[published[prefix] + key.removeprefix(prefix)] = value
    loaded = loading.load_state(state, "file")
    assert loaded.spec.name == f"centernet_resnet{depth}"
    assert torch.equal(loaded.state_dict()["neck.3.weight"], state["deconv_layers.3.weight"])
    assert torch.equal(loaded.state_dict()["backbone.layer1.0.conv1.weight"], state["layer1.0.conv1.weight"])


def test_an_unpublished_width_or_depth_is_not_identified() -> None:
    assert posenet.PUBLISHER.network({"features.conv0.conv.weight": (20, 3, 3, 3)}) is None
    assert centernet.PUBLISHER.network({"hps.0.weight": (1,), "deconv_layers.0.weight": (1,)}) is None


def load_photograph(width: int, height: int) -> np.ndarray:
    """Load the publisher's photograph, RGB, and scale it by nearest pixels, like the publisher."""
    image = cv2.imread(str(CORAL / "test_couple.jpg"))[:, :, ::-1]
    rows = ((np.arange(height) + 0.5) * image.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * image.shape[1] / width).astype(int)
    return image[rows][:, columns]


@pytest.fixture(scope="module")
def coral_fields() -> tuple[Any, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Network, logits and fields of the file for inputs of 641 × 481."""
    path = CORAL / "posenet_mobilenet_v1_075_481_641_quant.tflite"
    if not path.is_file():
        pytest.skip(f"Google Coral's files are missing ({CORAL})")
    network = load_checkpoint(path)
    spec = network.spec.input
    images = (load_photograph(641, 481) - np.float32(spec.mean)) / np.float32(spec.std)
    with torch.no_grad():
        (outputs,) = network(torch.from_numpy(images).permute(2, 0, 1)[None])
    logits = {name: field[0].numpy() for name, field in outputs.items()}
    return network, logits, logits | {"heatmaps": outputs["heatmaps"][0].sigmoid().numpy()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_files_of_google_coral_are_loaded(path) -> None:
    network = load_checkpoint(path)
    assert network.spec.name == "posenet_mobilenet_v1_075" and network.spec.input.mean == (128.0, 128.0, 128.0)
    assert sum(array.size for array in read_tflite(path).values()) == sum(p.numel() for p in network.parameters())


@pytest.mark.skipif(not golden.cases("personlab"), reason=f"no golden cases in {golden.FOLDER}")
@pytest.mark.parametrize(
    ("field", "published", "blocks", "median", "most"),
    [
        ("heatmaps", "heat_logit", 0, 0.5, 6),
        ("short_offsets", "short", 1, 4, 40),
        ("mid_offsets", "mid", 2, 0.5, 4),
    ],
)
def test_fields_of_google_corals_file(coral_fields, field, published, blocks, median, most) -> None:
    """The published fields use 8 bits in every layer. Ours agree within a few steps, except where these saturate."""
    (case,) = [case for case in golden.cases("personlab") if case["id"].endswith("test_couple")]
    expected, steps = golden.arrays(case)[published], case["quantisation"][published]
    if blocks:
        in_blocks = expected.reshape(blocks, 2, -1, *expected.shape[1:])
        expected = in_blocks[:, ::-1].swapaxes(1, 2).reshape(expected.shape)
    lowest, highest = (np.array([0, 255]) - steps["zero_point"]) * steps["scale"]
    result = np.clip(coral_fields[1][field], lowest, highest)
    difference = np.abs(result - expected) / steps["scale"]
    assert np.median(difference) <= median and np.percentile(difference, 99) <= most
    assert np.corrcoef(result.ravel(), expected.ravel())[0, 1] >= 0.99


@pytest.mark.skipif(not golden.cases("personlab"), reason=f"no golden cases in {golden.FOLDER}")
def test_people_of_google_corals_file(coral_fields) -> None:
    """Compare with the published people, from an 8-bit accelerator."""
    (case,) = [case for case in golden.cases("personlab") if case["id"].endswith("test_couple")]
    data, (network, _, fields) = golden.arrays(case), coral_fields
    people = make_decoder(network.spec, "personlab", DecoderConfig())(Fields(**fields))
    np.testing.assert_allclose(people.person_scores, data["published_reference_person_score"], atol=0.02)
    for reference, keypoints in zip(data["published_reference"], people.keypoints, strict=True):
        confident = reference[:, 2] >= 0.3
        distance = np.linalg.norm(keypoints[confident] - reference[confident, :2], axis=1)
        assert np.median(distance) <= 0.5 and distance.max() <= 2


@pytest.mark.parametrize(
    ("zero_points", "scales", "dimension", "expected"),
    [
        ([2], [0.5], 0, [[-1.0, -0.5, 0.0], [0.5, 1.0, 1.5]]),
        ([0, 3], [1.0, 2.0], 0, [[0.0, 1.0, 2.0], [0.0, 2.0, 4.0]]),
        ([0, 1, 2], [1.0, 2.0, 3.0], 1, [[0.0, 0.0, 0.0], [3.0, 6.0, 9.0]]),
    ],
    ids=["one scale", "one per row", "one per column"],
)
def test_bytes_are_dequantised(tmp_path, zero_points, scales, dimension, expected) -> None:
    path = tmp_path / "small.tflite"
    path.write_bytes(tflite_file.make_quantised_file(zero_points, scales, dimension, [2, 3]))
    ((name, array),) = read_tflite(path).items()
    assert name == "w" and array.tolist() == expected


def test_scales_that_do_not_fit_are_rejected(tmp_path) -> None:
    path = tmp_path / "small.tflite"
    path.write_bytes(tflite_file.make_quantised_file([0, 0, 0], [1.0, 1.0, 1.0], 0, [2, 3]))
    with pytest.raises(ValueError, match=r"small\.tflite.*3 scales"):
        read_tflite(path)


def test_damaged_files_are_rejected_or_read(tmp_path) -> None:
    """Any change leads to a result or to a ValueError that names the file, without exhausting the memory."""
    path, rejected = tmp_path / "small.tflite", 0
    intact = np.frombuffer(tflite_file.make_quantised_file([2], [0.5], 0, [2, 3]), np.uint8)
    random = np.random.default_rng(0)
    damaged = [intact[:length] for length in range(len(intact))]
    for _ in range(400):
        copy = intact.copy()
        copy[random.integers(0, len(copy), 3)] = random.integers(0, 256, 3)
        damaged.append(copy)
    for content in damaged:
        path.write_bytes(content.tobytes())
        try:
            read_tflite(path)
        except ValueError as error:
            rejected += "small.tflite" in str(error)
    assert rejected > len(intact) / 2
