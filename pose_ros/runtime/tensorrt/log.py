"""Forward TensorRT's log messages to listeners.

TensorRT keeps the first logger that a process creates until the process ends, and ignores later ones. So there is one
logger per process, and it is never released.
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from functools import cache
from typing import Any

from pose_ros.runtime.runner import Notify

_NO_MEMORY = re.compile(r"out ?of ?memory|cudaErrorMemoryAllocation|CUDA error:? 2\b", re.IGNORECASE)
"""TensorRT's messages when memory runs out. "Error Code 2" is different: it means an internal error."""


@cache
def log_of(trt: Any) -> Any:
    """Return the logger of this process, for ``trt.Builder``, ``trt.Runtime`` and ``trt.OnnxParser``.

    Each callback in the list ``listeners`` receives every message of warning level and above as one line, from any
    thread. ``errors`` holds the last errors since it was cleared.

    Args:
        trt: The module tensorrt.
    """

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.listeners: list[Notify] = []
            self.errors: deque[str] = deque(maxlen=5)

        def log(self, severity: Any, msg: str) -> None:
            if severity > trt.ILogger.Severity.WARNING:
                return
            line = " ".join(msg.split())
            if severity < trt.ILogger.Severity.WARNING:
                self.errors.append(line)
            for notify in dict.fromkeys(self.listeners):
                with suppress(Exception):  # an exception must not pass through TensorRT
                    notify(f"TensorRT: {line}")

    return Log()


def last_errors(log: Any) -> str:
    """Return the last errors as one line."""
    return "; ".join(log.errors) or "no reason given"


def is_out_of_memory(log: Any) -> bool:
    """Whether one of the last errors says that the GPU is out of memory."""
    return any(map(_NO_MEMORY.search, log.errors))
