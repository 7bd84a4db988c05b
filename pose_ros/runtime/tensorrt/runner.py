"""TensorRT: the fastest on an NVIDIA GPU. Versions 8.5 to 11, by names of tensors only.

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

PATIENCE_S = 5.0
"""How long an interrupted build may take to end; before TensorRT 10 nothing ends it."""


class TensorRTRunner(Runner):
    """A network in TensorRT. ``run`` may be called from several threads; one after the other gets its turn.

    The first time on a machine it builds an engine, which takes from seconds to an hour and is kept.

    Args:
        path: An ONNX file.
        config: Which GPU, precision and sizes.
        progress: Told how far a build is, from other threads.
        say: Told in one line why an engine is built, what TensorRT warns of, and what does not work as it should;
            from other threads.
        probe: From ``probe_model`` with the same path and settings; it is taken over. None probes here.

    Raises:
        FileNotFoundError: If there is no such file.
        Unavailable: If there is no GPU, driver or TensorRT that works.
        ValueError: If TensorRT cannot run the file, or not as the settings say.
        CudaError: If the GPU has no memory left.

    Attributes:
        plan: Where the engine is kept.
        has_built: Whether it had to be built.
    """

    def __init__(
        self,
        path: str | Path,
        config: RuntimeConfig | None = None,
        progress: BuildProgress | None = None,
        say: Notify | None = None,
        probe: TensorRTProbe | None = None,
    ) -> None:
        engine = _Engine(Path(path), config or RuntimeConfig(), progress or _unheard, say or _unheard, probe)
        self._worker = WorkerThread("tensorrt")
        try:
            opened, self._session, source = self._worker.call(engine.open)
        except BaseException:  # also Ctrl-C, while the other thread builds
            engine.stop.set()
            self._worker.close(engine.close, PATIENCE_S)
            raise
        self._close = weakref.finalize(self, self._worker.close, engine.close)
        self._engine = engine
        self.inputs, self.outputs = self._session.inputs, self._session.outputs
        self.metadata = source.request.graph.metadata
        self.plan, self.has_built = source.path, source.has_built
        self.device = opened.cuda.gpu.name
        self.description = f"TensorRT {opened.trt.__version__} on {self.device} in {source.request.precision}"

    def gpu_memory_bytes(self) -> tuple[int, int] | None:
        """Used and total memory of the GPU, by all programs; None once it is closed."""
        return self._engine.cuda.memory_bytes() if self._engine.cuda is not None else None

    def close(self) -> None:
        """Give back all memory; once more does nothing."""
        self._close()

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, AnyArray]:
        for name, shapes in self._session.ranges.items():
            shapes.check(name, feeds[name].shape)
        return self._worker.call(lambda: self._session.run(feeds, names))


class _Engine:
    """The engine of a runner, and what it takes to get it; ``open`` and ``close`` run on the thread that owns it."""

    def __init__(
        self, path: Path, config: RuntimeConfig, progress: BuildProgress, say: Notify, probe: TensorRTProbe | None
    ) -> None:
        self.path, self.config, self.progress, self.say, self.probe = path, config, progress, say, probe
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
        self.log.listeners.append(self.say)
        source = EngineSource(probe.trt, probe.cuda, probe.request, self.config.cache)
        self.session = self._loaded(probe, source)
        return probe, self.session, source

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
        if self.cuda is not None:
            self.cuda.close()
        if self.log is not None:
            self.log.listeners.remove(self.say)

    def _loaded(self, probe: TensorRTProbe, source: EngineSource) -> EngineSession:
        plan = source.plan(self.progress, self.say, self.stop)
        try:
            return self._load(probe, plan)
        except PlanRefused:
            if source.has_built:
                raise
        return self._load(probe, source.plan(self.progress, self.say, self.stop, refused=plan))

    def _load(self, probe: TensorRTProbe, plan: bytes) -> EngineSession:
        return EngineSession(probe.trt, probe.cuda, plan, self.log, self.say, self.config.cuda_graph)


def _unheard(*_: object) -> None:
    """For messages that nobody wants."""
