"""What becomes of memory that is freed: large images come and go thirty times a second."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""

KEPT_BYTES = 128 << 20
MOST_BYTES = 32 << 20
"""The highest that glibc takes; an image of 3840 × 2160 in bgr8 has 25 MB."""


def keep_freed_memory() -> bool:
    """Let the process keep up to 128 MiB of what it frees, for the next image.

    By itself the C library gives the memory of a large image back to the system, and each of the three copies on an
    image's way through DDS and rclpy is made of new pages, which the system clears first. That takes longer than the
    copies: see ``benchmarks/node.py``.

    Returns:
        Whether this C library (glibc) does so; others are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(TRIM_THRESHOLD, KEPT_BYTES) and mallopt(MMAP_THRESHOLD, MOST_BYTES))
