"""Where the plan of a model comes from: the cache of engines if it holds the right one, else a build."""

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
    """The plan of one model for this machine and these settings. Makes no object of TensorRT before it builds.

    Args:
        trt: The module tensorrt.
        cuda: The GPU.
        request: The engine that is asked for.
        cache: Folder of the engines; empty takes the user's.

    Attributes:
        request: What is built.
        path: Where the plan is kept.
        has_built: Whether it has been built here, and not just read.
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

    def plan(self, progress: BuildProgress, say: Notify, stop: threading.Event, refused: bytes | None = None) -> bytes:
        """The plan, built if need be.

        Args:
            progress: Told how far a build is, from other threads.
            say: Told in one line why there is a build.
            stop: Set from another thread, it ends a build where TensorRT can be stopped.
            refused: A plan that TensorRT has not loaded: another is built.

        Raises:
            ValueError: If TensorRT cannot build it.
        """

        def build() -> bytes:
            timings = self._cache.timing_cache(self._key)
            log = log_of(self._trt)
            built = build_engine(self._trt, self.request, log, progress, timings, stop.is_set)
            if model_sha256(self.request.path) != self._key.model_sha256:
                raise ValueError(
                    f"model {self.request.path}: expected a file that stays while its engine is built, got another; "
                    "start again"
                )
            self._cache.keep_timing_cache(self._key, built.timings)
            self.has_built = True
            return built.plan

        versions, name = {"cuda": self._cuda.description}, self.request.path.stem
        return self._cache.get(self._key, build, say, name, refused=refused, versions=versions, given_up=stop.is_set)
