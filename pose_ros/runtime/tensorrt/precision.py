"""Choose the precision of an engine. It comes from the model. Only TensorRT before 10 can reduce fp32 to fp16.

Since TensorRT 10 a network is strongly typed: each layer computes in the type that the model defines.
"""

from __future__ import annotations

from typing import Any

from pose_ros.runtime.onnx_graph import OnnxGraph

UINT8_SINCE = (8, 6)
EXPORTS = {"fp32": "without --half and --bf16", "fp16": "with --half", "bf16": "with --bf16"}
"""Options of ``pose_ros export`` for a model of each precision."""
FRONT_INPUTS = frozenset({"heatmaps", "pafs"})
"""Fields that are the inputs of a decode front."""


def version_of(trt: Any) -> tuple[int, int]:
    """Return major and minor version of TensorRT.

    Args:
        trt: The module tensorrt.
    """
    major, minor = trt.__version__.split(".")[:2]
    return int(major), int(minor)


def is_strongly_typed(trt: Any) -> bool:
    """Whether types come only from the model."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def engine_precision(trt: Any, graph: OnnxGraph, wanted: str) -> str:
    """Return the precision of the engine for a model.

    Args:
        trt: The module tensorrt.
        graph: The model.
        wanted: ``RuntimeConfig.precision``.

    Raises:
        ValueError: If this TensorRT cannot run the model, or not in this precision. The message says how to export the
            model.
    """
    stored, version = graph.precision, trt.__version__
    if version_of(trt) < UINT8_SINCE and any(graph_input.is_bytes for graph_input in graph.inputs):
        raise ValueError(
            f"model: expected an input of float32 for TensorRT {version}, got uint8; export it with --float-input"
        )
    if stored == "bf16" and not hasattr(trt.DataType, "BF16"):
        raise ValueError(f"model: expected fp32 or fp16 for TensorRT {version}, got bf16; export it with --half")
    if wanted in ("auto", stored):
        return stored
    if wanted == "fp16" and stored == "fp32" and not is_strongly_typed(trt):
        return "fp16"
    raise ValueError(
        f"runtime.precision: expected auto or {stored}, the precision of the model, got {wanted}; "
        f"export the model {EXPORTS[wanted]}, as TensorRT {version} cannot change its precision"
    )


def set_precision(trt: Any, settings: Any, network: Any, graph: OnnxGraph, precision: str) -> None:
    """Set the precision flags of the builder. Does nothing for TensorRT 10 and later.

    Args:
        trt: The module tensorrt.
        settings: Configuration of the builder.
        network: The parsed model.
        graph: Description of the same model, read from its file.
        precision: Precision from ``engine_precision``.
    """
    if is_strongly_typed(trt):
        return
    if graph.is_quantised:
        settings.set_flag(trt.BuilderFlag.INT8)
    if precision == "fp16":
        settings.set_flag(trt.BuilderFlag.FP16)
        if graph.has_front:
            settings.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
            _pin_front(trt, network)


def _pin_front(trt: Any, network: Any) -> None:
    """Keep all layers after the fields in float32: half precision is too coarse for cell coordinates."""
    floats = (trt.DataType.FLOAT, trt.DataType.HALF)
    reached = set(FRONT_INPUTS)
    for layer in (network.get_layer(index) for index in range(network.num_layers)):
        inputs = [tensor for i in range(layer.num_inputs) if (tensor := layer.get_input(i)) is not None]
        if reached.isdisjoint(tensor.name for tensor in inputs):
            continue
        outputs = [layer.get_output(i) for i in range(layer.num_outputs)]
        reached.update(tensor.name for tensor in outputs)
        if any(tensor.dtype in floats for tensor in (*inputs, *outputs)):
            layer.precision = trt.DataType.FLOAT
        for index, tensor in enumerate(outputs):
            if tensor.dtype == trt.DataType.FLOAT:  # outputs that are half in the model stay half
                layer.set_output_type(index, trt.DataType.FLOAT)
