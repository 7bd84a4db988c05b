"""Run a loaded engine. Everything in this module runs on one thread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.runtime.cuda.device import OUT_OF_MEMORY, Cuda, CudaError
from pose_ros.runtime.cuda.objects import DeviceBuffer
from pose_ros.runtime.runner import Arrays, Notify, TensorSpec
from pose_ros.runtime.shape_ranges import Shape, ShapeRange
from pose_ros.runtime.tensorrt.lane import Lane, TensorBuffer
from pose_ros.runtime.tensorrt.log import is_out_of_memory, last_errors

LANES = 4
"""Most input sizes with a ready context. With more, the least recently used is replaced."""
WARM_UPS = 2
"""Runs of a size before it is recorded. Sizes that occur once or twice are not recorded."""
DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT64": np.int64,
    "INT32": np.int32,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}
"""NumPy type of each TensorRT type that NumPy supports."""


class PlanRefused(ValueError):
    """Error for a plan that TensorRT does not load."""


class EngineSession:
    """Engine on the GPU. All its methods, including ``close``, must be called on the thread that creates it.

    Args:
        trt: The module tensorrt.
        cuda: The GPU, current for this thread. The session owns it from now on.
        plan: The serialised engine.
        log: Logger from ``log_of``.
        notify: Called with one line of text about problems.
        cuda_graph: Whether to record a CUDA graph for each input size after its first runs.

    Raises:
        PlanRefused: If TensorRT does not load the plan.
        CudaError: If the GPU is out of memory.

    Attributes:
        inputs: Inputs of the engine.
        outputs: Outputs of the engine.
        ranges: Range of each input with free sizes.
    """

    def __init__(self, trt: Any, cuda: Cuda, plan: bytes, log: Any, notify: Notify, cuda_graph: bool) -> None:
        self._trt, self._cuda, self._log, self._notify, self._use_graphs = trt, cuda, log, notify, cuda_graph
        self._lanes: dict[tuple[Shape, ...], Lane] = {}
        self._buffers: dict[str, TensorBuffer] = {}
        log.errors.clear()
        self._runtime = trt.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            _check_memory("deserialize_cuda_engine", log)
            raise PlanRefused(
                f"engine: expected a plan that TensorRT {trt.__version__} can load here, got: {last_errors(log)}"
            )
        self.inputs, self.outputs = _tensor_specs(trt, self._engine)
        self.ranges = {spec.name: _shape_range(self._engine, spec.name) for spec in self.inputs if None in spec.shape}
        self._dtypes = {spec.name: spec.dtype for spec in (*self.inputs, *self.outputs)}
        self._stream = cuda.make_stream()
        self._scratch = cuda.allocate(max(_scratch_bytes(self._engine), 1))

    def run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        """Run the network. Only the named outputs are copied from the GPU.

        Raises:
            RuntimeError: If TensorRT or CUDA fails.
        """
        lane = self._prepare_lane({name: array.shape for name, array in feeds.items()})
        for name, array in feeds.items():
            np.copyto(lane.arrays[name], array)
            self._stream.upload(self._buffers[name].device, lane.arrays[name])
        lane.enqueue(self._stream)
        for name in names:
            self._stream.download(lane.arrays[name], self._buffers[name].device)
        self._stream.synchronize()
        return {name: lane.arrays[name].copy() for name in names}

    def close(self) -> None:
        """Release everything, also the GPU, in the order that TensorRT and CUDA require. A second call does nothing."""
        with suppress(CudaError, ValueError):  # earlier failures have already been raised
            self._stream.synchronize()
        while self._lanes:
            self._lanes.popitem()[1].unbind()
        self._engine = None
        self._runtime = None
        while self._buffers:
            self._buffers.popitem()[1].close()
        self._cuda.close()

    def _prepare_lane(self, inputs: Mapping[str, Shape]) -> Lane:
        """Return the lane of an input size. Bind it to memory, and record it after its first runs."""
        key = tuple(inputs[spec.name] for spec in self.inputs)
        lane = self._lanes.pop(key, None) or Lane(self._free_context(), inputs, [spec.name for spec in self.outputs])
        self._lanes[key] = lane  # the last entry is the most recently used
        if not lane.arrays:
            self._grow_buffers(lane)
            lane.bind(self._buffers, self._dtypes)
        if self._use_graphs and lane.runs == WARM_UPS:
            self._record(lane)
        return lane

    def _free_context(self) -> Any:
        """Return a context without a size: a new one, or that of the least recently used lane."""
        if len(self._lanes) < LANES:
            return _make_context(self._trt, self._engine, self._scratch, self._log)
        lane = self._lanes.pop(next(iter(self._lanes)))
        lane.unbind()
        return lane.context

    def _grow_buffers(self, lane: Lane) -> None:
        """Replace the buffers that are too small for a lane."""
        for name, shape in lane.shapes.items():
            nbytes = max(math.prod(shape) * self._dtypes[name].itemsize, 1)
            if name in self._buffers and self._buffers[name].nbytes >= nbytes:
                continue
            for other in self._lanes.values():
                other.unbind()  # its addresses would become invalid
            if name in self._buffers:
                self._buffers.pop(name).close()
            self._buffers[name] = TensorBuffer(self._cuda, nbytes)

    def _record(self, lane: Lane) -> None:
        try:
            lane.record(self._stream)
        except RuntimeError as error:
            self._use_graphs = False
            self._notify(f"TensorRT: continuing without CUDA graphs, this network cannot be recorded: {error}")


def _tensor_specs(trt: Any, engine: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return inputs and outputs of an engine.

    Raises:
        ValueError: If a tensor has a type that NumPy does not support.
    """
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    specs: dict[bool, list[TensorSpec]] = {True: [], False: []}
    for name in names:
        specs[engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT].append(_tensor_spec(engine, name))
    return tuple(specs[True]), tuple(specs[False])


def _tensor_spec(engine: Any, name: str) -> TensorSpec:
    dtype = engine.get_tensor_dtype(name).name
    if dtype not in DTYPES:
        raise ValueError(f"tensor {name!r}: expected one of {', '.join(DTYPES)}, got {dtype}; export it as float32")
    shape = tuple(size if size >= 0 else None for size in engine.get_tensor_shape(name))
    return TensorSpec(name, shape, np.dtype(DTYPES[dtype]))


def _shape_range(engine: Any, name: str) -> ShapeRange:
    return ShapeRange(*(tuple(shape) for shape in engine.get_tensor_profile_shape(name, 0)))


def _scratch_bytes(engine: Any) -> int:
    newer = hasattr(engine, "device_memory_size_v2")  # since 10.1; the older name was removed in 11
    return int(engine.device_memory_size_v2 if newer else engine.device_memory_size)


def _make_context(trt: Any, engine: Any, scratch: DeviceBuffer, log: Any) -> Any:
    """Create a context that uses shared scratch memory. Only one such context may run at a time.

    Each recording needs its own context. By default every context would allocate its own large scratch memory.

    Raises:
        CudaError: If the GPU is out of memory.
        RuntimeError: If TensorRT fails for another reason.
    """
    log.errors.clear()
    strategies = getattr(trt, "ExecutionContextAllocationStrategy", None)  # since 10
    if strategies is None:
        context = engine.create_execution_context_without_device_memory()
    else:
        context = engine.create_execution_context(strategies.USER_MANAGED)
    if context is None:
        _check_memory("create_execution_context", log)
        raise RuntimeError(f"tensorrt: expected a context for the engine, got: {last_errors(log)}")
    if hasattr(context, "set_device_memory"):
        context.set_device_memory(scratch.pointer, scratch.nbytes)
    else:
        context.device_memory = scratch.pointer
    return context


def _check_memory(call: str, log: Any) -> None:
    """Raise CudaError if TensorRT is out of memory. Then the plan may still be valid."""
    if is_out_of_memory(log):
        raise CudaError(call, OUT_OF_MEMORY, last_errors(log))
