"""Decide which freed memory the process keeps: that of images, for the next ones, but not that of a model."""

from __future__ import annotations

import ctypes
from contextlib import suppress

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Parameter numbers of ``mallopt``, from malloc.h of glibc."""

KEPT_BYTES = 128 << 20
MAX_ARENAS = 1
"""Heaps of the process. By default each thread has its own, and glibc never returns the free end of such a heap."""
MAX_MMAP_BYTES = 32 << 20
"""Highest threshold that glibc accepts. An image of 3840 × 2160 in bgr8 has 25 MB."""


def keep_freed_memory() -> bool:
    """Let the process keep up to 128 MiB of freed memory for the next images. Call it before any thread starts.

    By default the C library returns the memory of a large image to the system. DDS and rclpy copy each image three
    times. Each copy then gets new pages, which the system clears first. Clearing takes longer than copying: see
    ``benchmarks/node.py``.

    Returns:
        Whether the C library accepted the setting. Only glibc does. Other libraries stay unchanged.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((TRIM_THRESHOLD, KEPT_BYTES), (MMAP_THRESHOLD, MAX_MMAP_BYTES), (ARENA_MAX, MAX_ARENAS))
    return all(mallopt(name, value) for name, value in settings)


def return_freed_memory() -> None:
    """Return all freed memory to the system, as after loading or releasing a model. Only glibc can do this."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
