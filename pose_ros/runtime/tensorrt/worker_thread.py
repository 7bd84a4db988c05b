"""A thread that owns what no other may touch: CUDA's current GPU is each thread's own, and so is TensorRT's work."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate  # the built-in one only from Python 3.11 on
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from pose_ros.runtime.runner import CLOSED

Result = TypeVar("Result")
Job = tuple["Future[Any]", Callable[[], Any]]


class WorkerThread:
    """Does what other threads ask for, one job after the other. It does not keep a program from ending.

    Args:
        name: Of the thread, for debuggers.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], Result]) -> Result:
        """Have something done there, and wait for it; from the thread itself, at once.

        Raises:
            ValueError: If it is closed.
            Exception: Whatever ``work`` raises.
        """
        if threading.current_thread() is self._thread:
            return work()
        return self._queued(work).result()

    def close(self, last: Callable[[], object] = lambda: None, patience_s: float | None = None) -> None:
        """Do one last job after those that wait, and end. Once more does nothing.

        Args:
            last: The job; what it raises is raised here.
            patience_s: How long to wait for it; None is as long as it takes. From the thread itself there is no wait.
        """
        done: Future[object] = Future()
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._jobs.put((done, last))
            self._jobs.put(None)
        if threading.current_thread() is not self._thread:
            with suppress(TooLate):
                done.result(patience_s)

    def _queued(self, work: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        with self._lock:
            if not self._open:
                raise ValueError(CLOSED)
            self._jobs.put((future, work))
        return future


def _work(jobs: SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        future, work = job
        try:
            future.set_result(work())
        except BaseException as error:
            _forget(error)
            future.set_exception(error)
        del job, future, work  # or they would live until the next job


def _forget(error: BaseException | None) -> None:
    """Free what the failed functions held: it belongs to this thread, the error goes to another."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
