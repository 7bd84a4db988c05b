"""Which layers of an ONNX network become integers, by what they are and where they stand."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any

OPERATORS = ("Conv", "Gemm", "MatMul")
"""What is quantised. Transposed convolutions are not: ONNX Runtime is slower at them in integers."""
SCALINGS = ("Add", "BatchNormalization", "Div", "Mul", "Sub")
OLDEST_OPSET = 13
"""Before, weights cannot be quantised channel by channel."""


def prepare(network: Any) -> None:
    """Give every node of an ``onnx.ModelProto`` a name, and its constants without an Identity between.

    Exporters write one tensor for equal constants, and an Identity for every further use.
    """
    constants = {tensor.name for tensor in network.graph.initializer}
    outputs = {output.name for output in network.graph.output}
    nodes = {n.output[0]: n for n in network.graph.node if n.op_type == "Identity" and n.input[0] in constants}
    aliases = {name: node for name, node in nodes.items() if name not in outputs}
    for place, node in enumerate(network.graph.node):
        node.name = node.name or f"{node.op_type}_{place}"
        for index, name in enumerate(node.input):
            if name in aliases:
                node.input[index] = aliases[name].input[0]
    for node in aliases.values():
        network.graph.node.remove(node)


def choose(
    network: Any, keep: Iterable[str] = (), depthwise: bool = False, unsigned: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the nodes to quantise, and of those of the same operators that stay in float32.

    Args:
        network: An ``onnx.ModelProto`` whose nodes have names.
        keep: Names of nodes that stay, with wildcards.
        depthwise: Whether depthwise convolutions are quantised.
        unsigned: Whether the integers are, so that those behind a Concat can be.

    Raises:
        ValueError: If a name fits none, or none is left to quantise.
    """
    candidates = [node.name for node in network.graph.node if node.op_type in OPERATORS]
    able = _with_weights(network, depthwise) - _last(network)
    able -= set() if unsigned else _behind_concat(network)
    for pattern in keep:
        fitting = fnmatch.filter(candidates, pattern)
        if not fitting:
            raise ValueError(f"keep: expected names of {', '.join(OPERATORS)} nodes, got {pattern!r}, which fits none")
        able -= set(fitting)
    opset = next(entry.version for entry in network.opset_import if entry.domain in ("", "ai.onnx"))
    if not able or opset < OLDEST_OPSET:
        raise ValueError(
            f"quantise: expected a network with {', '.join(OPERATORS)} in float32 before its last layers, and opset "
            f"{OLDEST_OPSET} or later, got {len(able)} such nodes and opset {opset}; "
            "take the file that was exported without --half and --int8"
        )
    return tuple(n for n in candidates if n in able), tuple(n for n in candidates if n not in able)


def _with_weights(network: Any, depthwise: bool) -> set[str]:
    """Names of the nodes whose weights stand in the file, in float32."""
    from onnx import TensorProto

    weights = {tensor.name: tensor for tensor in network.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    nodes = [node for node in network.graph.node if node.op_type in OPERATORS and node.input[1] in weights]
    return {node.name for node in nodes if depthwise or not _is_depthwise(node, weights[node.input[1]])}


def _is_depthwise(node: Any, weight: Any) -> bool:
    groups = [attribute.i for attribute in node.attribute if attribute.name == "group"]
    return node.op_type == "Conv" and bool(groups) and groups[0] > 1 and weight.dims[1] == 1


def _behind_concat(network: Any) -> set[str]:
    """Names of the nodes that read a Concat, perhaps scaled, perhaps through a ReLU.

    OpenVINO (2026.4, on a CPU) moves Q/DQ of such a place before the Concat and there cuts signed integers at 0.
    """
    makers = {name: node for node in network.graph.node for name in node.output}
    behind = set()
    for node in network.graph.node:
        source = makers.get(node.input[0]) if node.op_type in OPERATORS else None
        while source is not None and source.op_type in SCALINGS:
            source = makers.get(source.input[0])
        if source is not None and source.op_type == "Relu":
            source = makers.get(source.input[0])
        if source is not None and source.op_type == "Concat":
            behind.add(node.name)
    return behind


def _last(network: Any) -> set[str]:
    """Names of the nodes of OPERATORS that no other stands between and an output: the layers that give the fields."""
    makers = {name: node for node in network.graph.node for name in node.output}
    ahead, seen, last = [output.name for output in network.graph.output], set(), set()
    while ahead:
        node = makers.get(ahead.pop())
        if node is None or node.output[0] in seen:
            continue
        seen.add(node.output[0])
        if node.op_type in OPERATORS:
            last.add(node.name)
        else:
            ahead += node.input
    return last
