"""An ONNX file becomes a plan: what TensorRT has found to be the fastest way of running it on this GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pose_ros.config import RuntimeConfig
from pose_ros.runtime.onnx_graph import OnnxGraph, read_graph
from pose_ros.runtime.runner import BuildProgress
from pose_ros.runtime.shape_ranges import ShapeRange, shape_ranges
from pose_ros.runtime.tensorrt.log import said
from pose_ros.runtime.tensorrt.precision import engine_precision, set_precision
from pose_ros.runtime.tensorrt.progress import shown

REVISION = 1
"""Of this way of building, which engines depend on, too: raised when the same request is built in another way."""
MEGABYTE = 1_000_000
NETWORK_FLAGS = ("EXPLICIT_BATCH", "STRONGLY_TYPED")
"""The first is needed before TensorRT 10 and gone in 11, the second is known from 10 on."""


@dataclass(frozen=True)
class EngineRequest:
    """What is to be built.

    Attributes:
        path: The ONNX file.
        graph: What it says of itself.
        precision: Arithmetic of the engine.
        shapes: Range of each input whose shape is free.
        optimisation: 0 to 5; how long to look for the fastest kernels.
        workspace_bytes: Most memory that a kernel may try; 0 is any.
    """

    path: Path
    graph: OnnxGraph
    precision: str
    shapes: Mapping[str, ShapeRange]
    optimisation: int
    workspace_bytes: int

    @property
    def shapes_text(self) -> str:
        """All ranges, for people and for the engine's key."""
        return ", ".join(f"{name} {shapes}" for name, shapes in sorted(self.shapes.items())) or "fixed"

    @property
    def options_text(self) -> str:
        """All other options, for people and for the engine's key."""
        workspace = f"{self.workspace_bytes} bytes" if self.workspace_bytes else "any"
        return f"optimisation {self.optimisation}, workspace {workspace}, revision {REVISION}"


@dataclass(frozen=True)
class BuiltEngine:
    """A plan, and the timings of kernels that make the next build faster."""

    plan: bytes
    timings: bytes


def engine_request(trt: Any, path: Path, config: RuntimeConfig) -> EngineRequest:
    """What the settings ask of a model. Makes no object of TensorRT.

    Args:
        trt: The module tensorrt.
        path: The ONNX file.
        config: The settings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no ONNX network, or this TensorRT cannot run it as the settings say.
    """
    graph = read_graph(path)
    precision, shapes = engine_precision(trt, graph, config.precision), shape_ranges(graph, config)
    return EngineRequest(path, graph, precision, shapes, config.optimisation, config.workspace_mb * MEGABYTE)


def build_engine(
    trt: Any,
    request: EngineRequest,
    log: Any,
    progress: BuildProgress,
    timings: bytes = b"",
    cancelled: Callable[[], bool] = lambda: False,
) -> BuiltEngine:
    """Build an engine: seconds to an hour, on the GPU that is current for the calling thread.

    Args:
        trt: The module tensorrt.
        request: What to build.
        log: From ``log_of``.
        progress: Told how far it is, from other threads.
        timings: Of earlier builds with the same TensorRT and GPU.
        cancelled: Asked now and then whether to give up.

    Raises:
        ValueError: If TensorRT cannot read or build the model, with what it has said.
    """
    log.errors.clear()
    builder = trt.Builder(log)
    network = builder.create_network(_network_flags(trt))
    _parse(trt, network, request, log)
    settings = _settings(trt, builder, network, request)
    cache = _timing_cache(settings, timings)
    with shown(trt, settings, progress, cancelled):
        plan = builder.build_serialized_network(network, settings)
    if plan is None:
        reason = "interrupted" if cancelled() and not log.errors else said(log)
        raise ValueError(f"model {request.path}: expected TensorRT {trt.__version__} to build an engine, got: {reason}")
    return BuiltEngine(bytes(plan), bytes(cache.serialize()))


def _network_flags(trt: Any) -> int:
    known = trt.NetworkDefinitionCreationFlag
    return sum(1 << int(getattr(known, name)) for name in NETWORK_FLAGS if hasattr(known, name))


def _parse(trt: Any, network: Any, request: EngineRequest, log: Any) -> None:
    """Read the model into the network, which keeps the parser and with it the weights."""
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(request.path)):
        errors = [_told(parser.get_error(index), request.graph) for index in range(parser.num_errors)]
        reason = "; ".join(errors) or said(log)
        raise ValueError(
            f"model {request.path}: expected a network that TensorRT {trt.__version__} reads, got: {reason}"
        )


def _told(error: Any, graph: OnnxGraph) -> str:
    """An error of the parser with the node that it is about, which before TensorRT 10 is but a number."""
    index = error.node()
    name, operator = graph.nodes[index] if 0 <= index < len(graph.nodes) else ("", "")
    if hasattr(error, "node_name"):
        name, operator = error.node_name() or name, error.node_operator() or operator
    node = f"node {name or index} ({operator}): " if operator else ""
    return f"{node}{error.desc().strip()}"


def _settings(trt: Any, builder: Any, network: Any, request: EngineRequest) -> Any:
    settings = builder.create_builder_config()
    if hasattr(settings, "builder_optimization_level"):  # since 8.6
        settings.builder_optimization_level = request.optimisation
    if request.workspace_bytes:
        settings.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_bytes)
    set_precision(trt, settings, network, request.graph, request.precision)
    if request.shapes:
        profile = builder.create_optimization_profile()
        for name, shapes in request.shapes.items():
            profile.set_shape(name, shapes.least, shapes.best, shapes.most)
        settings.add_optimization_profile(profile)
    return settings


def _timing_cache(settings: Any, timings: bytes) -> Any:
    """The cache of timings, set; timings of another machine are left out."""
    cache = settings.create_timing_cache(timings)
    if cache is None or not settings.set_timing_cache(cache, ignore_mismatch=False):
        cache = settings.create_timing_cache(b"")
        settings.set_timing_cache(cache, ignore_mismatch=False)
    return cache
