"""The constants of a frozen TensorFlow graph (.pb), read without TensorFlow.

References:
    TensorFlow, graph.proto, node_def.proto, attr_value.proto, tensor.proto and tensor_shape.proto (field numbers).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.protobuf import Kind, Schema, parse

Message = dict[str, list[Any]]

FLOAT = 1
"""The type of tensors that are read: float32."""

_SHAPE: Schema = {2: ("dims", {1: ("size", Kind.INTEGER)})}
_TENSOR: Schema = {
    1: ("dtype", Kind.INTEGER),
    2: ("shape", _SHAPE),
    4: ("content", Kind.BYTES),
    5: ("floats", Kind.FLOAT),
}
_ATTRIBUTE: Schema = {2: ("value", {8: ("tensor", _TENSOR)})}
_NODE: Schema = {1: ("name", Kind.TEXT), 2: ("op", Kind.TEXT), 5: ("attributes", _ATTRIBUTE)}
_GRAPH: Schema = {1: ("nodes", _NODE)}


def read_frozen_graph(path: Path) -> dict[str, FloatArray]:
    """The float constants by the names of their nodes; shapes as stored: weights are (rows, columns, I, O).

    Raises:
        ValueError: If it is no such file, or cut off.
    """
    data, found = path.read_bytes(), {}
    left = len(data)  # one number may stand for many, but a file of weights has no more numbers than bytes
    try:
        for name, tensor in _constants(parse(data, _GRAPH)["nodes"]):
            shape = [sum(dim["size"]) for shape in tensor["shape"] for dim in shape["dims"]]
            left -= math.prod(shape)
            if min(shape, default=0) < 0 or left < 0:
                raise ValueError(f"{name} of shape {shape}, too large for the file or negative")
            found[name] = _array(tensor, shape)
    except ValueError as error:
        raise ValueError(f"checkpoint {path}: expected a frozen TensorFlow graph, got: {error}") from error
    if not found:
        raise ValueError(f"checkpoint {path}: expected a frozen TensorFlow graph, got no constants (not frozen?)")
    return found


def _constants(nodes: list[Message]) -> Iterator[tuple[str, Message]]:
    """Name and tensor of each float constant."""
    for node in nodes:
        tensors = [t for attribute in node["attributes"] for value in attribute["value"] for t in value["tensor"]]
        if node["op"] == ["Const"] and tensors and tensors[0]["dtype"] == [FLOAT]:
            yield "".join(node["name"]), tensors[0]


def _array(tensor: Message, shape: list[int]) -> FloatArray:
    """All values as bytes, or as numbers: then one may stand for all."""
    if tensor["content"]:
        return np.frombuffer(tensor["content"][0], "<f4").reshape(shape).astype(np.float32)
    values = np.concatenate([np.empty(0, np.float32), *tensor["floats"]])
    return np.full(shape, values[0]) if len(values) == 1 else values.reshape(shape)
