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
from pose_ros.runtime.cuda.driver import Gpu, find_gpu
from pose_ros.runtime.cuda.opening import open_cuda
from pose_ros.runtime.runner import Arrays, Progress, Runner, Say, Unavailable
from pose_ros.runtime.tensorrt.builder import engine_request
from pose_ros.runtime.tensorrt.log import log_of
from pose_ros.runtime.tensorrt.precision import version_of
from pose_ros.runtime.tensorrt.session import EngineSession, PlanRefused
from pose_ros.runtime.tensorrt.source import EngineSource
from pose_ros.runtime.tensorrt.worker_thread import WorkerThread

OLDEST = (8, 5)
PATIENCE_S = 5.0
"""How long an interrupted build may take to end; before TensorRT 10 nothing ends it."""


def check(gpu: int = 0) -> Gpu:
    """Whether TensorRT can work here. Makes none of its objects: without a driver, they end the process.

    Args:
        gpu: Which of several.

    Raises:
        Unavailable: If not, with what to do.
    """
    found = find_gpu(gpu)
    _tensorrt(found)
    return found


def check_model(path: Path, config: RuntimeConfig) -> None:
    """Whether TensorRT can work here, and on this model; builds nothing.

    Raises:
        Unavailable: If there is no GPU, driver, CUDA library or TensorRT that works.
        ValueError: If this TensorRT cannot run the model with these settings.
    """
    gpu = check(config.gpu)
    open_cuda(gpu).close()
    engine_request(_tensorrt(gpu), path, config)


class TensorRTRunner(Runner):
    """A network in TensorRT. ``run`` may be called from several threads; one after the other gets its turn.

    The first time on a machine it builds an engine, which takes from seconds to an hour and is kept.

    Args:
        path: An ONNX file.
        config: Which GPU, precision and sizes.
        progress: Told how far a build is, from other threads.
        say: Told in one line why an engine is built, what TensorRT warns of, and what does not work as it should;
            from other threads.

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
        progress: Progress | None = None,
        say: Say | None = None,
    ) -> None:
        config = config or RuntimeConfig()
        engine = _Engine(Path(path), config, check(config.gpu), progress or _unheard, say or _unheard)
        self._worker = WorkerThread("tensorrt")
        try:
            self._session, source = self._worker.call(engine.open)
        except BaseException:  # also Ctrl-C, while the other thread builds
            engine.stop.set()
            self._worker.close(engine.close, PATIENCE_S)
            raise
        self._close = weakref.finalize(self, self._worker.close, engine.close)
        self._engine = engine
        self.inputs, self.outputs = self._session.inputs, self._session.outputs
        self.metadata = source.request.graph.metadata
        self.plan, self.has_built = source.path, source.has_built
        self.device = engine.gpu.name
        self.description = f"TensorRT {engine.trt.__version__} on {self.device} in {source.request.precision}"

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

    def __init__(self, path: Path, config: RuntimeConfig, gpu: Gpu, progress: Progress, say: Say) -> None:
        self.path, self.config, self.gpu, self.progress, self.say = path, config, gpu, progress, say
        self.trt = _tensorrt(gpu)
        self.log = log_of(self.trt)
        self.stop = threading.Event()
        self.cuda: Cuda | None = None
        self.session: EngineSession | None = None
        self.log.listeners.append(say)

    def open(self) -> tuple[EngineSession, EngineSource]:
        self.cuda = open_cuda(self.gpu)
        source = EngineSource(self.trt, self.cuda, self.path, self.config)
        self.session = self._loaded(self.cuda, source)
        return self.session, source

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
        if self.cuda is not None:
            self.cuda.close()
        self.log.listeners.remove(self.say)

    def _loaded(self, cuda: Cuda, source: EngineSource) -> EngineSession:
        plan = source.plan(self.progress, self.say, self.stop)
        try:
            return self._load(cuda, plan)
        except PlanRefused:
            if source.has_built:
                raise
        return self._load(cuda, source.plan(self.progress, self.say, self.stop, refused=plan))

    def _load(self, cuda: Cuda, plan: bytes) -> EngineSession:
        return EngineSession(self.trt, cuda, plan, self.log, self.say, self.config.cuda_graph)


def _tensorrt(gpu: Gpu) -> Any:
    """The module, once the driver has been found to work.

    Raises:
        Unavailable: If it is not installed, broken or too old.
    """
    fix = (
        f"pip install tensorrt-cu{gpu.cuda_version[0]}; on a Jetson: sudo apt install python3-libnvinfer, and make "
        "virtual environments with --system-site-packages"
    )
    try:
        import tensorrt

        version = version_of(tensorrt)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise Unavailable("tensorrt", f"expected the package tensorrt, got: {error}", fix) from error
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise Unavailable("tensorrt", f"expected TensorRT {oldest} or later, got {tensorrt.__version__}", fix)
    return tensorrt


def _unheard(*_: object) -> None:
    """For messages that nobody wants."""
