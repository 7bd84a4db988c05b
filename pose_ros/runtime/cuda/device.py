"""Allocate memory, streams and graphs on one GPU, with the few CUDA runtime calls that a network needs.

All objects live in the GPU's primary context, which TensorRT, PyTorch and ONNX Runtime share. Each object is released
exactly once: by its ``close``, by the ``close`` of the ``Cuda`` that made it, or when it is no longer referenced.

Threads: each thread has its own current GPU. So a thread calls ``Cuda.make_current`` once before it uses a stream. One
object must be used by one thread at a time. Different objects may be used in parallel.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType

from pose_ros.runtime.cuda.driver import Gpu
from pose_ros.runtime.cuda.objects import CudaObject, CudaStream, DeviceBuffer, HostBuffer

OUT_OF_MEMORY = 2


class CudaError(RuntimeError):
    """Error of a failed CUDA call.

    Attributes:
        code: CUDA error code.
    """

    def __init__(self, call: str, code: int, name: str) -> None:
        fix = "; close other programs on the GPU, or use a smaller input or batch" if code == OUT_OF_MEMORY else ""
        super().__init__(f"cuda {call}: expected success, got {name} ({code}){fix}")
        self.code = code


class Cuda(ABC):
    """GPU that is accessed through one library. Make it with ``open_cuda``.

    Use it as a context manager, or call ``close``.

    Raises:
        CudaError: If the library cannot work with this GPU or its driver.

    Attributes:
        gpu: The GPU.
        description: CUDA version and library, for people.
        objects: Objects made by this instance that are still referenced, open or closed.
    """

    def __init__(self, gpu: Gpu, library: str) -> None:
        self.gpu = gpu
        self.objects: weakref.WeakSet[CudaObject] = weakref.WeakSet()
        self._open = True
        version = self.call("cudaRuntimeGetVersion")
        self.description = f"CUDA {version // 1000}.{version % 1000 // 10} through {library}"
        self.make_current()
        self.call("cudaFree", 0)  # before CUDA 12, cudaSetDevice does not create the context

    def make_current(self) -> None:
        """Make this the current GPU of the calling thread, for all CUDA libraries."""
        self.call("cudaSetDevice", self.gpu.index)

    def make_stream(self) -> CudaStream:
        """Create a stream. It does not wait for other streams."""
        return CudaStream(self._require_open())

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Allocate uninitialised memory on the GPU."""
        return DeviceBuffer(self._require_open(), nbytes)

    def allocate_host(self, nbytes: int) -> HostBuffer:
        """Allocate uninitialised page-locked memory on the host. Copies to and from it run in parallel with the CPU."""
        return HostBuffer(self._require_open(), nbytes)

    def memory_bytes(self) -> tuple[int, int] | None:
        """Return used and total memory of the GPU, counting all programs. None if closed, or if the CUDA call fails.

        Any thread may call this. The GPU becomes the current one of that thread.
        """
        try:
            self._require_open()
            free, total = self._call_checked("cudaMemGetInfo", ())
        except (CudaError, ValueError):
            return None
        return total - free, total

    def close(self) -> None:
        """Release all objects. A second call does nothing. The primary context stays, because others share it."""
        self._open = False
        # Streams first: they wait for copies in progress.
        for made in sorted(self.objects, key=lambda made: not isinstance(made, CudaStream)):
            made.close()

    def call(self, name: str, *arguments: int) -> int:
        """Call a function of the CUDA runtime.

        Args:
            name: Name of the function, for example ``"cudaMalloc"``.
            arguments: Sizes, flags, pointers and handles as integers, without the pointers for results.

        Returns:
            The value, pointer or handle that the function returns. 0 if it returns none.

        Raises:
            CudaError: If the call fails.
        """
        return next(iter(self._call_checked(name, arguments)), 0)

    def release(self, handle: int, *names: str) -> int:
        """Call functions that release a handle. Does nothing for handle 0. Errors are not raised.

        Such an error comes from earlier work that failed, which ``synchronize`` raises. The remaining objects must
        still be released.

        Args:
            handle: The handle or pointer. 0 = none.
            names: Names of the functions, in order.

        Returns:
            The value that the last function returns. 0 if it returns none.
        """
        made: list[int] = []
        for name in names if handle else ():
            code, *made = self._call(name, (handle,))
            if code:
                self._call("cudaGetLastError", ())
        return next(iter(made), 0)

    def _call_checked(self, name: str, arguments: tuple[int, ...]) -> list[int]:
        code, *made = self._call(name, arguments)
        if code:
            self._call("cudaGetLastError", ())  # clears the error, or PyTorch may report it as its own
            raise CudaError(f"{name}{arguments}".replace(",)", ")"), code, self._error_name(code))
        return made

    @abstractmethod
    def _call(self, name: str, arguments: tuple[int, ...]) -> Sequence[int]:
        """Call a function. Return its error code, then its results."""

    @abstractmethod
    def _error_name(self, code: int) -> str:
        """Return CUDA's name of an error, such as cudaErrorMemoryAllocation."""

    def _require_open(self) -> Cuda:
        if not self._open:
            raise ValueError("cuda: expected an open GPU, got a closed one; open the GPU again")
        self.make_current()
        return self

    def __enter__(self) -> Cuda:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
