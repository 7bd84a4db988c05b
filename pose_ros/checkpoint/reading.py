"""Weights out of files, without executing anything in them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pose_ros.checkpoint.publisher import State

WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")
"""Entries under which publishers put the weights, beside the state of their optimizer."""


def read_file(path: Path) -> Any:
    """What a checkpoint file holds.

    Args:
        path: A torch file (zip or older), or a NumPy archive (.npz).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is cut off, of another kind, or holds more than plain data.
    """
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint: expected a file, got {path}, which does not exist")
    if path.suffix == ".npz":
        return _read_npz(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common class for what can be wrong with a file
        raise ValueError(f"checkpoint {path}: {_reason(error)}") from error


def state_of(content: Any, path: Path) -> State:
    """The weights in what a file holds, unwrapped, float32 where they are of lower precision.

    Raises:
        ValueError: If there are none.
    """
    while isinstance(content, Mapping):
        inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(v, torch.Tensor) for v in content.values())
    ):
        raise ValueError(f"checkpoint {path}: expected names and tensors (a state dict), got {_summary(content)}")
    return {_unprefixed(str(key)): _widened(value) for key, value in content.items()}


def _read_npz(path: Path) -> State:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, TypeError) as error:
        raise ValueError(f"checkpoint {path}: expected a NumPy archive of plain numbers, got: {error}") from error


def _reason(error: Exception) -> str:
    text = str(error)
    if "Weights only load failed" in text or "weights_only" in text:
        first = next((line.strip() for line in text.splitlines() if "GLOBAL" in line or "Unsupported" in line), "")
        return (
            "expected tensors and plain data, got a file that would execute code when read, which is never done here "
            f"({first or 'a pickle of other classes'}); ask its publisher for a state dict"
        )
    line = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return f"expected a complete torch file, got: {line} (cut off, or of another kind?)"


def _summary(content: Any) -> str:
    if not isinstance(content, Mapping):
        return type(content).__name__
    return f"entries {', '.join(map(str, list(content)[:5]))}" if content else "nothing"


def _unprefixed(key: str) -> str:
    return key.removeprefix("module.")


def _widened(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.dtype in (torch.float16, torch.bfloat16, torch.float64) else value
