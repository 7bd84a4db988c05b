"""Define the parts of an ONNX file that are read: every name, and the files with external weights.

References:
    ONNX, onnx/onnx.proto of release 1.16 (numbers of the fields).
"""

from __future__ import annotations

from pose_ros.protobuf import Kind, Schema

MAX_DEPTH = 8
"""Most subgraphs inside one another."""

_ENTRY: Schema = {1: ("key", Kind.TEXT), 2: ("value", Kind.TEXT)}
_DIMENSION: Schema = {1: ("size", Kind.INTEGER), 2: ("name", Kind.TEXT)}
_TENSOR_TYPE: Schema = {1: ("element", Kind.INTEGER), 2: ("shape", {1: ("dimensions", _DIMENSION)})}
_VALUE: Schema = {1: ("name", Kind.TEXT), 2: ("type", {1: ("tensor", _TENSOR_TYPE)})}
_WEIGHT: Schema = {
    1: ("sizes", Kind.INTEGER),
    2: ("element", Kind.INTEGER),
    8: ("name", Kind.TEXT),
    13: ("external", _ENTRY),
}
_SPARSE: Schema = {1: ("values", _WEIGHT), 2: ("indices", _WEIGHT)}


def _node_schema(depth: int) -> Schema:
    attribute: dict[int, tuple[str, Kind | Schema]] = {
        1: ("name", Kind.TEXT),
        5: ("tensor", _WEIGHT),
        10: ("tensors", _WEIGHT),
        21: ("reference", Kind.TEXT),
        22: ("sparse_tensor", _SPARSE),
        23: ("sparse_tensors", _SPARSE),
    }
    if depth:
        graph = _graph_schema(depth - 1)
        attribute |= {6: ("graph", graph), 11: ("graphs", graph)}
    return {
        1: ("inputs", Kind.TEXT),
        2: ("outputs", Kind.TEXT),
        3: ("name", Kind.TEXT),
        4: ("operator", Kind.TEXT),
        5: ("attributes", attribute),
        7: ("domain", Kind.TEXT),
    }


def _graph_schema(depth: int) -> Schema:
    return {
        1: ("nodes", _node_schema(depth)),
        2: ("name", Kind.TEXT),
        5: ("weights", _WEIGHT),
        11: ("inputs", _VALUE),
        12: ("outputs", _VALUE),
        13: ("values", _VALUE),
        15: ("sparse_weights", _SPARSE),
    }


_FUNCTION: Schema = {
    1: ("name", Kind.TEXT),
    4: ("inputs", Kind.TEXT),
    5: ("outputs", Kind.TEXT),
    6: ("attributes", Kind.TEXT),
    7: ("nodes", _node_schema(MAX_DEPTH)),
    10: ("domain", Kind.TEXT),
}
MODEL: Schema = {
    7: ("graph", _graph_schema(MAX_DEPTH)),
    8: ("operators", {1: ("domain", Kind.TEXT)}),
    14: ("metadata", _ENTRY),
    25: ("functions", _FUNCTION),
}
"""Schema of an ONNX file. A weight names its external file as the entry ``location`` of its ``external`` entries."""
