"""Read the weights of a TensorFlow.js model (model.json and its weight files), without TensorFlow.

The JSON file has groups of weights. A group names its weight files (shards), and for each weight its name, shape and
type. The bytes of all weights follow one another in the shards.

References:
    TensorFlow.js, io/types.ts: ModelJSON, WeightsManifestGroupConfig, WeightsManifestEntry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, count_elements
from pose_ros.files import LARGEST_BYTES, read_limited

DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "u1", "bool": "u1"}
"""Types of stored numbers, by their names."""
LARGEST_JSON = 1 << 26
"""Largest JSON file to read, bytes. Published ones have less than 1 MB."""


def read_tfjs(path: Path) -> dict[str, AnyArray]:
    """Read the weights by the names of their nodes. Shapes are as stored: weights are (rows, columns, I, O).

    Raises:
        ValueError: If the file has another format, or a weight file is missing, truncated, or in another folder.
    """
    try:
        return dict(_read_groups(_read_manifest(path), path.parent))
    except (KeyError, TypeError, ValueError, OverflowError, OSError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise ValueError(f"checkpoint {path}: expected a TensorFlow.js model, got: {reason}") from error


def _read_manifest(path: Path) -> list[Mapping[str, Any]]:
    groups = json.loads(read_limited(path, LARGEST_JSON).decode())["weightsManifest"]
    if not isinstance(groups, list) or not all(isinstance(group, Mapping) for group in groups):
        raise ValueError("a weightsManifest that is not a list of groups")
    return groups


def _read_groups(groups: list[Mapping[str, Any]], folder: Path) -> Iterator[tuple[str, AnyArray]]:
    """Yield name and values of every weight."""
    names: set[str] = set()
    shards: set[str] = set()
    for group in groups:
        _check_group(group)
        data = b"".join(_read_shard(name, folder, shards) for name in group["paths"])
        position = 0
        for entry in group["weights"]:
            name = str(entry["name"])
            if name in names:
                raise ValueError(f"two weights named {name}")
            names.add(name)
            values, count_bytes = _read_weight(entry, data, position)
            position += count_bytes
            yield name, values
        if position != len(data):
            raise ValueError(f"{len(data)} bytes in {', '.join(map(str, group['paths']))}, where {position} are used")


def _check_group(group: Mapping[str, Any]) -> None:
    """Raise ValueError if a group is not a list of weight files and a list of weights."""
    for key in ("paths", "weights"):
        if not isinstance(group[key], list):
            raise ValueError(f"{key} that are not a list")
    if not all(isinstance(entry, Mapping) for entry in group["weights"]):
        raise ValueError("a weight without name, shape and dtype")


def _read_shard(name: Any, folder: Path, known: set[str]) -> bytes:
    """Read a weight file in the folder of the JSON file. No file is read twice, so that the file's size is a limit."""
    if not isinstance(name, str) or Path(name).name != name or "\\" in name:
        raise ValueError(f"a weight file {name!r}, which is not in the same folder")
    if name in known:
        raise ValueError(f"the weight file {name} twice")
    known.add(name)
    path = folder / name
    if not path.is_file():
        raise ValueError(f"no weight file {name}; download it to the same folder")
    return read_limited(path, LARGEST_BYTES)


def _read_weight(entry: Mapping[str, Any], data: bytes, position: int) -> tuple[AnyArray, int]:
    """Return the values of a weight, and the number of its bytes."""
    name, shape, stored = str(entry["name"]), entry["shape"], entry["dtype"]
    quantization = entry.get("quantization")
    if quantization is not None:
        if not isinstance(quantization, Mapping):
            raise ValueError(f"{name} with quantization {str(quantization)[:40]!r}")
        stored = quantization["dtype"]
    if stored not in DTYPES:
        raise ValueError(f"{name} of type {stored!r}, expected one of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise ValueError(f"{name} of shape {str(shape)[:80]}")
    dtype = np.dtype(DTYPES[stored])
    count = count_elements(name, shape, (len(data) - position) // dtype.itemsize)
    values = np.frombuffer(data, dtype, count, position).reshape(shape)
    return _dequantise(values, quantization), count * dtype.itemsize


def _dequantise(values: AnyArray, quantization: Mapping[str, Any] | None) -> AnyArray:
    """Convert to float32. Integers are value = stored scale + min."""
    if quantization is None:
        return values.copy()
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    scale, least = (_read_number(quantization, key) for key in ("scale", "min"))
    return values.astype(np.float32) * scale + least


def _read_number(quantization: Mapping[str, Any], key: str) -> np.float32:
    value = quantization[key]
    if type(value) not in (int, float) or not abs(value) <= float(np.finfo(np.float32).max):
        raise ValueError(f"quantization with {key} {str(value)[:40]!r}, which is no float32 number")
    return np.float32(value)
