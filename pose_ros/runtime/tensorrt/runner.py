"""Run networks in TensorRT 8.5 to 11, the fastest runtime on an NVIDIA GPU. Tensors are accessed by name.

References:
    NVIDIA TensorRT, Python API of the releases 8.6, 10.3, 10.16 and 11.4.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pose_ros.arrays import AnyArray
from pose_ros.config import RuntimeConfig
from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.runner import Arrays, BuildProgress, Notify, Runner
from pose_ros.runtime.tensorrt.log import log_of
from pose_ros.runtime.tensorrt.probe import TensorRTProbe, probe_model
from pose_ros.runtime.tensorrt.session import EngineSession, PlanRefused
from pose_ros.runtime.tensorrt.source import EngineSource
from pose_ros.runtime.tensorrt.worker_thread import WorkerThread

STOP_TIMEOUT_S = 5.0
"""Longest wait for a cancelled build to end, seconds. Before TensorRT 10 a build cannot be cancelled."""


class TensorRTRunner(Runner):
    """A network in TensorRT. ``run`` may be called from several threads. The runs are executed one after the other.

    The first start on a machine builds an engine and stores it. This takes seconds to an hour.

    Args:
        path: An ONNX file.
        config: Runtime settings: GPU, precision, sizes and others.
        progress: Called with the progress of a build, from other threads.
        notify: Called with one line of text: why an engine is built, warnings of TensorRT, and problems. From other
            threads.
        probe: Probe from ``probe_model`` with the same path and settings. This object then owns it. None = make one.

    Raises:
        FileNotFoundError: If the file does not exist.
        Unavailable: If no working GPU, driver or TensorRT is found.
        ValueError: If TensorRT cannot run the file with these settings.
        CudaError: If the GPU is out of memory.

    Attributes:
        plan: Path of the stored engine.
        has_built: Whether the engine was built at this start.
    """

    def __init__(
        self,
        path: str | Path,
        config: RuntimeConfig | None = None,
        progress: BuildProgress | None = None,
        notify: Notify | None = None,
        probe: TensorRTProbe | None = None,
    ) -> None:
        engine = _Engine(Path(path), config or RuntimeConfig(), progress or _ignore, notify or _ignore, probe)
        self._worker = WorkerThread("tensorrt")
        try:
            opened, self._session, source = self._worker.call(engine.open)
        except BaseException:  # includes Ctrl-C while the worker thread builds
            engine.stop.set()
            self._worker.close(engine.close, STOP_TIMEOUT_S)
            raise
        self._close = weakref.finalize(self, self._worker.close, engine.close)
        self._engine = engine
        self.inputs, self.outputs = self._session.inputs, self._session.outputs
        self.metadata = source.request.graph.metadata
        self.plan, self.has_built = source.path, source.has_built
        self.device = opened.cuda.gpu.name
        self.description = f"TensorRT {opened.trt.__version__} on {self.device} in {source.request.precision}"

    def gpu_memory_bytes(self) -> tuple[int, int] | None:
        """Return used and total memory of the GPU, counting all programs. None after ``close``."""
        return self._engine.cuda.memory_bytes() if self._engine.cuda is not None else None

    def close(self) -> None:
        """Release all memory. A second call does nothing."""
        self._close()

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        for name, shapes in self._session.ranges.items():
            shapes.check(name, feeds[name].shape)
        return self._worker.call(lambda: self._session.run(feeds, names))


class _Engine:
    """Engine of a runner, with all that is needed to open it. ``open`` and ``close`` run on the worker thread."""

    def __init__(
        self, path: Path, config: RuntimeConfig, progress: BuildProgress, notify: Notify, probe: TensorRTProbe | None
    ) -> None:
        self.path, self.config, self.progress, self.notify, self.probe = path, config, progress, notify, probe
        self.stop = threading.Event()
        self.log: Any = None
        self.session: EngineSession | None = None

    @property
    def cuda(self) -> Cuda | None:
        """The GPU, once it is open."""
        return self.probe.cuda if self.probe is not None else None

    def open(self) -> tuple[TensorRTProbe, EngineSession, EngineSource]:
        probe = self.probe = self.probe or probe_model(self.path, self.config)
        probe.cuda.make_current()
        self.log = log_of(probe.trt)
        self.log.listeners.append(self.notify)
        source = EngineSource(probe.trt, probe.cuda, probe.request, self.config.cache)
        self.session = self._load_session(probe, source)
        return probe, self.session, source

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
        if self.cuda is not None:
            self.cuda.close()
        if self.log is not None:
            self.log.listeners.remove(self.notify)

    def _load_session(self, probe: TensorRTProbe, source: EngineSource) -> EngineSession:
        plan = source.plan(self.progress, self.notify, self.stop)
        try:
            return self._open_session(probe, plan)
        except PlanRefused:
            if source.has_built:
                raise
        return self._open_session(probe, source.plan(self.progress, self.notify, self.stop, refused_plan=plan))

    def _open_session(self, probe: TensorRTProbe, plan: bytes) -> EngineSession:
        return EngineSession(probe.trt, probe.cuda, plan, self.log, self.notify, self.config.cuda_graph)


def _ignore(*_: object) -> None:
    """Do nothing. The default for missing callbacks."""
