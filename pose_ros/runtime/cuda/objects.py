"""What CUDA makes: memory on both sides, streams and recorded graphs. Each gives itself back exactly once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Protocol

import numpy as np

from pose_ros.arrays import AnyArray, ByteArray

CAPTURE_THREAD_LOCAL = 1
"""cudaStreamCaptureModeThreadLocal: what other threads do meanwhile does not spoil a recording."""
COPY_DEFAULT = 4
"""cudaMemcpyDefault: the pointers tell the direction."""
STREAM_NON_BLOCKING = 1
"""cudaStreamNonBlocking: waits for no other stream."""


class CudaCalls(Protocol):
    """The calls of one GPU that its objects need; ``device.Cuda`` implements them.

    Attributes:
        made: Objects that are still referenced.
    """

    made: weakref.WeakSet[Owned]

    def call(self, name: str, *arguments: int) -> int:
        """Call a function of CUDA's runtime and return the value it makes."""

    def release(self, handle: int, *names: str) -> int:
        """Call functions that free a handle, without raising."""


class Owned:
    """Something that CUDA has made, and takes back once."""

    def __init__(self, cuda: CudaCalls, owner: object, handle: int, *releases: str) -> None:
        self._cuda = cuda
        self._release = weakref.finalize(owner, cuda.release, handle, *releases)
        self._release.atexit = False  # a thread may still be at work, and the driver clears up after a process
        cuda.made.add(self)

    def close(self) -> None:
        """Give it back; once more does nothing."""
        self._release()

    def check_open(self) -> None:
        """Raise ValueError if it has been closed."""
        if not self._release.alive:
            raise ValueError(f"{type(self).__name__}: expected an open one, got one that has been closed")


class DeviceBuffer(Owned):
    """Memory on the GPU.

    Whoever hands its pointer to a library keeps the buffer, too: the memory goes back when the buffer is forgotten.

    Attributes:
        pointer: Its address there; aligned to 256 bytes.
        nbytes: Its size.
    """

    def __init__(self, cuda: CudaCalls, nbytes: int) -> None:
        self.nbytes = _checked_size(nbytes)
        self.pointer = cuda.call("cudaMalloc", nbytes)
        super().__init__(cuda, self, self.pointer, "cudaFree")


class _Pages:
    """Page-locked memory as NumPy sees it; arrays made of it keep it."""

    def __init__(self, pointer: int, nbytes: int) -> None:
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (nbytes,), "data": (pointer, False)}


class HostBuffer(Owned):
    """Page-locked memory of the host.

    Once closed, it goes back as soon as no array is left that shares it, so that no array ever lies in lost memory.

    Attributes:
        nbytes: Its size.
    """

    def __init__(self, cuda: CudaCalls, nbytes: int) -> None:
        self.nbytes = _checked_size(nbytes)
        pointer = cuda.call("cudaHostAlloc", nbytes, 0)
        pages = _Pages(pointer, nbytes)
        super().__init__(cuda, pages, pointer, "cudaFreeHost")
        self._array: ByteArray | None = np.asarray(pages)

    @property
    def array(self) -> ByteArray:
        """The memory as ``nbytes`` uint8; take views of it as other types and shapes."""
        if self._array is None:
            raise ValueError("HostBuffer: expected an open one, got one that has been closed")
        return self._array

    def close(self) -> None:
        """Let go of it; once more does nothing."""
        self._array = None


class CudaStream(Owned):
    """A queue of work on the GPU, which ``close`` waits for. Copies from and to page-locked memory return at once.

    Attributes:
        handle: The cudaStream_t.
    """

    def __init__(self, cuda: CudaCalls) -> None:
        self.handle = cuda.call("cudaStreamCreateWithFlags", STREAM_NON_BLOCKING)
        super().__init__(cuda, self, self.handle, "cudaStreamSynchronize", "cudaStreamDestroy")

    def upload(self, device: DeviceBuffer, host: AnyArray) -> None:
        """Copy an array to the beginning of a buffer; leave the array alone until ``synchronize``.

        Raises:
            ValueError: If the array is not C-contiguous, or larger than the buffer, or something is closed.
            CudaError: If CUDA refuses.
        """
        self._check_copy(device, host, host.nbytes)
        self._cuda.call("cudaMemcpyAsync", device.pointer, host.ctypes.data, host.nbytes, COPY_DEFAULT, self.handle)

    def download(self, host: AnyArray, device: DeviceBuffer, nbytes: int | None = None) -> None:
        """Copy the first bytes of a buffer into an array; they are there after ``synchronize``.

        Args:
            host: A C-contiguous array that may be written.
            device: Where from.
            nbytes: How many; None fills the array.

        Raises:
            ValueError: If the array or the buffer is smaller, or cannot be written, or something is closed.
            CudaError: If CUDA refuses.
        """
        nbytes = host.nbytes if nbytes is None else nbytes
        self._check_copy(device, host, nbytes)
        if not host.flags.writeable:
            raise ValueError("download: expected an array that may be written, got one that may not")
        self._cuda.call("cudaMemcpyAsync", host.ctypes.data, device.pointer, nbytes, COPY_DEFAULT, self.handle)

    def synchronize(self) -> None:
        """Wait until all work of this stream is done; other Python threads run meanwhile.

        Raises:
            CudaError: If any of it has failed.
        """
        self.check_open()
        self._cuda.call("cudaStreamSynchronize", self.handle)

    def capture(self, work: Callable[[], object]) -> CudaGraph:
        """Record, instead of running it, what a function puts on this stream.

        The recording holds the addresses that were used: the buffers behind them must outlive it. Run the work once
        as usual before, since what allocates memory or waits cannot be recorded.

        Raises:
            CudaError: If something in it cannot be recorded. The stream is usable again.
            Exception: Whatever ``work`` raises, likewise.
        """
        self.check_open()
        self._cuda.call("cudaStreamBeginCapture", self.handle, CAPTURE_THREAD_LOCAL)
        try:
            work()
        except BaseException:
            self._cuda.release(self._cuda.release(self.handle, "cudaStreamEndCapture"), "cudaGraphDestroy")
            raise
        return CudaGraph(self._cuda, self._cuda.call("cudaStreamEndCapture", self.handle))

    def _check_copy(self, device: DeviceBuffer, host: AnyArray, nbytes: int) -> None:
        self.check_open()
        device.check_open()
        if not host.flags.c_contiguous:
            raise ValueError("copy: expected a C-contiguous array, got another; take np.ascontiguousarray of it")
        if not 0 <= nbytes <= min(host.nbytes, device.nbytes):
            raise ValueError(
                f"copy: expected at most {host.nbytes} bytes for the array and {device.nbytes} for the buffer, "
                f"got {nbytes}"
            )


class CudaGraph(Owned):
    """Recorded work, which is launched as a whole."""

    def __init__(self, cuda: CudaCalls, recording: int) -> None:
        try:
            self._handle = cuda.call("cudaGraphInstantiateWithFlags", recording, 0)
        finally:
            cuda.release(recording, "cudaGraphDestroy")
        super().__init__(cuda, self, self._handle, "cudaGraphExecDestroy")

    def launch(self, stream: CudaStream) -> None:
        """Put the recorded work on a stream; returns at once.

        Raises:
            ValueError: If the graph or the stream is closed.
            CudaError: If CUDA refuses.
        """
        self.check_open()
        stream.check_open()
        self._cuda.call("cudaGraphLaunch", self._handle, stream.handle)


def _checked_size(nbytes: int) -> int:
    if nbytes < 1:
        raise ValueError(f"buffer: expected at least 1 byte, got {nbytes}")
    return nbytes
