"""Run an engine at one input size: a TensorRT execution context and its CUDA graph."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.objects import CudaGraph, CudaStream
from pose_ros.runtime.shape_ranges import Shape


class TensorBuffer:
    """Memory of one tensor: on the GPU, and page-locked on the host.

    Attributes:
        device: Memory on the GPU.
        nbytes: Size of each of the two, bytes.
    """

    def __init__(self, cuda: Cuda, nbytes: int) -> None:
        self.nbytes = nbytes
        self.device, self._host = cuda.allocate(nbytes), cuda.allocate_host(nbytes)

    def array(self, shape: Shape, dtype: np.dtype[Any]) -> AnyArray:
        """Return the start of the host memory as an array."""
        nbytes = math.prod(shape) * dtype.itemsize
        return self._host.array[:nbytes].view(dtype).reshape(shape)

    def close(self) -> None:
        """Release both. A second call does nothing."""
        self.device.close()
        self._host.close()


class Lane:
    """TensorRT execution context for one input size.

    Args:
        context: Execution context of TensorRT. It may have been used for another size before.
        inputs: Shape of each input.
        outputs: Names of the outputs.

    Raises:
        ValueError: If TensorRT cannot compute the output shapes from the input shapes.

    Attributes:
        context: The execution context.
        shapes: Shapes of all inputs and outputs, by name.
        arrays: Host memory of each input and output. Empty before ``bind`` and after ``unbind``.
        runs: Number of runs since ``bind``.
    """

    def __init__(self, context: Any, inputs: Mapping[str, Shape], outputs: Iterable[str]) -> None:
        self.context = context
        refused = [name for name, shape in inputs.items() if not context.set_input_shape(name, shape)]
        refused = refused or context.infer_shapes()
        self.shapes = {**inputs, **{name: tuple(context.get_tensor_shape(name)) for name in outputs}}
        if refused or any(size < 0 for shape in self.shapes.values() for size in shape):
            raise ValueError(
                f"inputs: expected shapes that determine the output shapes, got {dict(inputs)}, refused for {refused}"
            )
        self.arrays: dict[str, AnyArray] = {}
        self.runs = 0
        self._graph: CudaGraph | None = None

    def bind(self, buffers: Mapping[str, TensorBuffer], dtypes: Mapping[str, np.dtype[Any]]) -> None:
        """Set the memory addresses of all tensors."""
        for name in self.shapes:
            self.context.set_tensor_address(name, buffers[name].device.pointer)
        self.arrays = {name: buffers[name].array(shape, dtypes[name]) for name, shape in self.shapes.items()}

    def record(self, stream: CudaStream) -> None:
        """Record the network as a CUDA graph, which ``enqueue`` then replays.

        Raises:
            RuntimeError: If the network cannot be recorded.
        """
        self._graph = stream.capture(lambda: self._execute(stream))

    def enqueue(self, stream: CudaStream) -> None:
        """Put the network on a stream.

        Raises:
            RuntimeError: If TensorRT or CUDA fails.
        """
        self.runs += 1
        if self._graph is None:
            self._execute(stream)
        else:
            self._graph.launch(stream)

    def unbind(self) -> None:
        """Drop recording and memory. The lane may be bound again."""
        if self._graph is not None:
            self._graph.close()
        self._graph, self.arrays, self.runs = None, {}, 0

    def _execute(self, stream: CudaStream) -> None:
        if not self.context.execute_async_v3(stream.handle):
            raise RuntimeError("tensorrt: expected the network to run, got a failure")
