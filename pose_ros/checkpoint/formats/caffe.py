"""Read weights of Caffe models (.caffemodel), without Caffe.

The file is one ``NetParameter`` message. Each layer has its arrays ("blobs"), weights before biases.

References:
    BVLC Caffe, src/caffe/proto/caffe.proto (the numbers of the fields).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import count_elements
from pose_ros.files import LARGEST_BYTES, read_limited
from pose_ros.protobuf import Kind, Schema, parse

SHAPE: Schema = {1: ("dim", Kind.INTEGER)}
BLOB: Schema = {
    1: ("num", Kind.INTEGER),
    2: ("channels", Kind.INTEGER),
    3: ("height", Kind.INTEGER),
    4: ("width", Kind.INTEGER),
    5: ("data", Kind.FLOAT),
    7: ("shape", SHAPE),
    8: ("double_data", Kind.DOUBLE),
}
LAYER: Schema = {1: ("name", Kind.TEXT), 7: ("blobs", BLOB)}
LAYER_V1: Schema = {4: ("name", Kind.TEXT), 6: ("blobs", BLOB)}
NET: Schema = {2: ("layers", LAYER_V1), 100: ("layer", LAYER)}

LEGACY_SHAPE = ("num", "channels", "height", "width")
ARRAYS = ("weight", "bias")


def read_caffe(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read all arrays of a Caffe model.

    Returns:
        ``<layer>.weight`` and ``<layer>.bias`` to float32 arrays, biases of shape (C,). More arrays of a layer are
        ``<layer>.2`` and so on.

    Raises:
        ValueError: If the file is truncated or has another format, or an array does not match its shape.
    """
    try:
        net = parse(read_limited(path, LARGEST_BYTES), NET)
        arrays = [entry for layer in net["layers"] + net["layer"] for entry in _read_arrays(layer)]
    except ValueError as error:
        raise ValueError(f"checkpoint {path}: expected a Caffe model, got: {error}") from error
    if not arrays:
        raise ValueError(f"checkpoint {path}: expected a Caffe model with weights, got none")
    return dict(arrays)


def _read_arrays(layer: dict[str, list[Any]]) -> list[tuple[str, np.ndarray[Any, Any]]]:
    name = "".join(layer["name"])
    blobs = [_read_array(name, blob) for blob in layer["blobs"]]
    names = [*ARRAYS, *map(str, range(len(ARRAYS), len(blobs)))]
    return [
        (f"{name}.{array}", blob.reshape(-1) if array == "bias" else blob)
        for array, blob in zip(names, blobs, strict=False)
    ]


def _read_array(layer: str, blob: dict[str, list[Any]]) -> np.ndarray[Any, Any]:
    numbers = np.concatenate([*blob["data"], *blob["double_data"], np.empty(0, np.float32)]).astype(np.float32)
    if blob["shape"]:
        shape = tuple(blob["shape"][-1]["dim"])
    else:
        legacy = [blob[side][-1] for side in LEGACY_SHAPE if blob[side]]
        shape = tuple(legacy) if legacy else (len(numbers),)
    if count_elements(f"layer {layer}", shape, len(numbers)) != len(numbers):
        raise ValueError(f"layer {layer} with {len(numbers)} numbers for the shape {shape}")
    return numbers.reshape(shape)
