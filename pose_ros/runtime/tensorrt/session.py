"""A loaded engine and all that running it takes. Everything here happens on one thread."""

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
from pose_ros.runtime.tensorrt.lane import Lane, Place
from pose_ros.runtime.tensorrt.log import said, tells_of_no_memory

LANES = 4
"""Input sizes that are kept ready; beyond, the one unused for longest makes room."""
WARM_UPS = 2
"""Runs of a size before it is recorded: sizes that pass by are not worth a recording."""
DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT64": np.int64,
    "INT32": np.int32,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}
"""TensorRT's types that NumPy has, too."""


class PlanRefused(ValueError):
    """TensorRT does not load a plan."""


class EngineSession:
    """An engine on the GPU. It belongs to the thread that makes it, down to ``close``.

    Args:
        trt: The module tensorrt.
        cuda: The GPU, current for this thread; it is taken over.
        plan: The engine, serialised.
        log: From ``log_of``.
        say: Told in one line what does not work as it should.
        cuda_graph: Record each input size after its first runs, and replay it as a whole.

    Raises:
        PlanRefused: If TensorRT does not load the plan.
        CudaError: If the GPU has no memory left.

    Attributes:
        inputs: What the engine takes.
        outputs: What it gives.
        ranges: Of the inputs whose shape is free.
    """

    def __init__(self, trt: Any, cuda: Cuda, plan: bytes, log: Any, say: Notify, cuda_graph: bool) -> None:
        self._trt, self._cuda, self._log, self._say, self._records = trt, cuda, log, say, cuda_graph
        self._lanes: dict[tuple[Shape, ...], Lane] = {}
        self._places: dict[str, Place] = {}
        log.errors.clear()
        self._runtime = trt.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            _check_memory("deserialize_cuda_engine", log)
            raise PlanRefused(f"engine: expected a plan that TensorRT {trt.__version__} loads here, got: {said(log)}")
        self.inputs, self.outputs = _specs(trt, self._engine)
        self.ranges = {spec.name: _range(self._engine, spec.name) for spec in self.inputs if None in spec.shape}
        self._dtypes = {spec.name: spec.dtype for spec in (*self.inputs, *self.outputs)}
        self._stream = cuda.make_stream()
        self._scratch = cuda.allocate(max(_scratch_bytes(self._engine), 1))

    def run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        """Run the network; only the named outputs come back from the GPU.

        Raises:
            RuntimeError: If TensorRT or CUDA fails.
        """
        lane = self._ready_lane({name: array.shape for name, array in feeds.items()})
        for name, array in feeds.items():
            np.copyto(lane.arrays[name], array)
            self._stream.upload(self._places[name].device, lane.arrays[name])
        lane.enqueue(self._stream)
        for name in names:
            self._stream.download(lane.arrays[name], self._places[name].device)
        self._stream.synchronize()
        return {name: lane.arrays[name].copy() for name in names}

    def close(self) -> None:
        """Give back everything, the GPU too, in the order that TensorRT and CUDA want it; once more does nothing."""
        with suppress(CudaError, ValueError):  # what has failed before has been told then
            self._stream.synchronize()
        while self._lanes:
            self._lanes.popitem()[1].forget()
        self._engine = None
        self._runtime = None
        while self._places:
            self._places.popitem()[1].close()
        self._cuda.close()

    def _ready_lane(self, inputs: Mapping[str, Shape]) -> Lane:
        """The lane of an input size, bound to memory, and recorded when it is time."""
        key = tuple(inputs[spec.name] for spec in self.inputs)
        lane = self._lanes.pop(key, None) or Lane(self._free_context(), inputs, [spec.name for spec in self.outputs])
        self._lanes[key] = lane  # the last used comes last
        if not lane.arrays:
            self._make_room(lane)
            lane.bind(self._places, self._dtypes)
        if self._records and lane.runs == WARM_UPS:
            self._record(lane)
        return lane

    def _free_context(self) -> Any:
        """A context without a size: a new one, or that of the lane unused for longest."""
        if len(self._lanes) < LANES:
            return _context(self._trt, self._engine, self._scratch, self._log)
        lane = self._lanes.pop(next(iter(self._lanes)))
        lane.forget()
        return lane.context

    def _make_room(self, lane: Lane) -> None:
        """Grow the memory of the tensors that need more than they have."""
        for name, shape in lane.shapes.items():
            nbytes = max(math.prod(shape) * self._dtypes[name].itemsize, 1)
            if name in self._places and self._places[name].nbytes >= nbytes:
                continue
            for other in self._lanes.values():
                other.forget()  # it holds the old addresses
            if name in self._places:
                self._places.pop(name).close()
            self._places[name] = Place(self._cuda, nbytes)

    def _record(self, lane: Lane) -> None:
        try:
            lane.record(self._stream)
        except RuntimeError as error:
            self._records = False
            self._say(f"TensorRT: going on without CUDA graphs, as this network cannot be recorded: {error}")


def _specs(trt: Any, engine: Any) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of an engine.

    Raises:
        ValueError: If one has a type that NumPy lacks.
    """
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    specs: dict[bool, list[TensorSpec]] = {True: [], False: []}
    for name in names:
        specs[engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT].append(_spec(engine, name))
    return tuple(specs[True]), tuple(specs[False])


def _spec(engine: Any, name: str) -> TensorSpec:
    dtype = engine.get_tensor_dtype(name).name
    if dtype not in DTYPES:
        raise ValueError(f"tensor {name!r}: expected one of {', '.join(DTYPES)}, got {dtype}; export it as float32")
    shape = tuple(size if size >= 0 else None for size in engine.get_tensor_shape(name))
    return TensorSpec(name, shape, np.dtype(DTYPES[dtype]))


def _range(engine: Any, name: str) -> ShapeRange:
    return ShapeRange(*(tuple(shape) for shape in engine.get_tensor_profile_shape(name, 0)))


def _scratch_bytes(engine: Any) -> int:
    newer = hasattr(engine, "device_memory_size_v2")  # since 10.1; the older name went with 11
    return int(engine.device_memory_size_v2 if newer else engine.device_memory_size)


def _context(trt: Any, engine: Any, scratch: DeviceBuffer, log: Any) -> Any:
    """A context that works in memory which it shares with others: only one of them runs at a time.

    A recording needs a context of its own, and a context has much memory of its own if it is not told otherwise.

    Raises:
        CudaError: If the GPU has no memory left for what is its own.
        RuntimeError: If TensorRT refuses for another reason.
    """
    log.errors.clear()
    strategies = getattr(trt, "ExecutionContextAllocationStrategy", None)  # since 10
    if strategies is None:
        context = engine.create_execution_context_without_device_memory()
    else:
        context = engine.create_execution_context(strategies.USER_MANAGED)
    if context is None:
        _check_memory("create_execution_context", log)
        raise RuntimeError(f"tensorrt: expected a context for the engine, got: {said(log)}")
    if hasattr(context, "set_device_memory"):
        context.set_device_memory(scratch.pointer, scratch.nbytes)
    else:
        context.device_memory = scratch.pointer
    return context


def _check_memory(call: str, log: Any) -> None:
    """Raise CudaError if TensorRT has failed for want of memory: then it is not the plan's fault."""
    if tells_of_no_memory(log):
        raise CudaError(call, OUT_OF_MEMORY, said(log))
