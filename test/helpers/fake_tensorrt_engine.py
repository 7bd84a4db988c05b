"""Run engines of the fake TensorRT: an engine computes noise from the bytes of its input."""

from __future__ import annotations

import json
import zlib
from typing import Any

import fake_cuda
import numpy as np
from fake_tensorrt_objects import ILogger, Object

STRIDE = 8
SCRATCH_BYTES = 4096


def compute_output(name: str, shape: tuple[int, ...], image: np.ndarray) -> np.ndarray:
    """Compute an output of the engine."""
    return np.random.default_rng(zlib.crc32(name.encode() + image.tobytes())).random(shape, np.float32)


NUMPY_TYPES = {"HALF": np.float16}


class Runtime(Object):
    __slots__ = ("_logger",)

    def __init__(self, logger: ILogger) -> None:
        super().__init__()
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        plan = json.loads(serialized_engine)
        self.trt.faults.refusals -= 1
        if plan["version"] != self.trt.__version__ or self.trt.faults.refusals >= 0:
            self._logger.log(ILogger.Severity.ERROR, self.trt.faults.refusal)
            return None
        return self.trt.ICudaEngine(plan, self._logger)


class ICudaEngine(Object):
    __slots__ = ("_logger", "_plan", "_tensors")

    def __init__(self, plan: dict[str, Any], logger: ILogger) -> None:
        super().__init__()
        self._plan, self._tensors, self._logger = plan, {**plan["outputs"], **plan["inputs"]}, logger

    num_io_tensors = property(lambda self: len(self._tensors))
    device_memory_size = device_memory_size_v2 = property(lambda self: SCRATCH_BYTES)

    def create_execution_context_without_device_memory(self) -> IExecutionContext | None:
        if self.trt.faults.no_context:
            self._logger.log(ILogger.Severity.ERROR, self.trt.faults.refusal)
            return None
        return self.trt.IExecutionContext(self)

    def create_execution_context(self, strategy: Any) -> IExecutionContext | None:
        if strategy is not self.trt.ExecutionContextAllocationStrategy.USER_MANAGED:
            raise ValueError(f"{strategy}: each context would allocate its own memory")
        return ICudaEngine.create_execution_context_without_device_memory(self)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        return self.trt.TensorIOMode.INPUT if name in self._plan["inputs"] else self.trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return self.trt.DataType[self._tensors[name]["dtype"]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._tensors[name]["shape"])

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        return [tuple(shape) for shape in self._plan["profile"].get(name, [self.get_tensor_shape(name)] * 3)]


class IExecutionContext(Object):
    __slots__ = ("_addresses", "_engine", "_shapes", "device_memory")

    def __init__(self, engine: ICudaEngine) -> None:
        super().__init__()
        self._engine, self._shapes, self._addresses = engine, {}, {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self._engine.get_tensor_profile_shape(name, 0)
        self._shapes[name] = tuple(shape)
        return all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))

    def infer_shapes(self) -> list[str]:
        return self.trt.faults.unspecified

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self._shapes:
            return self._shapes[name]
        ((batch, height, width, _),) = self._shapes.values()
        free = {0: batch, 2: height // STRIDE, 3: width // STRIDE}
        return tuple(free[i] if size < 0 else size for i, size in enumerate(self._engine.get_tensor_shape(name)))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        if size < SCRATCH_BYTES:
            raise ValueError(f"{size} of {SCRATCH_BYTES} bytes")
        self.device_memory = memory

    def execute_async_v3(self, stream_handle: int) -> bool:
        machine, faults = self.trt.machine, self.trt.faults
        if faults.enqueue_fails or (faults.refuses_recording and stream_handle in machine.recording):
            return False
        types = {name: NUMPY_TYPES.get(tensor["dtype"], np.float32) for name, tensor in self._engine._tensors.items()}
        tensors = {name: (self._addresses[name], self.get_tensor_shape(name), types[name]) for name in types}
        scratch, image = self.device_memory, next(iter(self._engine._plan["inputs"]))
        machine.enqueue(stream_handle, lambda: _compute(machine, scratch, dict(tensors), image))
        return True


def _compute(machine: fake_cuda.Machine, scratch: int, tensors: dict[str, Any], input_name: str) -> None:
    """Run the kernel of an engine on the GPU. It fails if its memory was freed."""
    machine.array(scratch, SCRATCH_BYTES)[:] = 0
    pointer, shape, _ = tensors.pop(input_name)
    image = machine.array(pointer, int(np.prod(shape))).copy()
    for name, (pointer, shape, dtype) in tensors.items():
        output = compute_output(name, shape, image).astype(dtype)
        machine.array(pointer, output.nbytes)[:] = output.view(np.uint8).ravel()
