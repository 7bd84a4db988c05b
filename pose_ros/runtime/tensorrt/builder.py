"""Build a TensorRT engine from an ONNX file. A serialised engine is called a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pose_ros.config import RuntimeConfig
from pose_ros.runtime.onnx_graph import OnnxGraph, read_graph
from pose_ros.runtime.runner import BuildProgress
from pose_ros.runtime.shape_ranges import ShapeRange, shape_ranges
from pose_ros.runtime.tensorrt.log import last_errors
from pose_ros.runtime.tensorrt.precision import engine_precision, set_precision
from pose_ros.runtime.tensorrt.progress import report_progress

REVISION = 1
"""Revision of the build steps, part of an engine's key. Increase it when the same request is built differently."""
MEGABYTE = 1_000_000
NETWORK_FLAGS = ("EXPLICIT_BATCH", "STRONGLY_TYPED")
"""The first is required before TensorRT 10 and removed in 11. The second exists since 10."""


@dataclass(frozen=True)
class EngineRequest:
    """Model and options of an engine to build.

    Attributes:
        path: The ONNX file.
        graph: Description of the network in the file.
        precision: Precision of the engine.
        shapes: Range of each input with free sizes.
        optimisation: Optimisation level, 0 to 5. Higher levels search longer for fast kernels.
        workspace_bytes: Most memory that a kernel may use. 0 = no limit.
    """

    path: Path
    graph: OnnxGraph
    precision: str
    shapes: Mapping[str, ShapeRange]
    optimisation: int
    workspace_bytes: int

    @property
    def shapes_text(self) -> str:
        """All ranges as text, for people and for the engine's key."""
        return ", ".join(f"{name} {shapes}" for name, shapes in sorted(self.shapes.items())) or "fixed"

    @property
    def options_text(self) -> str:
        """All other options as text, for people and for the engine's key."""
        workspace = f"{self.workspace_bytes} bytes" if self.workspace_bytes else "any"
        return f"optimisation {self.optimisation}, workspace {workspace}, revision {REVISION}"


@dataclass(frozen=True)
class BuiltEngine:
    """Plan of an engine, and kernel timings that make the next build faster."""

    plan: bytes
    timings: bytes


def engine_request(trt: Any, path: Path, config: RuntimeConfig) -> EngineRequest:
    """Make the request for the engine of a model. Creates no TensorRT object.

    Args:
        trt: The module tensorrt.
        path: The ONNX file.
        config: Runtime settings.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not an ONNX network, or this TensorRT cannot run it with these settings.
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
    is_cancelled: Callable[[], bool] = lambda: False,
) -> BuiltEngine:
    """Build an engine on the current GPU of the calling thread. This takes seconds to an hour.

    Args:
        trt: The module tensorrt.
        request: The engine to build.
        log: Logger from ``log_of``.
        progress: Called with the progress, from other threads.
        timings: Kernel timings of earlier builds with the same TensorRT and GPU.
        is_cancelled: Called during the build. True cancels the build if TensorRT supports it (since 10).

    Raises:
        ValueError: If TensorRT cannot read or build the model, with TensorRT's error messages.
    """
    log.errors.clear()
    builder = trt.Builder(log)
    network = builder.create_network(_network_flags(trt))
    _parse(trt, network, request, log)
    settings = _make_settings(trt, builder, network, request)
    cache = _set_timing_cache(settings, timings)
    with report_progress(trt, settings, progress, is_cancelled):
        plan = builder.build_serialized_network(network, settings)
    if plan is None:
        reason = "interrupted" if is_cancelled() and not log.errors else last_errors(log)
        raise ValueError(f"model {request.path}: expected TensorRT {trt.__version__} to build an engine, got: {reason}")
    return BuiltEngine(bytes(plan), bytes(cache.serialize()))


def _network_flags(trt: Any) -> int:
    known = trt.NetworkDefinitionCreationFlag
    return sum(1 << int(getattr(known, name)) for name in NETWORK_FLAGS if hasattr(known, name))


def _parse(trt: Any, network: Any, request: EngineRequest, log: Any) -> None:
    """Read the model into the network. The network keeps the parser alive, which holds the weights."""
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(request.path)):
        errors = [_describe_parser_error(parser.get_error(index), request.graph) for index in range(parser.num_errors)]
        reason = "; ".join(errors) or last_errors(log)
        raise ValueError(
            f"model {request.path}: expected a network that TensorRT {trt.__version__} can read, got: {reason}"
        )


def _describe_parser_error(error: Any, graph: OnnxGraph) -> str:
    """Describe an error of the parser, with its node. Before TensorRT 10 the error holds only the node's index."""
    index = error.node()
    name, operator = graph.nodes[index] if 0 <= index < len(graph.nodes) else ("", "")
    if hasattr(error, "node_name"):
        name, operator = error.node_name() or name, error.node_operator() or operator
    node = f"node {name or index} ({operator}): " if operator else ""
    return f"{node}{error.desc().strip()}"


def _make_settings(trt: Any, builder: Any, network: Any, request: EngineRequest) -> Any:
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


def _set_timing_cache(settings: Any, timings: bytes) -> Any:
    """Set the timing cache of the builder and return it. Timings of another machine are dropped."""
    cache = settings.create_timing_cache(timings)
    if cache is None or not settings.set_timing_cache(cache, ignore_mismatch=False):
        cache = settings.create_timing_cache(b"")
        settings.set_timing_cache(cache, ignore_mismatch=False)
    return cache
