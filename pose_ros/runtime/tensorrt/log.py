"""What TensorRT has to say, passed on to whoever listens.

TensorRT holds on to the first logger that a process gives it, for as long as the process lives, whatever other loggers
come later. So there is one, which never goes.
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from functools import cache
from typing import Any

from pose_ros.runtime.runner import Notify

_NO_MEMORY = re.compile(r"out ?of ?memory|cudaErrorMemoryAllocation|CUDA error:? 2\b", re.IGNORECASE)
"""TensorRT's ways of saying it; "Error Code 2" is a number of its own, of internal errors."""


@cache
def log_of(trt: Any) -> Any:
    """The logger of this process, for ``trt.Builder``, ``trt.Runtime`` and ``trt.OnnxParser``.

    Its ``listeners`` (a list) are told each message of warning level and above, in one line, from whatever thread it
    comes; its ``errors`` are the last ones since they were cleared.

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
            for say in dict.fromkeys(self.listeners):
                with suppress(Exception):  # it must not travel through TensorRT
                    say(f"TensorRT: {line}")

    return Log()


def said(log: Any) -> str:
    """The last errors, in one line."""
    return "; ".join(log.errors) or "no reason given"


def tells_of_no_memory(log: Any) -> bool:
    """Whether one of the last errors is that the GPU has no memory left."""
    return any(map(_NO_MEMORY.search, log.errors))
