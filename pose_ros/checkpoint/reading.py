"""Read weights from files, without executing code from them."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from pose_ros.checkpoint.cost import check_archive, check_torch_file
from pose_ros.checkpoint.exported import read_exported
from pose_ros.checkpoint.formats.caffe import read_caffe
from pose_ros.checkpoint.formats.frozen_graph import read_frozen_graph
from pose_ros.checkpoint.formats.tfjs import read_tfjs
from pose_ros.checkpoint.formats.tflite import read_tflite
from pose_ros.checkpoint.publisher import State
from pose_ros.file_kind import check_not_placeholder

WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")
"""Keys under which publishers save the weights. Other keys have, for example, the state of the optimizer."""
LONGEST_ERROR = 1500
"""Most characters of an error. Libraries quote names of any length from a file."""
TORCHSCRIPT_ENTRY = "constants.pkl"
"""File that torch identifies an archive of TorchScript by. Such an archive is a program."""
CODE = ("GLOBAL", "Unsupported global", "Unsupported class", "TorchScript", ".tar format", "Can only")
"""Words in torch's errors when it refuses to execute code from a file."""


def read_file(path: Path) -> Any:
    """Read the content of a checkpoint file.

    Args:
        path: Torch file (zip or older), or another format, identified by its suffix: a NumPy archive (.npz), a
            frozen TensorFlow graph (.pb), a TensorFlow Lite model (.tflite), a TensorFlow.js model (.json, with its
            weight files in the same folder), a Caffe model (.caffemodel), a
            compact ONNX file of this package (.onnx).

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is truncated, has another format, or contains more than plain data.
    """
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"checkpoint: expected a file, got {path}, which {fault}")
    check_not_placeholder(path, "checkpoint", "weights")
    try:
        return READERS.get(path.suffix.lower(), _read_torch)(path)
    except ValueError as error:
        if len(str(error)) <= LONGEST_ERROR:
            raise
        raise ValueError(f"{str(error)[:LONGEST_ERROR]} …") from error


def state_of(content: Any, path: Path) -> State:
    """Extract the weights from the content of a file. Other floating-point types become float32.

    Raises:
        ValueError: If the content has no weights.
    """
    for _ in WRAPPERS:  # limited, because a malicious file can contain itself
        if isinstance(content, Mapping):
            content = next((content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)), content)
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(v, torch.Tensor) for v in content.values())
    ):
        raise ValueError(f"checkpoint {path}: expected names and tensors (a state dict), got {_summarise(content)}")
    state = {
        _strip_prefix(str(key)): _to_float32(_check_dense(str(key), value, path)) for key, value in content.items()
    }
    if len(state) < len(content):
        raise ValueError(f"checkpoint {path}: expected each name once, got some with and without 'module.'")
    return state


def _read_torch(path: Path) -> Any:
    try:
        check_torch_file(path)
        _reject_programs(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common class for the errors of a file
        raise ValueError(f"checkpoint {path}: {_explain_torch_error(error)}") from error


def _read_npz(path: Path) -> State:
    try:
        check_archive(path)
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except Exception as error:  # zipfile, zlib and NumPy have different classes
        raise ValueError(f"checkpoint {path}: expected a NumPy archive of plain numbers, got: {error}") from error


def _reject_programs(path: Path) -> None:
    """Reject the two formats that torch before 2.6 executes in spite of ``weights_only`` (CVE-2025-32434)."""
    with suppress(tarfile.TarError), path.open("rb") as file, tarfile.open(fileobj=file, mode="r:"):  # not compressed
        raise ValueError("a file in the .tar format of early torch")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(PurePosixPath(name).name == TORCHSCRIPT_ENTRY for name in names):
            raise ValueError("a TorchScript archive")


def _explain_torch_error(error: Exception) -> str:
    text = str(error)
    code = next((line.strip() for line in text.splitlines() if any(word in line for word in CODE)), "")
    if code:
        return (
            "expected tensors and plain data, got a file that would execute code when read, which is not allowed "
            f"({code}); ask its publisher for a state dict"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip() and "Weights only" not in line]
    reason = next((line for line in lines if line.startswith("Unsupported")), (lines or [type(error).__name__])[0])
    return f"expected a complete torch file, got: {reason} (truncated, or another format?)"


def _summarise(content: Any) -> str:
    if not isinstance(content, Mapping):
        return type(content).__name__
    return f"entries {', '.join(map(str, list(content)[:5]))}" if content else "nothing"


def _strip_prefix(key: str) -> str:
    return key.removeprefix("module.")


def _check_dense(key: str, value: torch.Tensor, path: Path) -> torch.Tensor:
    """Return a tensor if it stores all its numbers. Other tensors could become arbitrarily large when converted."""
    dense = value.layout is torch.strided and not (value.is_quantized or value.is_complex() or value.is_meta)
    if not dense or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ValueError(f"checkpoint {path}: expected plain numbers in {key}, got {value.dtype} {value.layout}")
    return value


def _to_float32(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.dtype in (torch.float16, torch.bfloat16, torch.float64) else value


def _to_tensors(arrays: Mapping[str, np.ndarray[Any, Any]]) -> State:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


READERS: dict[str, Callable[[Path], Any]] = {
    ".npz": _read_npz,
    ".onnx": read_exported,
    ".pb": lambda path: _to_tensors(read_frozen_graph(path)),
    ".json": lambda path: _to_tensors(read_tfjs(path)),
    ".tflite": lambda path: _to_tensors(read_tflite(path)),
    ".caffemodel": lambda path: _to_tensors(read_caffe(path)),
}
"""Readers of other formats than torch's, by suffix."""
