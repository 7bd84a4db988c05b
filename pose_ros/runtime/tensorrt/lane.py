"""One input size of an engine: what TensorRT has prepared for it, and a recording that replays it as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.objects import CudaGraph, CudaStream
from pose_ros.runtime.shape_ranges import Shape


class Place:
    """Where one tensor lies: on the GPU, and page-locked on the host.

    Attributes:
        device: The memory on the GPU.
        nbytes: The size of either.
    """

    def __init__(self, cuda: Cuda, nbytes: int) -> None:
        self.nbytes = nbytes
        self.device, self._host = cuda.allocate(nbytes), cuda.allocate_host(nbytes)

    def array(self, shape: Shape, dtype: np.dtype[Any]) -> AnyArray:
        """The beginning of the memory on the host."""
        nbytes = math.prod(shape) * dtype.itemsize
        return self._host.array[:nbytes].view(dtype).reshape(shape)

    def close(self) -> None:
        """Give both back; once more does nothing."""
        self.device.close()
        self._host.close()


class Lane:
    """A context of TensorRT at one size of input.

    Args:
        context: TensorRT's; it may have served another size before.
        inputs: Shape of each input.
        outputs: Names of the outputs.

    Raises:
        ValueError: If TensorRT cannot tell the outputs' shapes from the inputs'.

    Attributes:
        context: What it was given.
        shapes: Of all inputs and outputs, by name.
        arrays: The memory of each on the host; none before ``bind`` and after ``forget``.
        runs: How often it has run since it was bound.
    """

    def __init__(self, context: Any, inputs: Mapping[str, Shape], outputs: Iterable[str]) -> None:
        self.context = context
        refused = [name for name, shape in inputs.items() if not context.set_input_shape(name, shape)]
        refused = refused or context.infer_shapes()
        self.shapes = {**inputs, **{name: tuple(context.get_tensor_shape(name)) for name in outputs}}
        if refused or any(size < 0 for shape in self.shapes.values() for size in shape):
            raise ValueError(
                f"inputs: expected shapes that tell the outputs', got {dict(inputs)}, refused for {refused}"
            )
        self.arrays: dict[str, AnyArray] = {}
        self.runs = 0
        self._graph: CudaGraph | None = None

    def bind(self, places: Mapping[str, Place], dtypes: Mapping[str, np.dtype[Any]]) -> None:
        """Tell TensorRT where the tensors lie."""
        for name in self.shapes:
            self.context.set_tensor_address(name, places[name].device.pointer)
        self.arrays = {name: places[name].array(shape, dtypes[name]) for name, shape in self.shapes.items()}

    def record(self, stream: CudaStream) -> None:
        """Record what ``enqueue`` does, which then replays it.

        Raises:
            RuntimeError: If it cannot be recorded.
        """
        self._graph = stream.capture(lambda: self._execute(stream))

    def enqueue(self, stream: CudaStream) -> None:
        """Put the network on a stream.

        Raises:
            RuntimeError: If TensorRT or CUDA refuses.
        """
        self.runs += 1
        if self._graph is None:
            self._execute(stream)
        else:
            self._graph.launch(stream)

    def forget(self) -> None:
        """Let go of recording and memory; it may be bound again."""
        if self._graph is not None:
            self._graph.close()
        self._graph, self.arrays, self.runs = None, {}, 0

    def _execute(self, stream: CudaStream) -> None:
        if not self.context.execute_async_v3(stream.handle):
            raise RuntimeError("tensorrt: expected the network to run, got a refusal")
