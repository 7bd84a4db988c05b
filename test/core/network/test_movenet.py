"""Test MoveNet and the network with more heads that contains it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tiny_networks import seed_torch  # noqa: E402

from pose_ros.network import zoo  # noqa: E402
from pose_ros.network.mobilenet_v2 import PadAfterConv  # noqa: E402
from pose_ros.network.movenet_multi_head import TAG_UNIT_PX, MoveNetMultiHead  # noqa: E402
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton  # noqa: E402

SIZE = (64, 96)
ROWS = [OPENPOSE_18.index(name) for name in COCO_17.keypoint_names]
"""Rows of OpenPose's keypoints that are COCO's."""


@pytest.fixture(scope="module")
def networks() -> tuple[object, MoveNetMultiHead]:
    """MoveNet and the larger network with the same weights."""
    seed_torch()
    movenet, larger = zoo.build("movenet_multipose").eval(), MoveNetMultiHead().eval()
    missing, unexpected = larger.load_state_dict(movenet.state_dict(), strict=False)
    assert not unexpected and {key.partition(".")[0] for key in missing} == {"added", "context", "stages"}
    return movenet, larger


@pytest.fixture(scope="module")
def outputs(networks: tuple) -> tuple[dict, dict]:
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return tuple(network.fields(images) for network in networks)


def test_the_heads_of_movenet_are_part_of_the_larger_network(outputs: tuple[dict, dict]) -> None:
    movenet, larger = outputs
    for name in ("centres", "sizes"):
        torch.testing.assert_close(larger[name], movenet[name])
    torch.testing.assert_close(larger["heatmaps"][:, ROWS], movenet["heatmaps"])


def test_offsets_mean_the_same_places(networks: tuple, outputs: tuple[dict, dict]) -> None:
    """A cell and its offset give the same position in pixels, although the cells are counted from other places."""
    places = []
    for network, fields in zip(networks, outputs, strict=True):
        offset, origin = fields["centre_offsets"], network.spec.origin
        places.append(origin + network.spec.stride * offset)
    torch.testing.assert_close(places[0], places[1])
    for name in ("keypoint_offsets", "heatmap_offsets"):
        first, second = (fields[name].unflatten(1, (-1, 2)) for fields in outputs)
        torch.testing.assert_close(4 * first - 0.5, 4 * second[:, ROWS] + 1.5)


def test_new_fields_start_at_zero_and_tags_at_their_places(outputs: tuple[dict, dict]) -> None:
    fields = outputs[1]
    assert not fields["pafs"].any() and fields["pafs"].shape[1:] == (38, 16, 24)
    tags = fields["tags"].reshape(2, 18, 2, 16, 24)
    inner = tags[..., 2:-2, 2:-2]  # upsampling repeats the border
    assert inner.diff(dim=4)[:, :, 0].mean().item() == pytest.approx(4 / TAG_UNIT_PX, rel=1e-5)
    assert inner.diff(dim=3)[:, :, 1].mean().item() == pytest.approx(4 / TAG_UNIT_PX, rel=1e-5)
    assert max(inner.diff(dim=3)[:, :, 0].abs().max(), inner.diff(dim=4)[:, :, 1].abs().max()) < 1e-5
    assert abs(tags.mean().item()) < 1e-5
    torch.testing.assert_close(tags[:, :1].expand_as(tags), tags)


def test_training_sees_both_stages_on_the_coarse_grid(networks: tuple) -> None:
    stages = networks[1](torch.zeros(1, 3, *SIZE))
    assert [set(stage) for stage in stages[:2]] == [{"pafs", "tags"}] * 2
    assert all(field.shape[2:] == (8, 12) for stage in stages[:2] for field in stage.values())
    assert set(stages[2]) == {head.field for head in networks[1].spec.heads} - {"pafs", "tags"}


@pytest.mark.parametrize(
    "names", [("nose", "tail"), ("left_hip", "tail", "nose", "horn"), ("tail", "horn"), ("left_hip", "nose")]
)
def test_a_skeleton_of_ones_own(names: tuple[str, ...]) -> None:
    skeleton = Skeleton("animal", names, ((0, 1),))
    fields = MoveNetMultiHead(skeleton).eval().fields(torch.zeros(1, 3, *SIZE))
    count = len(names)
    assert fields["heatmaps"].shape[1] == count and fields["pafs"].shape[1] == 2
    assert {fields[name].shape[1] for name in ("tags", "keypoint_offsets", "heatmap_offsets")} == {2 * count}


@pytest.mark.parametrize("groups", [1, 8])
def test_the_padding_of_tensorflow_is_the_same_in_onnx(tmp_path: Path, groups: int) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    seed_torch()
    layer = PadAfterConv(8, 8, 3, 2, 0, groups=groups).eval()
    images = torch.randn(1, 8, 6, 10)
    with torch.no_grad():
        expected = layer(images)
    legacy = {"dynamo": False} if torch.__version__ >= "2.5" else {}
    torch.onnx.export(layer, (images,), str(tmp_path / "m.onnx"), input_names=["x"], opset_version=17, **legacy)
    (got,) = runtime.InferenceSession(str(tmp_path / "m.onnx")).run(None, {"x": images.numpy()})
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)
    assert expected.shape[2:] == (3, 5)
