"""Count the processor cores that this process may use, for the default number of threads.

A second thread on the same physical core makes a network no faster. Threads beyond the CPU limit of a container wait
for each other. Libraries ignore one or the other: ONNX Runtime starts a thread per core of the machine, whatever the
limit of the container.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys")


def default_threads(taken: int = 0) -> int:
    """Return the number of threads for computing: the physical cores that are left over, at least 1.

    Args:
        taken: Cores that other threads or processes of the same program keep busy.

    Returns:
        ``OMP_NUM_THREADS`` if it is set and lower.
    """
    cores = max(1, count_cores() - taken)
    with suppress(KeyError, ValueError):
        return max(1, min(cores, int(os.environ["OMP_NUM_THREADS"].partition(",")[0])))
    return cores


def count_cores() -> int:
    """Count the physical cores that this process may use. Its CPU affinity and the limit of its container count."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = {_read(f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in cpus}
    return max(1, math.ceil(min(len(cores), _container_limit())))


def _container_limit() -> float:
    """Return the most CPUs of the container. Infinity = no limit."""
    with suppress(ValueError):  # cgroup v2: "200000 100000", or "max 100000" for no limit
        quota, period = _read("fs/cgroup/cpu.max").split()
        return int(quota) / int(period)
    with suppress(ValueError):  # cgroup v1: -1 = no limit
        quota_us, period_us = (int(_read(f"fs/cgroup/cpu/cpu.cfs_{name}_us")) for name in ("quota", "period"))
        return quota_us / period_us if quota_us > 0 else math.inf
    return math.inf


def _read(name: str) -> str:
    """Read a file of the kernel below ``ROOT``. Empty if it does not exist."""
    with suppress(OSError):
        return (ROOT / name).read_text().strip()
    return ""
