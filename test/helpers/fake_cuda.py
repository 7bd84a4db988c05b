"""Fake GPU in host memory.

Copies and kernels wait in their stream until it is synchronised, as on a real GPU. Every allocation, copy and release
is counted.
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.driver import Gpu

GPU = Gpu(0, "Fake GPU", (8, 7), 8 << 30, (12, 6))
OUT_OF_MEMORY, CAPTURE_UNSUPPORTED, ILLEGAL_ADDRESS = 2, 900, 700


@dataclass
class Machine:
    """State that all libraries of one fake GPU share.

    Attributes:
        events: Objects created and released, in order: ``"+device"``, ``"-context"``, …
        threads: Threads that have made a call.
        counts: Number of CUDA calls, by name.
        copied_back: Bytes copied from the GPU.
        errors: Error codes of failing CUDA calls, by name.
    """

    events: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    copied_back: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    memory: dict[int, np.ndarray] = field(default_factory=dict)
    on_gpu: set[int] = field(default_factory=set)
    streams: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    graphs: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    recording: dict[int, list[Callable[[], None]]] = field(default_factory=dict)
    handles: int = 0

    def note(self, event: str) -> None:
        """Record an event and the calling thread."""
        self.events.append(event)
        self.threads.add(threading.get_ident())

    def new_handle(self) -> int:
        """Return a new unique handle."""
        self.handles += 1
        return self.handles

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        """Put work on a stream, or into its recording."""
        (self.recording if stream in self.recording else self.streams)[stream].append(work)

    def live_objects(self) -> list[str]:
        """List the objects that are not released."""
        made = Counter(event[1:] for event in self.events if event[0] == "+")
        made.subtract(event[1:] for event in self.events if event[0] == "-")
        return sorted(made.elements())

    def array(self, pointer: int, nbytes: int) -> np.ndarray:
        """Return memory of the GPU. Freed memory and sizes beyond the end are errors."""
        memory = self.memory[pointer]
        if nbytes > memory.nbytes:
            raise IndexError(f"{nbytes} of {memory.nbytes} bytes")
        return memory[:nbytes]


class FakeCuda(Cuda):
    """CUDA library of the fake GPU."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        super().__init__(GPU, "a fake library")

    def _call(self, name: str, arguments: tuple[int, ...]) -> tuple[int, ...]:
        self.machine.threads.add(threading.get_ident())
        self.machine.counts[name] += 1
        code = self.machine.errors.get(name, 0)
        made = 0 if code else getattr(self, f"_{name}", lambda *_: 0)(*arguments) or 0
        return (code, *(made if isinstance(made, tuple) else (made,)))

    def _error_name(self, code: int) -> str:
        return f"cudaErrorFake{code}"

    def _cudaRuntimeGetVersion(self) -> int:
        return 12060

    def _cudaMemGetInfo(self) -> tuple[int, int]:
        used = sum(self.machine.memory[pointer].nbytes for pointer in self.machine.on_gpu)
        return GPU.memory_bytes - used, GPU.memory_bytes

    def _cudaMalloc(self, nbytes: int) -> int:
        pointer = self._memory("device", nbytes)
        self.machine.on_gpu.add(pointer)
        return pointer

    def _cudaHostAlloc(self, nbytes: int, flags: int) -> int:
        return self._memory("host", nbytes)

    def _memory(self, kind: str, nbytes: int) -> int:
        memory = np.full(nbytes, 0xAA, np.uint8)
        self.machine.memory[memory.ctypes.data] = memory
        self.machine.note(f"+{kind}")
        return memory.ctypes.data

    def _cudaFree(self, pointer: int) -> None:
        if pointer:
            del self.machine.memory[pointer]  # a second release is an error
            self.machine.on_gpu.remove(pointer)
            self.machine.note("-device")

    def _cudaFreeHost(self, pointer: int) -> None:
        del self.machine.memory[pointer]
        self.machine.note("-host")

    def _cudaStreamCreateWithFlags(self, flags: int) -> int:
        stream = self.machine.new_handle()
        self.machine.streams[stream] = []
        self.machine.note("+stream")
        return stream

    def _cudaStreamDestroy(self, stream: int) -> None:
        del self.machine.streams[stream]
        self.machine.note("-stream")

    def _cudaStreamSynchronize(self, stream: int) -> None:
        work = self.machine.streams[stream]
        while work:
            work.pop(0)()

    def _cudaMemcpyAsync(self, target: int, source: int, nbytes: int, kind: int, stream: int) -> None:
        if source in self.machine.on_gpu:
            self.machine.copied_back += nbytes
        self.machine.enqueue(stream, lambda: ctypes.memmove(target, source, nbytes) and None)

    def _cudaStreamBeginCapture(self, stream: int, mode: int) -> None:
        self.machine.recording[stream] = []

    def _cudaStreamEndCapture(self, stream: int) -> int:
        recording = self.machine.new_handle()
        self.machine.graphs[recording] = self.machine.recording.pop(stream)
        return recording

    def _cudaGraphInstantiateWithFlags(self, recording: int, flags: int) -> int:
        graph = self.machine.new_handle()
        self.machine.graphs[graph] = self.machine.graphs[recording]
        self.machine.note("+graph")
        return graph

    def _cudaGraphDestroy(self, recording: int) -> None:
        del self.machine.graphs[recording]

    def _cudaGraphExecDestroy(self, graph: int) -> None:
        del self.machine.graphs[graph]
        self.machine.note("-graph")

    def _cudaGraphLaunch(self, graph: int, stream: int) -> None:
        for work in self.machine.graphs[graph]:
            self.machine.enqueue(stream, work)
