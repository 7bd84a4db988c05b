"""Decide when a server that failed may be asked again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FIRST_S, LONGEST_S = 0.1, 5.0
"""First and longest pause between two attempts, seconds. Each pause is twice as long as the one before."""


class BackOff:
    """Pauses between attempts to reach a server. May be used from several threads.

    Attributes:
        problem: Why the last attempt failed. Empty if it did not.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.problem = ""
        self._clock, self._lock = clock, threading.Lock()
        self._pause_s, self._next_s = 0.0, 0.0

    def wait_s(self) -> float:
        """Return the time until the next attempt, seconds. 0 = now."""
        with self._lock:
            return max(0.0, self._next_s - self._clock()) if self.problem else 0.0

    def fail(self, problem: str) -> None:
        """Remember a failed attempt."""
        with self._lock:
            self.problem = problem
            self._pause_s = min(LONGEST_S, 2 * self._pause_s or FIRST_S)
            self._next_s = self._clock() + self._pause_s

    def succeed(self) -> None:
        """Forget the failures before."""
        if self.problem:
            with self._lock:
                self.problem, self._pause_s = "", 0.0
