"""Measure what a call costs: time, and memory at its highest."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@dataclass(frozen=True)
class Cost:
    """Cost of a call.

    Attributes:
        seconds: Time of the processor.
        megabytes: Memory at its highest, above that before the first call, MB of 2**20 bytes.
    """

    seconds: float
    megabytes: float


def measure(call: Callable[[], object]) -> Cost:
    """Call a function and measure it. The kernel resets the highest memory on request."""
    before = _read_first_kb()
    _CLEAR.write_text("5")
    start = time.process_time()
    call()
    return Cost(time.process_time() - start, max(0, _read_kb("VmHWM") - before) / 1024)


def start() -> None:
    """Count memory from now on. Earlier calls, of this and of other tests, do not count."""
    _read_first_kb.cache_clear()


@cache
def _read_first_kb() -> int:
    """Return the memory before the first call. Freed memory of later calls stays with the process."""
    return _read_kb("VmRSS")


def _read_kb(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])
