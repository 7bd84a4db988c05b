"""Test the import of tf-pose's frozen graph, compared with its ONNX export, and the reader of frozen graphs."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import checkpoint_keys as keys  # noqa: E402
from wire import entry  # noqa: E402

from pose_ros.checkpoint import load_checkpoint, loading, tf_pose  # noqa: E402
from pose_ros.checkpoint.formats.frozen_graph import read_frozen_graph  # noqa: E402
from pose_ros.checkpoint.reading import read_file  # noqa: E402

MODELS = keys.FOLDER.parent / "models"
FILE = MODELS / "mobilenet_v2_small_graph_opt.pb"
needs_graph = pytest.mark.skipif(not FILE.is_file(), reason=f"tf-pose's frozen graph is missing ({FILE})")


@pytest.fixture(scope="module")
def graph() -> dict[str, Any]:
    """All constants of the frozen graph."""
    return read_file(FILE)


def make_image(width: int, height: int) -> np.ndarray:
    """Make an image similar to a photograph, with shades, edges and noise."""
    random = np.random.default_rng(0)
    image = cv2.resize(random.integers(0, 256, (9, 12, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.ellipse(image, (width // 3, height // 2), (30, 80), 10, 0, 360, (90, 130, 200), -1)
    noise = random.normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.float32)


@needs_graph
@pytest.mark.parametrize("size_wh", [(432, 368), (320, 240), (208, 352)], ids=str)
def test_the_frozen_graph_computes_the_same_as_its_onnx_export(size_wh) -> None:
    runtime = pytest.importorskip("onnxruntime")
    network, image = load_checkpoint(FILE), make_image(*size_wh)
    session = runtime.InferenceSession(str(MODELS / "paf_mobilenet_v2_small.onnx"))
    (expected,) = session.run(None, {session.get_inputs()[0].name: image[None]})
    with torch.no_grad():
        fields = network.fields(torch.from_numpy(image).permute(2, 0, 1)[None])
    result = torch.cat([fields["heatmaps"], fields["pafs"]], dim=1).permute(0, 2, 3, 1).numpy()
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(result, expected, atol=1e-3)


@needs_graph
@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
def test_it_exports_although_its_normalisation_amplifies_rounding(tmp_path: Path, dynamic: bool) -> None:
    """On noise, its PAFs span 0.06, and float32 has an error of 0.0002, both in torch and in the file."""
    pytest.importorskip("onnxruntime")
    from pose_ros.export.to_onnx import ExportOptions, export

    report = export(load_checkpoint(FILE), tmp_path / "m.onnx", ExportOptions(dynamic=dynamic))
    assert max(report.differences.values()) < 2e-3 and not [r for r in report.remarks if "has no" in r]


@needs_graph
def test_all_weights_are_used(graph) -> None:
    network = loading.load_state(graph, "graph")
    numbers = sum(value.numel() for value in graph.values())
    weights = [value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")]
    assert sum(value.numel() for value in weights) == numbers
    assert network.spec.licence == "Apache-2.0"


@needs_graph
@pytest.mark.parametrize(
    ("published", "own"),
    [
        ("MobilenetV2/Conv/weights", "backbone.stem.conv.weight"),
        ("MobilenetV2/expanded_conv/depthwise/depthwise_weights", "backbone.blocks.0.depthwise.conv.weight"),
        ("MobilenetV2/expanded_conv_12/project/BatchNorm/gamma", "backbone.blocks.12.project.norm.weight"),
        ("Openpose/MConv_Stage2_L1_3_pointwise/BatchNorm/moving_variance", "stages.1.pafs.2.norm.running_var"),
        ("Openpose/MConv_Stage6_L2_5_depthwise/depthwise_weights", "stages.5.heatmaps.4.depthwise.weight"),
    ],
)
def test_faulty_keys_of_a_graph_are_reported(graph, published, own) -> None:
    (key,) = [key for key in graph if key == published or key.startswith(f"{published}/")]
    with pytest.raises(ValueError, match=f"1 missing, first {own}"):
        loading.load_state({name: value for name, value in graph.items() if name != key}, "graph")
    with pytest.raises(ValueError, match=f"1 mis-shaped, first {own}"):
        loading.load_state(graph | {key: torch.zeros(5)}, "graph")


def test_checkpoints_of_other_publishers_are_not_identified() -> None:
    assert tf_pose.PUBLISHER.network(keys.published_shapes("lightweight_hpe_mobilenet_ref1")) is None


def node(op: bytes, shape: list[int], dtype: int = 1, **values: Any) -> bytes:
    """Encode a node "w" of a graph, with the other fields that nodes have."""
    dims = b"".join(entry(2, entry(1, size)) for size in shape)
    tensor = entry(1, dtype) + entry(2, dims) + entry(3, 0)
    if "content" in values:
        tensor += entry(4, np.array(values["content"], "<f4").tobytes())
    if "floats" in values:
        tensor += entry(5, np.array(values["floats"], "<f4").tobytes())
    if "single" in values:
        tensor += bytes([8 * 5 + 5]) + struct.pack("<f", values["single"])
    attributes = entry(5, entry(1, b"value") + entry(2, entry(8, tensor)))
    attributes += entry(5, entry(1, b"dtype") + entry(2, entry(6, dtype)))
    return entry(1, entry(1, b"w") + entry(2, op) + entry(3, b"^other") + attributes)


@pytest.mark.parametrize(
    ("shape", "values", "expected"),
    [
        ([2, 2], {"content": [1, 2, 3, 4]}, [[1, 2], [3, 4]]),
        ([3], {"floats": [1, 2, 3]}, [1, 2, 3]),
        ([2, 2], {"floats": [5]}, [[5, 5], [5, 5]]),
        ([3], {"single": 7}, [7, 7, 7]),
        ([], {"single": 7}, 7),
        ([0], {}, []),
    ],
    ids=["bytes", "numbers", "one for all", "one, not packed", "scalar", "empty"],
)
def test_constants_are_read(tmp_path, shape, values, expected) -> None:
    path = tmp_path / "small.pb"
    path.write_bytes(node(b"Conv2D", [1], single=0) + node(b"Const", shape, **values) + entry(4, entry(1, 21)))
    ((name, array),) = read_frozen_graph(path).items()
    assert name == "w" and array.dtype == np.float32 and array.tolist() == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no constants"),
        (b"not a graph at all", "expected a frozen TensorFlow graph"),
        (node(b"Const", [2], dtype=3, floats=[1]), "no constants"),
        (node(b"Const", [2, 2], content=[1, 2, 3]), "reshape"),
        (node(b"Const", [2], floats=[1, 2, 3]), "reshape"),
        (node(b"Const", [1 << 40], single=1), "too large for the file"),
        (node(b"Const", [-(1 << 20), -(1 << 20)], single=1), "a size is negative"),
        (node(b"Const", [-1, 1 << 40], content=[]) + node(b"Const", [1 << 40], single=1), "negative"),
        (node(b"Const", [3], content=[1, 2, 3])[:-9], "truncated"),
    ],
    ids=[
        "empty",
        "text",
        "integers",
        "few bytes",
        "many numbers",
        "huge",
        "negative",
        "negative and huge",
        "truncated",
    ],
)
def test_damaged_graphs_are_rejected(tmp_path, content, message) -> None:
    path = tmp_path / "small.pb"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"small\.pb.*{message}"):
        read_frozen_graph(path)


@needs_graph
@pytest.mark.parametrize("length", [10, 1000, 1 << 20])
def test_a_truncated_graph_is_rejected(tmp_path, length) -> None:
    path = tmp_path / "part.pb"
    path.write_bytes(FILE.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"part\.pb.*truncated"):
        load_checkpoint(path)
