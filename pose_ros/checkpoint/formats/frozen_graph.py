"""Read the constants of a frozen TensorFlow graph (.pb), without TensorFlow.

References:
    TensorFlow, graph.proto, node_def.proto, attr_value.proto, tensor.proto and tensor_shape.proto (field numbers).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pose_ros.arrays import FloatArray, count_elements
from pose_ros.files import LARGEST_BYTES, read_limited
from pose_ros.protobuf import Kind, Message, Schema, parse

FLOAT = 1
"""Type of the tensors to read: float32."""

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
    """Read the float constants by the names of their nodes. Shapes are as stored: weights are (rows, columns, I, O).

    Raises:
        ValueError: If the file has another format or is truncated.
    """
    arrays = {}
    try:
        data = read_limited(path, LARGEST_BYTES)
        budget = len(data)  # one number can be stored for many, but a file of weights has no more numbers than bytes
        for name, tensor in _find_constants(parse(data, _GRAPH)["nodes"]):
            shape = [sum(dim["size"]) for shape in tensor["shape"] for dim in shape["dims"]]
            budget -= count_elements(name, shape, budget)
            arrays[name] = _read_array(tensor, shape)
    except ValueError as error:
        raise ValueError(f"checkpoint {path}: expected a frozen TensorFlow graph, got: {error}") from error
    if not arrays:
        raise ValueError(f"checkpoint {path}: expected a frozen TensorFlow graph, got no constants (not frozen?)")
    return arrays


def _find_constants(nodes: list[Message]) -> Iterator[tuple[str, Message]]:
    """Yield name and tensor of each float constant."""
    for node in nodes:
        tensors = [t for attribute in node["attributes"] for value in attribute["value"] for t in value["tensor"]]
        if node["op"] == ["Const"] and tensors and tensors[0]["dtype"] == [FLOAT]:
            yield "".join(node["name"]), tensors[0]


def _read_array(tensor: Message, shape: list[int]) -> FloatArray:
    """Read the values, stored as bytes or as numbers. One number can be stored for all values."""
    if tensor["content"]:
        return np.frombuffer(tensor["content"][0], "<f4").reshape(shape).astype(np.float32)
    values = np.concatenate([np.empty(0, np.float32), *tensor["floats"]])
    return np.full(shape, values[0]) if len(values) == 1 else values.reshape(shape)
