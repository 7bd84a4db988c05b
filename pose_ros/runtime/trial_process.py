"""Load a model file and run it once: the separate process of ``trial``."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np

from pose_ros.config import RuntimeConfig
from pose_ros.runtime.runner import Runner
from pose_ros.runtime.trial import MEMORY_SHARE, OUT_OF_MEMORY

FREE_SIDE = 256
"""Size of a free dimension, a multiple of the multiples of the networks."""


def run_trial(path: str, backend: str, settings: str) -> None:
    """Load a file and run it once on an empty image.

    Args:
        path: The model file.
        backend: Runtime that loads it.
        settings: Runtime settings as JSON.
    """
    config = RuntimeConfig(**json.loads(settings))
    _limit_memory(config)
    try:
        with _load(Path(path), backend, config) as runner:
            runner.run({spec.name: np.zeros(_fill(spec.shape), spec.dtype) for spec in runner.inputs})
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
    except Exception as error:  # the caller will get the same error
        if "alloc" in str(error):
            sys.exit(OUT_OF_MEMORY)


def _fill(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    return tuple(size or (FREE_SIDE if axis else 1) for axis, size in enumerate(shape))


def _limit_memory(config: RuntimeConfig) -> None:
    """Limit the memory of this process. The driver of a GPU maps more than it uses, so it gets no limit."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if config.device in ("auto", "cpu") and config.provider in ("auto", "cpu"):
        limit = int(MEMORY_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _load(path: Path, backend: str, config: RuntimeConfig) -> Runner:
    if backend == "torch":
        from pose_ros.runtime.torch import TorchRunner

        return TorchRunner(path, config)
    if backend == "openvino":
        from pose_ros.runtime.openvino import OpenVINORunner

        return OpenVINORunner(path, config)
    from pose_ros.runtime.onnx import OnnxRunner

    return OnnxRunner(path, config)
