"""Write ONNX files of half the size: weights in half precision, which a Cast widens when a runtime loads the file.

The network computes in float32. Runtimes compute constants once, so the file needs no more memory and time than a
float32 file. The weights keep their names and are not folded, so that ``checkpoint.exported`` can read the network back
for training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.fields import NETWORK_KEY

SUFFIX = "_float32"


def store_half(path: Path, network_name: str) -> None:
    """Convert the weights of an ONNX file in place, and add the name of the network.

    Args:
        path: ONNX file in float32, whose weights are values of half precision.
        network_name: Name of the network in the zoo.
    """
    import onnx

    model = onnx.load(str(path))
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            values = onnx.numpy_helper.to_array(tensor)
            narrow = values.astype(np.float16)
            if not np.array_equal(narrow.astype(np.float32), values):
                continue
            _rename_inputs(model.graph, tensor.name, tensor.name + SUFFIX)
            casts.append(
                onnx.helper.make_node("Cast", [tensor.name], [tensor.name + SUFFIX], to=onnx.TensorProto.FLOAT)
            )
            tensor.CopyFrom(onnx.numpy_helper.from_array(narrow, tensor.name))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.helper.set_model_props(model, {NETWORK_KEY: network_name})
    onnx.save(model, str(path))


def _rename_inputs(graph: Any, name: str, new: str) -> None:
    for node in graph.node:
        for index, each in enumerate(node.input):
            if each == name:
                node.input[index] = new


def widen(model: Any) -> None:
    """Replace each Cast of a half-precision weight by a float32 weight, in an ``onnx.ModelProto``."""
    import onnx

    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in weights]:
        tensor = weights[node.input[0]]
        targets = [attribute.i for attribute in node.attribute if attribute.name == "to"]
        if tensor.data_type == onnx.TensorProto.FLOAT16 and targets == [onnx.TensorProto.FLOAT]:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, node.output[0]))
            model.graph.node.remove(node)
    _drop_unused(model.graph)


def fold_normalisation(model: Any) -> None:
    """Fold each BatchNormalization behind a convolution into its weights, in an ``onnx.ModelProto`` in float32."""
    import onnx

    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    reads = Counter(_names_read(model.graph))
    norms = {node.input[0]: node for node in model.graph.node if node.op_type == "BatchNormalization"}
    for conv in [node for node in model.graph.node if node.op_type == "Conv"]:
        norm = norms.get(conv.output[0])
        if norm is None or reads[conv.output[0]] > 1:
            continue
        if not {*conv.input[1:], *norm.input[1:]} <= arrays.keys():
            continue
        weight, *bias = (onnx.numpy_helper.to_array(arrays[name]).astype(np.float64) for name in conv.input[1:])
        scale, shift, mean, variance = (onnx.numpy_helper.to_array(arrays[name]) for name in norm.input[1:])
        epsilon = next((entry.f for entry in norm.attribute if entry.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance.astype(np.float64) + epsilon)
        folded = {
            f"{norm.output[0]}_weight": weight * factor.reshape(-1, *[1] * (weight.ndim - 1)),
            f"{norm.output[0]}_bias": shift + ((bias[0] if bias else 0) - mean) * factor,
        }
        for name, values in folded.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
        conv.input[:] = [conv.input[0], *folded]
        conv.output[0] = norm.output[0]
        model.graph.node.remove(norm)
    _drop_unused(model.graph)


def _drop_unused(graph: Any) -> None:
    """Drop weights that no node reads, also none of a subgraph."""
    used = set(_names_read(graph))
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _names_read(graph: Any) -> Iterator[str]:
    """Yield the names that a graph and its subgraphs read."""
    yield from (output.name for output in graph.output)
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                yield from _names_read(subgraph) if subgraph.node or subgraph.output else ()
