"""Test weight files that strangers made to take all memory, or to keep the program busy for ever."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import resource
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from wire import entry, varint  # noqa: E402

from pose_ros import protobuf  # noqa: E402
from pose_ros.checkpoint import cost, load_checkpoint  # noqa: E402

HUGE = varint((1 << 62) + 1)
MOST_KB = 400_000


def caffe_blob(content: bytes) -> bytes:
    return entry(100, entry(1, b"a") + entry(7, content))


def graph_constant(shape: bytes) -> bytes:
    tensor = entry(1, 1) + entry(2, shape) + entry(4, bytes(16))
    return entry(1, entry(1, b"a") + entry(2, b"Const") + entry(5, entry(2, entry(8, tensor))))


def npz(arrays: dict[str, bytes], compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in arrays.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def array_header(shape: str, dtype: str = "<f4") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode()
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def tar_header(size: int) -> bytes:
    """Make the first block of a .tar file: an extended header of any size."""
    block = bytearray(512)
    block[:4], block[100:108], block[124:136], block[156:157] = b"name", b"0000644\0", f"{size:011o}\0".encode(), b"x"
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def tfjs(shape: list[int]) -> bytes:
    weight = {"name": "a", "shape": shape, "dtype": "float32"}
    return json.dumps({"weightsManifest": [{"paths": ["shard"], "weights": [weight]}]}).encode()


def tflite(tensors: int) -> bytes:
    """Make a file whose tensors are all the same table, with one vector for shape, name and values."""
    vector = struct.pack("<I", 4096) + bytes(4096)
    vtable = struct.pack("<HHHHHH", 12, 20, 0, 4, 8, 12)
    return b"\0\0\0\0TFL3" + vtable + struct.pack("<i", 12) + vector * 2 + bytes(4 * tensors)


BOMBS = {
    "caffe, huge dimensions": ("a.caffemodel", caffe_blob(entry(7, entry(1, HUGE * 100_000)))),
    "caffe, empty layers": ("a.caffemodel", entry(100, b"") * 1_000_000),
    "caffe, empty blobs": ("a.caffemodel", entry(100, entry(7, b"") * 1_000_000)),
    "graph, huge dimensions": ("a.pb", graph_constant(entry(2, entry(1, (1 << 62) + 1)) * 30_000)),
    "graph, a huge sum": ("a.pb", graph_constant(entry(2, (b"\x08" + HUGE) * 100_000))),
    "graph, empty nodes": ("a.pb", entry(1, b"") * 1_000_000),
    "graph, empty attributes": ("a.pb", entry(1, entry(5, b"") * 1_000_000)),
    "onnx, huge dimensions": (
        "a.onnx",
        entry(7, entry(5, entry(8, b"network.a") + entry(2, 1) + entry(1, HUGE * 9999))),
    ),
    "onnx, empty weights": ("a.onnx", entry(7, entry(5, b"") * 1_000_000)),
    "tensorflow.js, huge dimensions": ("a.json", tfjs([1 << 62] * 100_000)),
    "tflite, shared parts": ("a.tflite", tflite(100_000)),
    "npz, zeros": ("a.npz", npz({"a.npy": array_header("(50000000,)") + bytes(200_000_000)}, zipfile.ZIP_DEFLATED)),
    "npz, huge shape": ("a.npz", npz({"a.npy": array_header(f"({1 << 40},)")}, 0)),
    "npz, huge type": ("a.npz", npz({"a.npy": array_header("(1,)", "|V2000000000")}, 0)),
    "npz, many axes": ("a.npz", npz({"a.npy": array_header("(" + "1," * 900 + ")")}, 0)),
    "torch, zeros": ("a.pth", npz({"a/data.pkl": bytes(100_000_000)}, zipfile.ZIP_DEFLATED)),
    "torch, a long description": ("a.pth", npz({"a/data.pkl": b"\x80\2]" + b"]a" * 600_000}, zipfile.ZIP_STORED)),
    "torch, an old long description": ("a.pth", b"\x80\2]" + b"]a" * 600_000),
    "torch, many files": ("a.pth", npz({str(i): b"" for i in range(40_000)}, zipfile.ZIP_STORED)),
    "torch, a compressed .tar": ("a.pth", gzip.compress(tar_header(300_000_000) + bytes(300_000_000), 1)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_file_costs_no_more_than_a_checkpoint(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 10_000)  # a test with the real limit takes seconds
    monkeypatch.setattr(cost, "MOST_STEPS", 10_000)
    name, content = BOMBS[kind]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "shard").write_bytes(bytes(64))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=rf"checkpoint .*{name}: expected") as error:
        load_checkpoint(tmp_path / name)
    assert len(str(error.value)) < 2000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KB


@pytest.mark.parametrize("suffix", ["caffemodel", "pb", "onnx", "json", "tflite"])
def test_a_file_larger_than_any_checkpoint_is_not_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match=r"got: a file of 1099511627776 bytes, more than"):
        load_checkpoint(path)


def test_weights_that_compress_well_are_read(tmp_path: Path) -> None:
    """Weights with a tenth of numbers that are not 0, as after pruning."""
    random = np.random.default_rng(0)
    weights = np.where(random.random(4_000_000) < 0.1, random.normal(size=4_000_000), 0).astype(np.float32)
    np.savez_compressed(tmp_path / "a.npz", **{"conv.weight": weights})
    with pytest.raises(ValueError, match="expected the keys of"):
        load_checkpoint(tmp_path / "a.npz")


def test_an_error_never_quotes_a_whole_file(tmp_path: Path) -> None:
    code = b"c" + b"torch." * 100_000 + b"a\nb\n."
    (tmp_path / "a.pth").write_bytes(npz({"a/data.pkl": pickle.PROTO + b"\2" + code, "a/version": b"3"}, 0))
    with pytest.raises(ValueError, match="a class whose name has 600003 characters") as error:
        load_checkpoint(tmp_path / "a.pth")
    assert len(str(error.value)) < 2000
