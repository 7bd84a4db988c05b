"""bfloat16 in ONNX files: the opset that has it, and a stand-in for runtimes that have not.

ONNX has convolutions and pooling in bfloat16 since opset 22; ONNX Runtime has neither on a CPU. Hardware multiplies
bfloat16 exactly, adds in float32 and rounds the sum. So does the stand-in: each operator computes in float32 on the
file's own weights, and its result is rounded to bfloat16. Hardware may add in another order, and round less often where
a runtime joins operators.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

OPSET = 22
IR_VERSION = 10
"""The one that belongs to the opset's first release, ONNX 1.17."""


def check_onnx() -> None:
    """Raise ImportError if the package onnx is too old."""
    import onnx

    if onnx.defs.onnx_opset_version() < OPSET:
        raise ImportError(f"bf16: expected onnx 1.17 or later, got {onnx.__version__}; pip install --upgrade onnx")


def upgrade(path: Path) -> None:
    """Bring an ONNX file of an older opset, in place, to the one that has bfloat16.

    Raises:
        ValueError: If an operator has changed in a way that onnx cannot bridge.
    """
    import onnx
    from onnx import version_converter

    try:
        model = version_converter.convert_version(onnx.load(str(path)), OPSET)
    except version_converter.ConvertError as error:
        raise ValueError(f"bf16: expected operators that onnx brings to opset {OPSET}, got: {error}") from error
    model.ir_version = IR_VERSION
    onnx.save(model, str(path))


def write_stand_in(path: Path, target: Path) -> Path:
    """Write a file of float32 that computes what a file of bfloat16 does, and says the same of itself.

    Args:
        path: The file of bfloat16.
        target: The stand-in: for checks only, as it is slower than either precision.

    Returns:
        ``target``.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True)
    graph, bfloat16 = model.graph, onnx.TensorProto.BFLOAT16
    rounded = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == bfloat16}
    for tensor in graph.initializer:
        _widen(tensor)
    nodes = [part for node in graph.node for part in _in_float32(node, rounded)]
    model.graph.CopyFrom(onnx.helper.make_graph(nodes, graph.name, graph.input, graph.output, graph.initializer))
    onnx.save(model, str(target))
    return target


def _in_float32(node: Any, rounded: set[str]) -> Iterator[Any]:
    """A node in float32, and behind it the rounding of those outputs that are bfloat16."""
    from onnx import TensorProto, helper

    for attribute in node.attribute:
        if attribute.HasField("t"):
            _widen(attribute.t)
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.BFLOAT16:
            attribute.i = TensorProto.FLOAT
    yield node
    for index, name in enumerate(node.output):
        if name in rounded:
            node.output[index] = exact = f"{name}/exact"
            yield helper.make_node("Cast", [exact], [f"{name}/bfloat16"], to=TensorProto.BFLOAT16)
            yield helper.make_node("Cast", [f"{name}/bfloat16"], [name], to=TensorProto.FLOAT)


def _widen(tensor: Any) -> None:
    """Make a constant of bfloat16 one of float32, which holds the same number."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type == TensorProto.BFLOAT16:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
