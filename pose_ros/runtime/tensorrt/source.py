"""Get the plan of a model: from the engine cache, or from a build."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.model_checksum import model_sha256
from pose_ros.runtime.runner import BuildProgress, Notify
from pose_ros.runtime.tensorrt.builder import EngineRequest, build_engine
from pose_ros.runtime.tensorrt.cache import EngineCache
from pose_ros.runtime.tensorrt.file import plan_name
from pose_ros.runtime.tensorrt.key import EngineKey
from pose_ros.runtime.tensorrt.log import log_of


class EngineSource:
    """Source of the plan of one model, for this machine and these settings.

    It creates no TensorRT object before a build.

    Args:
        trt: The module tensorrt.
        cuda: The GPU.
        request: The engine to get.
        cache: Folder of the engines. Empty = the user's cache folder.

    Attributes:
        request: The engine to get.
        path: Path of the plan in the cache.
        has_built: Whether this object has built the plan. False if it was only read.
    """

    def __init__(self, trt: Any, cuda: Cuda, request: EngineRequest, cache: str) -> None:
        self._trt, self._cuda, self.request = trt, cuda, request
        self._cache = EngineCache(Path(cache) if cache else None)
        self._key = EngineKey(
            model_sha256=model_sha256(request.path),
            tensorrt=trt.__version__,
            gpu=cuda.gpu.model,
            compute_capability=cuda.gpu.architecture,
            precision=self.request.precision,
            shapes=self.request.shapes_text,
            options=self.request.options_text,
        )
        self.path = self._cache.folder / plan_name(self._key, request.path.stem)
        self.has_built = False

    def plan(
        self, progress: BuildProgress, notify: Notify, stop: threading.Event, refused_plan: bytes | None = None
    ) -> bytes:
        """Return the plan. Build it if necessary.

        Args:
            progress: Called with the progress of a build, from other threads.
            notify: Called with one line of text: why the plan is built.
            stop: Event that cancels the build (since TensorRT 10) when another thread sets it.
            refused_plan: Stored plan that TensorRT did not load. It is rebuilt.

        Raises:
            ValueError: If TensorRT cannot build it.
        """

        def build() -> bytes:
            timings = self._cache.timing_cache(self._key)
            log = log_of(self._trt)
            built = build_engine(self._trt, self.request, log, progress, timings, stop.is_set)
            if model_sha256(self.request.path) != self._key.model_sha256:
                raise ValueError(
                    f"model {self.request.path}: expected an unchanged file during the build, got a changed one; "
                    "start again"
                )
            self._cache.keep_timing_cache(self._key, built.timings)
            self.has_built = True
            return built.plan

        versions, name = {"cuda": self._cuda.description}, self.request.path.stem
        return self._cache.get(
            self._key, build, notify, name, refused_plan=refused_plan, versions=versions, is_cancelled=stop.is_set
        )
