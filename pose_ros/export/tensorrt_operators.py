"""Table of the ONNX operators that the TensorRT parser supports, to check a network without a GPU.

The names are those of the support matrix of the parser. The matrix does not cover speed. A parser may still reject
the way in which an operator is used.

References:
    onnx-tensorrt, docs/operators.md of the releases 8.2, 8.4, 8.5, 8.6, 9.0, 10.0, 10.1 and 10.15.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

_NAMES = (
    "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu Clip "
    "Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout "
    "Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gemm GlobalAveragePool "
    "GlobalLpPool GlobalMaxPool Greater GreaterOrEqual HardSigmoid Identity If InstanceNormalization IsNaN LRN LSTM "
    "LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean Min Mul Neg "
    "NonMaxSuppression Not Or PRelu Pad Pow QuantizeLinear RNN RandomUniform RandomUniformLike Range ReduceL1 ReduceL2 "
    "ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape "
    "Resize ReverseSequence Round Scan ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax "
    "Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Unsqueeze "
    "Upsample Where"
)
ALWAYS = frozenset(_NAMES.split())
"""Supported by every TensorRT since 8.2."""

SINCE = {
    "Shrink": "8.4",
    "Xor": "8.4",
    "GridSample": "8.5",
    "HardSwish": "8.5",
    "MeanVarianceNormalization": "8.5",
    "Mod": "8.5",
    "NonZero": "8.5",
    "OneHot": "8.5",
    "RandomNormal": "8.5",
    "RandomNormalLike": "8.5",
    "Reciprocal": "8.5",
    "RoiAlign": "8.5",
    "Trilu": "8.5",
    "GroupNormalization": "8.6",
    "IsInf": "8.6",
    "LayerNormalization": "8.6",
    "CastLike": "10.0",
    "Gelu": "10.0",
    "Hardmax": "10.0",
    "Mish": "10.0",
    "DeformConv": "10.1",
}
"""First TensorRT that supports an operator. Operators in neither table are not supported."""

NOT_IN_BFLOAT16 = frozenset({"DeformConv", "GridSample", "Mish", "NonMaxSuppression", "NonZero", "RoiAlign"})
"""Operators that are supported only in float32 and half precision."""

UINT8_SINCE = "8.6"
TOPK_LIMIT = 3840


def count_operators(model: Any) -> Counter[str]:
    """Count the operators of an ONNX model (``onnx.ModelProto``), without constants."""
    return Counter(node.op_type for node in _nodes(model.graph) if node.op_type != "Constant")


def list_remarks(model: Any) -> list[str]:
    """List the known problems of an ONNX model with TensorRT, one sentence each."""
    names = sorted(count_operators(model))
    found = [f"TensorRT has no {name}" for name in names if name not in ALWAYS and name not in SINCE]
    found += [f"{name} needs TensorRT {SINCE[name]} or later" for name in names if name in SINCE]
    if any(tensor.type.tensor_type.elem_type == _UINT8 for tensor in model.graph.input):
        found.append(
            f"a uint8 input needs TensorRT {UINT8_SINCE} or later; export with --float-input for older versions"
        )
    if any(tensor.data_type == _BFLOAT16 for tensor in model.graph.initializer):
        found.append("bfloat16 needs TensorRT 10 or later and an Ampere GPU or later")
        found += [f"TensorRT has no {name} in bfloat16" for name in names if name in NOT_IN_BFLOAT16]
    return [*found, *_usage_remarks(model)]


_UINT8 = 2  # onnx.TensorProto.UINT8
_BFLOAT16 = 16


def _usage_remarks(model: Any) -> Iterator[str]:
    """Yield a remark for each operator that is used in a way that the parser rejects."""
    constants = _constants(model.graph)
    for node in _nodes(model.graph):
        if node.op_type == "TopK":
            count = constants.get(node.input[1])
            if count is None:
                yield "TopK with a computed count needs TensorRT 8.6 or later"
            elif count >= TOPK_LIMIT:
                yield f"TopK: TensorRT supports counts below {TOPK_LIMIT}, got {count}"
        if node.op_type == "Resize" and any(a.name == "mode" and a.s == b"cubic" for a in node.attribute):
            yield "TensorRT has no cubic Resize"
    if _UINT8 in _qdq_types(model.graph):
        yield "TensorRT has no unsigned Q/DQ; quantise without --unsigned"


def _qdq_types(graph: Any) -> set[int]:
    """Return the integer types of Q/DQ, read from their zero points."""
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    pairs = [node for node in _nodes(graph) if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    return {types[name] for node in pairs for name in node.input[2:] if name in types}


def _nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph and of its subgraphs."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _constants(graph: Any) -> dict[str, int]:
    """Return the constant integers of a graph, by name."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in graph.initializer}
    tensors |= {
        node.output[0]: attribute.t
        for node in _nodes(graph)
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    arrays = {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items() if len(tensor.dims) <= 1}
    return {name: int(array.item()) for name, array in arrays.items() if array.size == 1 and array.dtype.kind == "i"}
