"""Test ONNX files that strangers made to stop the program, to read other files, or to take all memory."""

from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

onnx = pytest.importorskip("onnx")
from tiny_onnx import write_model  # noqa: E402
from wire import entry, varint  # noqa: E402

from pose_ros import protobuf  # noqa: E402
from pose_ros.estimator import PoseEstimator  # noqa: E402
from pose_ros.models.model_file import DEFAULT_MODEL  # noqa: E402
from pose_ros.runtime.model_checksum import ABSENT, model_sha256, sha256_of_json  # noqa: E402
from pose_ros.runtime.onnx import OnnxRunner  # noqa: E402
from pose_ros.runtime.onnx_graph import read_graph  # noqa: E402

LOCATION = b"\x0a\x08location\x12"
HOSTILE_NAMES = (
    "/proc/self/pagemap",
    "/dev/zero",
    "../secret",
    "a/../../secret",
    "link",
    "pipe",
    "a\0b",
    "n" * 300,
    "",
)


def change_model(path: Path, change: Callable[[Any], None]) -> Path:
    """Write a small network after a change of its message."""
    model = onnx.load(str(write_model(path)))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def use_external(name: str) -> Callable[[Any], None]:
    """Return a change that keeps the first weight in another file."""

    def change(model: Any) -> None:
        weight = model.graph.initializer[0]
        weight.ClearField("raw_data")
        weight.ClearField("float_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=name)

    return change


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=repr)
@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_weights_outside_the_folder_are_refused_and_never_read(name: str, backend: str, tmp_path: Path) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend))
    (tmp_path / "secret").write_bytes(bytes(4096))
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "link").symlink_to("/proc/self/pagemap")

    os.mkfifo(folder / "pipe")
    path = change_model(folder / "model.onnx", use_external(name))
    with pytest.raises(ValueError, match=r"model\.onnx: expected .*is not a file in the folder of the model"):
        PoseEstimator.load(path, runtime=backend)
    checksum = model_sha256(path)
    assert checksum == sha256_of_json([_sha256(path.read_bytes()), [name, ABSENT]])


def _sha256(data: bytes) -> str:

    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("place", ["same folder", "folder below", "linked model"])
def test_weights_in_the_folder_are_read(place: str, tmp_path: Path) -> None:
    name = "below/weights" if place == "folder below" else "weights"
    weight = onnx.load(str(write_model(tmp_path / "model.onnx"))).graph.initializer[0]
    weights = onnx.numpy_helper.to_array(weight).tobytes()
    path = change_model(tmp_path / "model.onnx", use_external(name))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(weights)
    if place == "linked model":
        (tmp_path / "links").mkdir()
        for file in ("model.onnx", "weights"):
            (tmp_path / "links" / file).symlink_to(tmp_path / file)
        path = tmp_path / "links" / "model.onnx"
    assert read_graph(path).external_files == {name}
    before = model_sha256(path)
    (tmp_path / name).write_bytes(bytes(len(weights)))
    assert model_sha256(path) != before


@pytest.mark.parametrize("name", ["/proc/self/pagemap", "/dev/zero", "secret"])
def test_a_text_that_looks_like_a_location_is_no_location(name: str, tmp_path: Path) -> None:
    text = (LOCATION + bytes([len(name)]) + name.encode()).decode()
    path = change_model(tmp_path / "model.onnx", lambda model: model.metadata_props.add(key="note", value=text))
    (tmp_path / "secret").touch()
    assert model_sha256(path) == _sha256(path.read_bytes())
    OnnxRunner(path).close()


def test_a_location_is_found_wherever_it_stands(tmp_path: Path) -> None:
    """In subgraphs, and with its value before its key."""
    value_first = entry(13, entry(2, b"/dev/zero") + entry(1, b"location"))
    for weight in (value_first, entry(8, b"w") + entry(13, entry(1, b"location") + entry(2, b"/dev/zero"))):
        graph = entry(1, entry(4, b"If") + entry(5, entry(6, entry(5, weight))))
        graph = entry(1, entry(4, b"If") + entry(5, entry(11, graph)))
        (tmp_path / "a.onnx").write_bytes(entry(7, graph))
        with pytest.raises(ValueError, match="expected a readable ONNX network, got: weights in '/dev/zero'"):
            read_graph(tmp_path / "a.onnx")


def _names_of(model: Any) -> dict[str, str]:
    node = model.graph.node[-1]
    return {
        "node": node.op_type,
        "tensor": node.input[0],
        "weight": model.graph.initializer[3].name,
        "input": model.graph.input[0].name,
        "output": model.graph.output[0].name,
        "attribute": next(node for node in model.graph.node if node.attribute).attribute[0].name,
        "metadata": model.metadata_props[0].key,
    }


@pytest.mark.parametrize("part", ["node", "tensor", "weight", "input", "output", "attribute", "metadata"])
@pytest.mark.parametrize("byte", [0xE2, 0xFF, 0x80])
def test_a_name_that_is_not_text_is_refused_before_a_library_reads_it(part: str, byte: int, tmp_path: Path) -> None:
    data = bytearray(DEFAULT_MODEL.read_bytes())
    name = _names_of(onnx.load(str(DEFAULT_MODEL)))[part].encode()
    data[data.index(bytes([len(name)]) + name) + 1] = byte
    (tmp_path / "bad.onnx").write_bytes(data)
    with pytest.raises(ValueError, match=r"bad\.onnx: expected a readable ONNX network, got: protobuf .*expected text"):
        read_graph(tmp_path / "bad.onnx")


HUGE = varint((1 << 62) + 1)
BOMBS = {
    "huge dimensions": entry(7, entry(5, entry(8, b"w") + entry(2, 1) + entry(1, HUGE * 100_000))),
    "huge dimensions, one by one": entry(7, entry(5, entry(2, 1) + (b"\x08" + HUGE) * 90_000)),
    "empty nodes": entry(7, entry(1, b"") * 1_000_000),
    "empty weights": entry(7, entry(5, b"") * 1_000_000),
    "empty metadata": entry(14, b"") * 1_000_000,
    "unknown fields": entry(3, b"") * 1_000_000,
    "packed numbers": entry(7, entry(5, entry(1, bytes(4_000_000)))),
}


TEXTS = {
    **{"graph": (7, 2), "input": (7, 11, 1), "output": (7, 12, 1), "value": (7, 13, 1)},
    **{"dimension": (7, 11, 2, 1, 2, 1, 2), "weight": (7, 5, 8), "place of a weight": (7, 5, 13, 2)},
    **{"sparse weight": (7, 15, 1, 8), "its indices": (7, 15, 2, 8), "metadata": (14, 2), "operators": (8, 1)},
    **{f"node {field}": (7, 1, field) for field in (1, 2, 3, 4, 7)},
    **{f"attribute {path}": (7, 1, 5, *path) for path in ((1,), (5, 8), (10, 8), (21,), (22, 1, 8), (23, 2, 8))},
    **{"subgraph": (7, 1, 5, 6, 2), "subgraphs": (7, 1, 5, 11, 2)},
    **{f"function {path}": (25, *path) for path in ((1,), (4,), (5,), (6,), (7, 4), (10,))},
}
"""Numbers of the fields that lead to each text, in onnx.proto."""


@pytest.mark.parametrize("path", TEXTS.values(), ids=TEXTS)
def test_every_text_of_the_format_is_checked(path: tuple[int, ...], tmp_path: Path) -> None:
    message = b"\xff"
    for number in reversed(path):
        message = entry(number, message)
    (tmp_path / "a.onnx").write_bytes((b"" if path[0] == 7 else entry(7, b"")) + message)
    with pytest.raises(ValueError, match=r"expected a readable ONNX network, got: protobuf .*: expected text, got"):
        read_graph(tmp_path / "a.onnx")


@pytest.mark.parametrize("kind", BOMBS)
def test_a_file_costs_no_more_than_a_network(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, 1 MB of dimensions took minutes, and empty messages took gigabytes."""
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 10_000)  # a test with the real limit takes seconds
    (tmp_path / "bomb.onnx").write_bytes(BOMBS[kind])
    with pytest.raises(ValueError, match=r"bomb\.onnx: expected a readable ONNX network, got: "):
        read_graph(tmp_path / "bomb.onnx")


def test_the_number_of_fields_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    schema: protobuf.Schema = {1: ("inner", {1: ("numbers", protobuf.Kind.INTEGER)})}
    data = entry(1, entry(1, bytes(5)) + entry(9, b"skipped")) * 2
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 2 * 8)
    assert len(protobuf.parse(data, schema)["inner"]) == 2
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 2 * 8 - 1)
    with pytest.raises(ValueError, match="protobuf: expected at most 15 fields, got more"):
        protobuf.parse(data, schema)


def test_a_file_larger_than_any_network_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.onnx").open("wb") as file:
        file.truncate(1 << 40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="got: a file of 1099511627776 bytes"):
        read_graph(tmp_path / "a.onnx")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_file_without_a_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.onnx: expected a readable ONNX network, got: 0 networks"):
        read_graph(tmp_path / "empty.onnx")
