"""Memory, streams and graphs of one GPU: the dozen calls of CUDA's runtime that running a network takes.

Everything lives in the GPU's primary context, which TensorRT, PyTorch and ONNX Runtime share. What is made here is
given back exactly once: by its ``close``, by that of the ``Cuda`` that made it, or when nobody holds it any longer.

Threads: the current GPU is each thread's own, so a thread calls ``Cuda.make_current`` once before it works with a
stream. An object is used by one thread at a time; different objects may be used side by side.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType

from pose_ros.runtime.cuda.driver import Gpu
from pose_ros.runtime.cuda.objects import CudaStream, DeviceBuffer, HostBuffer, Owned

OUT_OF_MEMORY = 2


class CudaError(RuntimeError):
    """A call of CUDA has failed.

    Attributes:
        code: CUDA's number of the error.
    """

    def __init__(self, call: str, code: int, name: str) -> None:
        fix = "; close other programs on the GPU, or take a smaller input or batch" if code == OUT_OF_MEMORY else ""
        super().__init__(f"cuda {call}: expected success, got {name} ({code}){fix}")
        self.code = code


class Cuda(ABC):
    """One GPU, through one library. Make it with ``open_cuda``; use it as a context manager, or call ``close``.

    Raises:
        CudaError: If the library cannot work with this GPU or its driver.

    Attributes:
        gpu: Which one.
        description: CUDA's version and the library, for people.
        made: What was made here and somebody still holds, open or closed.
    """

    def __init__(self, gpu: Gpu, library: str) -> None:
        self.gpu = gpu
        self.made: weakref.WeakSet[Owned] = weakref.WeakSet()
        self._open = True
        version = self.call("cudaRuntimeGetVersion")
        self.description = f"CUDA {version // 1000}.{version % 1000 // 10} through {library}"
        self.make_current()
        self.call("cudaFree", 0)  # before CUDA 12, choosing a GPU does not yet make its context

    def make_current(self) -> None:
        """Make this GPU the calling thread's own, for all libraries of CUDA."""
        self.call("cudaSetDevice", self.gpu.index)

    def make_stream(self) -> CudaStream:
        """A queue of work that waits for no other."""
        return CudaStream(self._opened())

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Memory on the GPU, uninitialised."""
        return DeviceBuffer(self._opened(), nbytes)

    def allocate_host(self, nbytes: int) -> HostBuffer:
        """Page-locked memory of the host, uninitialised: copies to and from it run beside the CPU."""
        return HostBuffer(self._opened(), nbytes)

    def memory_bytes(self) -> tuple[int, int] | None:
        """Used and total memory of the GPU, by all programs; None if this is closed, or CUDA does not answer.

        Any thread may ask; the GPU becomes its current one.
        """
        try:
            self._opened()
            free, total = self._results("cudaMemGetInfo", ())
        except (CudaError, ValueError):
            return None
        return total - free, total

    def close(self) -> None:
        """Give back whatever was made here; once more does nothing. The primary context stays: it is not ours alone."""
        self._open = False
        for owned in sorted(
            self.made, key=lambda owned: not isinstance(owned, CudaStream)
        ):  # no copy is left under way
            owned.close()

    def call(self, name: str, *arguments: int) -> int:
        """Call a function of CUDA's runtime.

        Args:
            name: For example ``"cudaMalloc"``.
            arguments: Sizes, flags, and pointers and handles as integers, without those for results.

        Returns:
            The value, pointer or handle that it makes; 0 where it makes none.

        Raises:
            CudaError: If it fails.
        """
        return next(iter(self._results(name, arguments)), 0)

    def release(self, handle: int, *names: str) -> int:
        """Call functions that give something back, unless it is nothing, 0. What they fail with is not raised.

        Such an error tells of work that failed before, which ``synchronize`` raises, and the rest must still be given
        back.

        Returns:
            What the last of them makes; 0 where it makes nothing.
        """
        made: list[int] = []
        for name in names if handle else ():
            code, *made = self._call(name, (handle,))
            if code:
                self._call("cudaGetLastError", ())
        return next(iter(made), 0)

    def _results(self, name: str, arguments: tuple[int, ...]) -> list[int]:
        code, *made = self._call(name, arguments)
        if code:
            self._call("cudaGetLastError", ())  # or the next to ask, perhaps PyTorch, takes the error for its own
            raise CudaError(f"{name}{arguments}".replace(",)", ")"), code, self._error_name(code))
        return made

    @abstractmethod
    def _call(self, name: str, arguments: tuple[int, ...]) -> Sequence[int]:
        """Error code and whatever it makes."""

    @abstractmethod
    def _error_name(self, code: int) -> str:
        """The error's name in CUDA, such as cudaErrorMemoryAllocation."""

    def _opened(self) -> Cuda:
        if not self._open:
            raise ValueError("cuda: expected an open one, got one that has been closed; open the GPU again")
        self.make_current()
        return self

    def __enter__(self) -> Cuda:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
