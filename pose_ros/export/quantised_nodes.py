"""Choose the layers of an ONNX network to quantise, by operator and position."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import Any

OPERATORS = ("Conv", "Gemm", "MatMul")
"""Operators to quantise. Transposed convolutions are not among them: in integers ONNX Runtime is slower at them."""
SCALINGS = ("Add", "BatchNormalization", "Div", "Mul", "Sub")
OLDEST_OPSET = 13
"""Older opsets cannot quantise weights per channel."""


def prepare(network: Any) -> None:
    """Name every node of an ``onnx.ModelProto`` and remove each Identity between a constant and a node.

    Exporters write one tensor for equal constants, and an Identity for every additional use.
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


def choose_nodes(
    network: Any, keep: Iterable[str] = (), depthwise: bool = False, unsigned: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the nodes to quantise, and of the nodes with the same operators that stay in float32.

    Args:
        network: ``onnx.ModelProto``. Its nodes must have names.
        keep: Names of nodes that stay in float32. Wildcards allowed.
        depthwise: Whether to quantise depthwise convolutions.
        unsigned: Whether the integers are unsigned. Only then can nodes behind a Concat be quantised.

    Raises:
        ValueError: If a name matches no node, or no node is left to quantise.
    """
    candidates = [node.name for node in network.graph.node if node.op_type in OPERATORS]
    chosen = _nodes_with_weights(network, depthwise) - _last_nodes(network)
    chosen -= set() if unsigned else _nodes_behind_concat(network)
    for pattern in keep:
        matches = fnmatch.filter(candidates, pattern)
        if not matches:
            raise ValueError(
                f"keep: expected names of {', '.join(OPERATORS)} nodes, got {pattern!r}, which matches none"
            )
        chosen -= set(matches)
    opset = next(entry.version for entry in network.opset_import if entry.domain in ("", "ai.onnx"))
    if not chosen or opset < OLDEST_OPSET:
        raise ValueError(
            f"quantise: expected a network with {', '.join(OPERATORS)} in float32 before its last layers, and opset "
            f"{OLDEST_OPSET} or later, got {len(chosen)} such nodes and opset {opset}; "
            "use a file that was exported without --half and --int8"
        )
    return tuple(n for n in candidates if n in chosen), tuple(n for n in candidates if n not in chosen)


def _nodes_with_weights(network: Any, depthwise: bool) -> set[str]:
    """Return the names of the nodes with weights that are float32 constants in the file."""
    from onnx import TensorProto

    weights = {tensor.name: tensor for tensor in network.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    nodes = [node for node in network.graph.node if node.op_type in OPERATORS and node.input[1] in weights]
    return {node.name for node in nodes if depthwise or not _is_depthwise(node, weights[node.input[1]])}


def _is_depthwise(node: Any, weight: Any) -> bool:
    groups = [attribute.i for attribute in node.attribute if attribute.name == "group"]
    return node.op_type == "Conv" and bool(groups) and groups[0] > 1 and weight.dims[1] == 1


def _nodes_behind_concat(network: Any) -> set[str]:
    """Return the names of the nodes that read a Concat, also through scaling and a ReLU.

    OpenVINO (2026.4, on a CPU) moves the Q/DQ of such nodes before the Concat and then clips signed integers at 0.
    """
    producers = {name: node for node in network.graph.node for name in node.output}
    behind = set()
    for node in network.graph.node:
        source = producers.get(node.input[0]) if node.op_type in OPERATORS else None
        while source is not None and source.op_type in SCALINGS:
            source = producers.get(source.input[0])
        if source is not None and source.op_type == "Relu":
            source = producers.get(source.input[0])
        if source is not None and source.op_type == "Concat":
            behind.add(node.name)
    return behind


def _last_nodes(network: Any) -> set[str]:
    """Return the names of the last nodes of OPERATORS before each output: the layers that compute the fields."""
    producers = {name: node for node in network.graph.node for name in node.output}
    pending, seen, last = [output.name for output in network.graph.output], set(), set()
    while pending:
        node = producers.get(pending.pop())
        if node is None or node.output[0] in seen:
            continue
        seen.add(node.output[0])
        if node.op_type in OPERATORS:
            last.add(node.name)
        else:
            pending += node.input
    return last
