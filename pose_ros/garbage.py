"""Collect garbage less often while many objects are made that stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

LOADING = (10_000, 10, 1000)
"""Thresholds of the garbage collector. The oldest objects are not visited."""


@contextmanager
def collect_less() -> Iterator[None]:
    """Visit the oldest objects only after the end of the block, in all threads.

    Loading libraries and compiling makes millions of objects. The collector visits them again and again, which is a
    tenth of the time until the first result. Without it, compiling needs 90 MB more. So it still visits new objects.
    """
    before = gc.get_threshold()
    if before[0] == 0 or before == LOADING:  # off, or another thread is loading
        yield
        return
    gc.set_threshold(*LOADING)
    try:
        yield
    finally:
        gc.set_threshold(*before)
