"""Which ONNX operators TensorRT's parser takes: a table, so that a network can be judged where there is no GPU.

The names are those of the parser's support matrix; it says nothing about speed, and a parser may still object to how an
operator is used.

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
"""Taken by every TensorRT since 8.2."""

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
"""The first TensorRT that takes an operator; what is in neither table is taken by none."""

NOT_IN_BFLOAT16 = frozenset({"DeformConv", "GridSample", "Mish", "NonMaxSuppression", "NonZero", "RoiAlign"})
"""Operators that are taken in float32 and half precision alone."""

UINT8_SINCE = "8.6"
TOPK_LIMIT = 3840


def operators(model: Any) -> Counter[str]:
    """How often an ONNX model (``onnx.ModelProto``) has each operator, constants left out."""
    return Counter(node.op_type for node in _nodes(model.graph) if node.op_type != "Constant")


def remarks(model: Any) -> list[str]:
    """What stands between an ONNX model and TensorRT, one sentence each; empty where nothing is known to."""
    names = sorted(operators(model))
    said = [f"TensorRT has no {name}" for name in names if name not in ALWAYS and name not in SINCE]
    said += [f"{name} needs TensorRT {SINCE[name]} or later" for name in names if name in SINCE]
    if any(tensor.type.tensor_type.elem_type == _UINT8 for tensor in model.graph.input):
        said.append(
            f"an input of bytes needs TensorRT {UINT8_SINCE} or later; export with --float-input for older ones"
        )
    if any(tensor.data_type == _BFLOAT16 for tensor in model.graph.initializer):
        said.append("bfloat16 needs TensorRT 10 or later, and a GPU of the generation Ampere or later")
        said += [f"TensorRT has no {name} in bfloat16" for name in names if name in NOT_IN_BFLOAT16]
    return [*said, *_unsuited(model)]


_UINT8 = 2  # onnx.TensorProto.UINT8
_BFLOAT16 = 16


def _unsuited(model: Any) -> Iterator[str]:
    """Operators used in a way that the parser refuses."""
    constants = _constants(model.graph)
    for node in _nodes(model.graph):
        if node.op_type == "TopK":
            count = constants.get(node.input[1])
            if count is None:
                yield "TopK of a number that is computed needs TensorRT 8.6 or later"
            elif count >= TOPK_LIMIT:
                yield f"TopK: TensorRT takes fewer than {TOPK_LIMIT}, here are {count}"
        if node.op_type == "Resize" and any(a.name == "mode" and a.s == b"cubic" for a in node.attribute):
            yield "TensorRT has no cubic Resize"
    if _UINT8 in _quantised_types(model.graph):
        yield "TensorRT has no unsigned Q/DQ; quantise without --unsigned"


def _quantised_types(graph: Any) -> set[int]:
    """The types of the numbers that Q/DQ make and take, as their zero points tell."""
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    pairs = [node for node in _nodes(graph) if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    return {types[name] for node in pairs for name in node.input[2:] if name in types}


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the graphs inside them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def _constants(graph: Any) -> dict[str, int]:
    """The whole numbers that stand in a graph, by name."""
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
