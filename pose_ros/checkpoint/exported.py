"""Read the network of a compact ONNX file back (``pose_ros export --compact``), for training or for another export.

References:
    ONNX, onnx/onnx.proto of release 1.16 (numbers of the fields and of the element types).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pose_ros.arrays import AnyArray, count_elements
from pose_ros.fields import METADATA_KEY, NETWORK_KEY, ModelSpec
from pose_ros.files import LARGEST_BYTES, read_limited
from pose_ros.network import zoo
from pose_ros.protobuf import Kind, Schema, parse

FORMAT = "pose_ros checkpoint 1"
"""Format of the content of a checkpoint of this package."""
PREFIX = "network."
"""Start of the names of the weights in the file."""
DTYPES = {1: "<f4", 10: "<f2"}
"""Element types of weights."""

_WEIGHT: Schema = {
    1: ("sizes", Kind.INTEGER),
    2: ("element", Kind.INTEGER),
    4: ("floats", Kind.FLOAT),
    8: ("name", Kind.TEXT),
    9: ("raw", Kind.BYTES),
}
_NODE: Schema = {1: ("inputs", Kind.TEXT), 2: ("outputs", Kind.TEXT), 4: ("operator", Kind.TEXT)}
_MODEL: Schema = {
    7: ("graph", {1: ("nodes", _NODE), 5: ("weights", _WEIGHT)}),
    14: ("metadata", {1: ("key", Kind.TEXT), 2: ("value", Kind.TEXT)}),
}


def read_exported(path: Path) -> dict[str, Any]:
    """Read a compact file as the content of a checkpoint of this package.

    Raises:
        ValueError: If the file is not a compact ONNX file of this package.
    """
    try:
        model = parse(read_limited(path, LARGEST_BYTES), _MODEL)
        entries = {"".join(entry["key"]): "".join(entry["value"]) for entry in model["metadata"]}
        if len(model["graph"]) != 1:
            raise ValueError("no graph")
        weights = dict(_read_weights(model["graph"][0]))
    except ValueError as error:
        raise ValueError(f"checkpoint {path}: expected an ONNX file, got: {error}") from error
    if NETWORK_KEY not in entries or METADATA_KEY not in entries:
        raise ValueError(
            f"checkpoint {path}: expected an ONNX file of pose_ros export --compact, got another one, whose "
            "normalisations are folded into its convolutions; use the checkpoint that it was exported from"
        )
    name = entries[NETWORK_KEY]
    try:
        spec = ModelSpec.parse(entries[METADATA_KEY], METADATA_KEY)
        own = zoo.build(name, spec.skeleton).spec  # the file takes bytes, the network normalised pixels
    except ValueError as error:
        raise ValueError(f"checkpoint {path}: expected a description of the model, got: {error}") from error
    return {
        "format": FORMAT,
        "network": name,
        "spec": replace(spec, input=own.input, heads=own.heads).to_dict(),
        "state_dict": weights,
    }


def _read_weights(graph: dict[str, list[Any]]) -> Iterator[tuple[str, Tensor]]:
    """Yield name and values of each weight. Equal weights have one tensor, and an Identity for each other name."""
    tensors = {"".join(weight["name"]): weight for weight in graph["weights"]}
    nodes = [node for node in graph["nodes"] if len(node["inputs"]) == len(node["outputs"]) == 1]
    casts, copies = (
        {node["outputs"][0]: node["inputs"][0] for node in nodes if node["operator"] == [operator]}
        for operator in ("Cast", "Identity")
    )
    arrays: dict[str, Tensor] = {}  # equal weights share their memory, so that a file cannot ask for more than its size
    for name in (*tensors, *copies):
        source = copies.get(name, name)
        source = casts.get(source, source)
        tensor = tensors.get(source)
        if name.startswith(PREFIX) and tensor is not None and tensor["element"] and tensor["element"][0] in DTYPES:
            if source not in arrays:
                arrays[source] = torch.from_numpy(_read_array(name, tensor))
            yield name.removeprefix(PREFIX), arrays[source]


def _read_array(name: str, tensor: dict[str, list[Any]]) -> AnyArray:
    shape, dtype = [int(size) for size in tensor["sizes"]], np.dtype(DTYPES[tensor["element"][0]])
    data = bytes(tensor["raw"][0]) if tensor["raw"] else b"".join(part.tobytes() for part in tensor["floats"])
    if count_elements(name, shape, len(data)) * dtype.itemsize != len(data):
        raise ValueError(f"{name} of shape {shape} in {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape).astype(np.float32)
