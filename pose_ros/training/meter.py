"""How fast a run goes, and how long it waits for its batches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


class Meter:
    """A stopwatch that is read every few steps.

    Args:
        step: Steps done before it was started.
    """

    def __init__(self, step: int) -> None:
        self._start, self._waited, self._step = time.perf_counter(), 0.0, step

    def timed(self, items: Iterator[T]) -> Iterator[T]:
        """The same items; the time until each is there counts as waiting."""
        while True:
            start = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            self._waited += time.perf_counter() - start
            yield item

    def read(self, step: int, batch: int) -> tuple[float, float]:
        """Samples per second, and the share of time that was waiting, since the last reading.

        Args:
            step: Steps done.
            batch: Samples of each.
        """
        now = time.perf_counter()
        elapsed = max(now - self._start, 1e-9)
        result = (step - self._step) * batch / elapsed, min(1.0, self._waited / elapsed)
        self._start, self._waited, self._step = now, 0.0, step
        return result
