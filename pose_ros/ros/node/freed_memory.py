"""Keep the memory of freed images in the process, to allocate the next images faster."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameter numbers of ``mallopt``, from malloc.h of glibc."""

KEPT_BYTES = 128 << 20
MAX_MMAP_BYTES = 32 << 20
"""Highest threshold that glibc accepts. An image of 3840 × 2160 in bgr8 has 25 MB."""


def keep_freed_memory() -> bool:
    """Let the process keep up to 128 MiB of freed memory for the next images.

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
    return bool(mallopt(TRIM_THRESHOLD, KEPT_BYTES) and mallopt(MMAP_THRESHOLD, MAX_MMAP_BYTES))
