"""The arithmetic of an engine. It lives in the model; only TensorRT before 10 can halve it on its own.

From TensorRT 10 on a network is strongly typed: each layer computes in the type that the model gives it.
"""

from __future__ import annotations

from typing import Any

from pose_ros.runtime.onnx_graph import OnnxGraph

BYTES_SINCE = (8, 6)
EXPORTS = {"fp32": "without --half and --bf16", "fp16": "with --half", "bf16": "with --bf16"}
"""How ``pose_ros export`` is told to write a model of each precision."""
FRONT_INPUTS = frozenset({"heatmaps", "pafs"})
"""The fields that a decode front begins at."""


def version_of(trt: Any) -> tuple[int, int]:
    """Major and minor version of TensorRT.

    Args:
        trt: The module tensorrt.
    """
    major, minor = trt.__version__.split(".")[:2]
    return int(major), int(minor)


def is_strongly_typed(trt: Any) -> bool:
    """Whether types come from the model, and from nowhere else."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def engine_precision(trt: Any, graph: OnnxGraph, wanted: str) -> str:
    """The precision that an engine of this model will have.

    Args:
        trt: The module tensorrt.
        graph: The model.
        wanted: ``RuntimeConfig.precision``.

    Raises:
        ValueError: If this TensorRT cannot run the model, or not in the wanted precision. It tells how to export.
    """
    held, version = graph.precision, trt.__version__
    if version_of(trt) < BYTES_SINCE and any(given.is_bytes for given in graph.inputs):
        raise ValueError(
            f"model: expected an input of float32, as TensorRT {version} takes it, got bytes; "
            "export it with --float-input"
        )
    if held == "bf16" and not hasattr(trt.DataType, "BF16"):
        raise ValueError(f"model: expected fp32 or fp16, which TensorRT {version} has, got bf16; export it with --half")
    if wanted in ("auto", held):
        return held
    if wanted == "fp16" and held == "fp32" and not is_strongly_typed(trt):
        return "fp16"
    raise ValueError(
        f"runtime.precision: expected auto or {held}, which the model holds, got {wanted}; "
        f"TensorRT {version} takes it from the model: export that {EXPORTS[wanted]}"
    )


def set_precision(trt: Any, settings: Any, network: Any, graph: OnnxGraph, precision: str) -> None:
    """Tell a builder of TensorRT before 10 which arithmetic it may use; a later one needs no telling.

    Args:
        trt: The module tensorrt.
        settings: The builder's configuration.
        network: The parsed model.
        graph: The same, as the file says it.
        precision: What ``engine_precision`` gave.
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
    """Keep all that follows the fields in float32: half precision cannot tell one cell of a field from the next."""
    floats = (trt.DataType.FLOAT, trt.DataType.HALF)
    reached = set(FRONT_INPUTS)
    for layer in (network.get_layer(index) for index in range(network.num_layers)):
        taken = [tensor for i in range(layer.num_inputs) if (tensor := layer.get_input(i)) is not None]
        if reached.isdisjoint(tensor.name for tensor in taken):
            continue
        given = [layer.get_output(i) for i in range(layer.num_outputs)]
        reached.update(tensor.name for tensor in given)
        if any(tensor.dtype in floats for tensor in (*taken, *given)):
            layer.precision = trt.DataType.FLOAT
        for index, tensor in enumerate(given):
            if tensor.dtype == trt.DataType.FLOAT:  # what is halved on purpose stays half
                layer.set_output_type(index, trt.DataType.FLOAT)
