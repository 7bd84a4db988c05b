"""Weights out of files, without executing anything in them."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from pose_ros.checkpoint.formats.caffe import read_caffe
from pose_ros.checkpoint.formats.frozen_graph import read_frozen_graph
from pose_ros.checkpoint.formats.tflite import read_tflite
from pose_ros.checkpoint.publisher import State
from pose_ros.models.download import is_web_page

WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")
"""Entries under which publishers put the weights, beside the state of their optimizer."""
LARGEST_BYTES = 1 << 32
"""What a compressed archive may unpack to: more than any network here weighs."""
LFS_POINTER = b"version https://git-lfs"
TORCHSCRIPT_ENTRY = "constants.pkl"
"""By this file in it, torch tells an archive of TorchScript, which is a program."""
CODE = ("GLOBAL", "Unsupported global", "Unsupported class", "TorchScript", ".tar format", "Can only")
"""Words of torch when it refuses to execute what a file asks for."""


def read_file(path: Path) -> Any:
    """What a checkpoint file holds.

    Args:
        path: A torch file (zip or older), or one of another kind, told by its suffix: a NumPy archive (.npz), a
            frozen TensorFlow graph (.pb), a TensorFlow Lite model (.tflite), a Caffe model (.caffemodel).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is cut off, of another kind, or holds more than plain data.
    """
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"checkpoint: expected a file, got {path}, which {fault}")
    _refuse_notes(path)
    return READERS.get(path.suffix.lower(), _read_torch)(path)


def state_of(content: Any, path: Path) -> State:
    """The weights in what a file holds, unwrapped, float32 where they are of lower precision.

    Raises:
        ValueError: If there are none.
    """
    for _ in WRAPPERS:  # a hostile file wraps itself for ever
        if isinstance(content, Mapping):
            content = next((content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)), content)
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(v, torch.Tensor) for v in content.values())
    ):
        raise ValueError(f"checkpoint {path}: expected names and tensors (a state dict), got {_summary(content)}")
    state = {_unprefixed(str(key)): _widened(_plain(str(key), value, path)) for key, value in content.items()}
    if len(state) < len(content):
        raise ValueError(f"checkpoint {path}: expected each name once, got some with and without 'module.'")
    return state


def _read_torch(path: Path) -> Any:
    try:
        _refuse_programs(path)
        if zipfile.is_zipfile(path):
            _refuse_bombs(path, path.stat().st_size)  # torch does not compress
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common class for what can be wrong with a file
        raise ValueError(f"checkpoint {path}: {_reason(error)}") from error


def _read_npz(path: Path) -> State:
    try:
        _refuse_bombs(path, LARGEST_BYTES)
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except Exception as error:  # zipfile, zlib and NumPy each have their own
        raise ValueError(f"checkpoint {path}: expected a NumPy archive of plain numbers, got: {error}") from error


def _refuse_notes(path: Path) -> None:
    """Name what is often saved in a checkpoint's place; the readers would call it a damaged file."""
    with path.open("rb") as file:
        head = file.read(200)
    if is_web_page(head):
        raise ValueError(
            f"checkpoint {path}: expected weights, got a web page (a log-in, or a confirmation?); "
            "open its address in a browser and save the file itself"
        )
    if head.startswith(LFS_POINTER):
        raise ValueError(f"checkpoint {path}: expected weights, got Git LFS's note of them; fetch them by git lfs pull")


def _refuse_programs(path: Path) -> None:
    """Refuse the two forms that torch before 2.6 takes in spite of ``weights_only`` (CVE-2025-32434)."""
    if tarfile.is_tarfile(path):
        raise ValueError("a file in the .tar format of the first torch")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(PurePosixPath(name).name == TORCHSCRIPT_ENTRY for name in names):
            raise ValueError("a TorchScript archive")


def _refuse_bombs(path: Path, limit_bytes: int) -> None:
    with zipfile.ZipFile(path) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
    if total > limit_bytes:
        raise ValueError(f"an archive that unpacks to {total} bytes, more than {limit_bytes}")


def _reason(error: Exception) -> str:
    text = str(error)
    code = next((line.strip() for line in text.splitlines() if any(word in line for word in CODE)), "")
    if code:
        return (
            "expected tensors and plain data, got a file that would execute code when read, which is never done here "
            f"({code}); ask its publisher for a state dict"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip() and "Weights only" not in line]
    said = next((line for line in lines if line.startswith("Unsupported")), (lines or [type(error).__name__])[0])
    return f"expected a complete torch file, got: {said} (cut off, or of another kind?)"


def _summary(content: Any) -> str:
    if not isinstance(content, Mapping):
        return type(content).__name__
    return f"entries {', '.join(map(str, list(content)[:5]))}" if content else "nothing"


def _unprefixed(key: str) -> str:
    return key.removeprefix("module.")


def _plain(key: str, value: torch.Tensor, path: Path) -> torch.Tensor:
    """A tensor that is written out number by number: others could grow without bounds when converted."""
    dense = value.layout is torch.strided and not (value.is_quantized or value.is_complex() or value.is_meta)
    if not dense or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ValueError(f"checkpoint {path}: expected plain numbers in {key}, got {value.dtype} {value.layout}")
    return value


def _widened(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.dtype in (torch.float16, torch.bfloat16, torch.float64) else value


def _tensors(arrays: Mapping[str, np.ndarray[Any, Any]]) -> State:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


READERS: dict[str, Callable[[Path], Any]] = {
    ".npz": _read_npz,
    ".pb": lambda path: _tensors(read_frozen_graph(path)),
    ".tflite": lambda path: _tensors(read_tflite(path)),
    ".caffemodel": lambda path: _tensors(read_caffe(path)),
}
"""Readers of files that are not torch's, by suffix."""
