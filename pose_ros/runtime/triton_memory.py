"""Pass arrays to a Triton server on this machine through shared memory, without a copy in a message."""

from __future__ import annotations

import uuid
import weakref
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray


class SharedInput:
    """A region of shared memory that holds one input at a time. Not thread-safe.

    Args:
        client: Client of the server, which must see the same shared memory.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._memory: SharedMemory | None = None
        self._finalizer: weakref.finalize[..., SharedInput] | None = None
        self._name = ""

    def put(self, array: AnyArray) -> tuple[str, int]:
        """Copy an array into the region. The region grows with the array.

        Returns:
            The name of the region on the server, and the size of the array, bytes.

        Raises:
            OSError: If this machine has too little shared memory.
            Exception: If the server cannot register the region: an error of the client.
        """
        if self._memory is None or self._memory.size < array.nbytes:
            self.close()
            self._memory = self._register(array.nbytes)
        view: AnyArray = np.ndarray(array.shape, array.dtype, buffer=self._memory.buf)
        view[...] = array
        return self._name, array.nbytes

    def close(self) -> None:
        """Remove the region. The next array makes a new one."""
        self._memory = None
        if self._finalizer is not None:
            self._finalizer()

    def _register(self, byte_count: int) -> SharedMemory:
        self._name = f"pose_ros_{uuid.uuid4().hex}"
        memory = SharedMemory(self._name, create=True, size=byte_count)
        try:
            self._client.register_system_shared_memory(self._name, f"/{self._name}", memory.size, client_timeout=1)
        except BaseException:
            _remove(memory)
            raise
        # Also at the end of a process that closes nothing: the server would keep the region
        self._finalizer = weakref.finalize(self, _release, self._client, self._name, memory)
        return memory


def _release(client: Any, name: str, memory: SharedMemory) -> None:
    try:
        client.unregister_system_shared_memory(name, client_timeout=1)
    except Exception:  # the server may have stopped
        pass
    finally:
        _remove(memory)


def _remove(memory: SharedMemory) -> None:
    memory.close()
    memory.unlink()
