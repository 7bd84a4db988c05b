"""Write bfloat16 ONNX files, and float32 stand-ins for runtimes without bfloat16.

ONNX supports bfloat16 convolutions and pooling since opset 22. ONNX Runtime supports neither on a CPU. Hardware
multiplies bfloat16 exactly, adds in float32 and rounds the sum. The stand-in does the same: each operator computes in
float32 with the weights of the file, and its result is rounded to bfloat16. Hardware may add in a different order. It
may also round less often if a runtime fuses operators.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

OPSET = 22
IR_VERSION = 10
"""IR version of ONNX 1.17, the first release with this opset."""


def check_onnx() -> None:
    """Raise ImportError if the package onnx is too old."""
    import onnx

    if onnx.defs.onnx_opset_version() < OPSET:
        raise ImportError(f"bf16: expected onnx 1.17 or later, got {onnx.__version__}; pip install --upgrade onnx")


def upgrade(path: Path) -> None:
    """Convert an ONNX file in place to the opset that supports bfloat16.

    Raises:
        ValueError: If onnx cannot convert an operator.
    """
    import onnx
    from onnx import version_converter

    try:
        model = version_converter.convert_version(onnx.load(str(path)), OPSET)
    except version_converter.ConvertError as error:
        raise ValueError(f"bf16: expected operators that onnx can convert to opset {OPSET}, got: {error}") from error
    model.ir_version = IR_VERSION
    onnx.save(model, str(path))


def write_stand_in(path: Path, target: Path) -> Path:
    """Write a float32 file that computes the same as a bfloat16 file and has the same description.

    Args:
        path: bfloat16 file.
        target: Stand-in to write. Use it only for checks: it is slower than float32 and bfloat16.

    Returns:
        ``target``.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True)
    graph, bfloat16 = model.graph, onnx.TensorProto.BFLOAT16
    rounded = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == bfloat16}
    for tensor in graph.initializer:
        _widen(tensor)
    nodes = [new_node for node in graph.node for new_node in _to_float32(node, rounded)]
    model.graph.CopyFrom(onnx.helper.make_graph(nodes, graph.name, graph.input, graph.output, graph.initializer))
    onnx.save(model, str(target))
    return target


def _to_float32(node: Any, rounded: set[str]) -> Iterator[Any]:
    """Yield a node in float32, and after it the rounding of its bfloat16 outputs."""
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
    """Convert a bfloat16 constant to float32 in place. The value stays the same."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type == TensorProto.BFLOAT16:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
