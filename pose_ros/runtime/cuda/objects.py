"""Wrap CUDA objects: device and host memory, streams and recorded graphs. Each is released exactly once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Protocol

import numpy as np

from pose_ros.arrays import AnyArray, ByteArray

CAPTURE_THREAD_LOCAL = 1
"""cudaStreamCaptureModeThreadLocal: calls of other threads do not invalidate a recording."""
COPY_DEFAULT = 4
"""cudaMemcpyDefault: CUDA finds the direction from the pointers."""
STREAM_NON_BLOCKING = 1
"""cudaStreamNonBlocking: the stream does not wait for other streams."""


class CudaCalls(Protocol):
    """Calls of one GPU that its objects need. ``device.Cuda`` implements them.

    Attributes:
        objects: Objects that are still referenced.
    """

    objects: weakref.WeakSet[CudaObject]

    def call(self, name: str, *arguments: int) -> int:
        """Call a function of the CUDA runtime and return its result."""

    def release(self, handle: int, *names: str) -> int:
        """Call functions that free a handle, without raising."""


class CudaObject:
    """Object of CUDA that is released exactly once."""

    def __init__(self, cuda: CudaCalls, owner: object, handle: int, *releases: str) -> None:
        self._cuda = cuda
        self._release = weakref.finalize(owner, cuda.release, handle, *releases)
        self._release.atexit = False  # a thread may still use it at exit, and the driver cleans up after the process
        cuda.objects.add(self)

    def close(self) -> None:
        """Release it. A second call does nothing."""
        self._release()

    def check_open(self) -> None:
        """Raise ValueError if it is closed."""
        if not self._release.alive:
            raise ValueError(f"{type(self).__name__}: expected an open object, got a closed one")


class DeviceBuffer(CudaObject):
    """Memory on the GPU.

    Keep a reference to the buffer while a library uses its pointer: the memory is freed with the last reference.

    Attributes:
        pointer: Address on the GPU, aligned to 256 bytes.
        nbytes: Size in bytes.
    """

    def __init__(self, cuda: CudaCalls, nbytes: int) -> None:
        self.nbytes = _check_size(nbytes)
        self.pointer = cuda.call("cudaMalloc", nbytes)
        super().__init__(cuda, self, self.pointer, "cudaFree")


class _Pages:
    """Page-locked memory with NumPy's array interface. Arrays made from it keep it alive."""

    def __init__(self, pointer: int, nbytes: int) -> None:
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (nbytes,), "data": (pointer, False)}


class HostBuffer(CudaObject):
    """Page-locked memory of the host.

    After ``close``, the memory is freed once no array shares it. So an array never refers to freed memory.

    Attributes:
        nbytes: Size in bytes.
    """

    def __init__(self, cuda: CudaCalls, nbytes: int) -> None:
        self.nbytes = _check_size(nbytes)
        pointer = cuda.call("cudaHostAlloc", nbytes, 0)
        pages = _Pages(pointer, nbytes)
        super().__init__(cuda, pages, pointer, "cudaFreeHost")
        self._array: ByteArray | None = np.asarray(pages)

    @property
    def array(self) -> ByteArray:
        """The memory as ``nbytes`` uint8. Make views of it for other types and shapes."""
        if self._array is None:
            raise ValueError("HostBuffer: expected an open object, got a closed one")
        return self._array

    def close(self) -> None:
        """Release the memory. A second call does nothing."""
        self._array = None


class CudaStream(CudaObject):
    """Queue of work on the GPU. ``close`` waits for the work. Copies from and to page-locked memory return at once.

    Attributes:
        handle: The cudaStream_t.
    """

    def __init__(self, cuda: CudaCalls) -> None:
        self.handle = cuda.call("cudaStreamCreateWithFlags", STREAM_NON_BLOCKING)
        super().__init__(cuda, self, self.handle, "cudaStreamSynchronize", "cudaStreamDestroy")

    def upload(self, device: DeviceBuffer, host: AnyArray) -> None:
        """Copy an array to the start of a buffer. Do not change the array before ``synchronize``.

        Raises:
            ValueError: If the array is not C-contiguous or larger than the buffer, or if buffer or stream is closed.
            CudaError: If the CUDA call fails.
        """
        self._check_copy(device, host, host.nbytes)
        self._cuda.call("cudaMemcpyAsync", device.pointer, host.ctypes.data, host.nbytes, COPY_DEFAULT, self.handle)

    def download(self, host: AnyArray, device: DeviceBuffer, nbytes: int | None = None) -> None:
        """Copy the first bytes of a buffer into an array. They are complete after ``synchronize``.

        Args:
            host: Writable C-contiguous array.
            device: Buffer to copy from.
            nbytes: Number of bytes. None = size of the array.

        Raises:
            ValueError: If array or buffer is too small, if the array is read-only or not C-contiguous, or if buffer or
                stream is closed.
            CudaError: If the CUDA call fails.
        """
        nbytes = host.nbytes if nbytes is None else nbytes
        self._check_copy(device, host, nbytes)
        if not host.flags.writeable:
            raise ValueError("download: expected a writable array, got a read-only one")
        self._cuda.call("cudaMemcpyAsync", host.ctypes.data, device.pointer, nbytes, COPY_DEFAULT, self.handle)

    def synchronize(self) -> None:
        """Wait until all work of this stream is done. Other Python threads run meanwhile.

        Raises:
            CudaError: If some of the work has failed.
        """
        self.check_open()
        self._cuda.call("cudaStreamSynchronize", self.handle)

    def capture(self, work: Callable[[], object]) -> CudaGraph:
        """Record the work that a function puts on this stream, without running it.

        The recording holds the addresses of the buffers, so the buffers must outlive it. Run the work once before
        recording: allocations and waits cannot be recorded.

        Raises:
            CudaError: If some of the work cannot be recorded. The stream stays usable.
            Exception: Any error of ``work``. The stream stays usable.
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
            raise ValueError("copy: expected a C-contiguous array, got a strided one; use np.ascontiguousarray")
        if not 0 <= nbytes <= min(host.nbytes, device.nbytes):
            raise ValueError(
                f"copy: expected at most {host.nbytes} bytes for the array and {device.nbytes} for the buffer, "
                f"got {nbytes}"
            )


class CudaGraph(CudaObject):
    """Recorded work that is launched as a whole."""

    def __init__(self, cuda: CudaCalls, recording: int) -> None:
        try:
            self._handle = cuda.call("cudaGraphInstantiateWithFlags", recording, 0)
        finally:
            cuda.release(recording, "cudaGraphDestroy")
        super().__init__(cuda, self, self._handle, "cudaGraphExecDestroy")

    def launch(self, stream: CudaStream) -> None:
        """Put the recorded work on a stream. Returns at once.

        Raises:
            ValueError: If the graph or the stream is closed.
            CudaError: If the CUDA call fails.
        """
        self.check_open()
        stream.check_open()
        self._cuda.call("cudaGraphLaunch", self._handle, stream.handle)


def _check_size(nbytes: int) -> int:
    if nbytes < 1:
        raise ValueError(f"buffer: expected at least 1 byte, got {nbytes}")
    return nbytes
