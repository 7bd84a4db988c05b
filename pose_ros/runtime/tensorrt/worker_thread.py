"""Run jobs on one thread. CUDA has one current GPU per thread, so all TensorRT calls must use the same thread."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate  # the same as the built-in TimeoutError only since Python 3.11
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from pose_ros.runtime.runner import CLOSED

Result = TypeVar("Result")
Job = tuple["Future[Any]", Callable[[], Any]]


class WorkerThread:
    """Thread that runs jobs of other threads, one after the other. It is a daemon thread.

    Args:
        name: Name of the thread, for debuggers.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=_run_jobs, args=(self._jobs,), name=name, daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], Result]) -> Result:
        """Run a job on the thread and wait for it. A call from the thread itself runs the job directly.

        Raises:
            ValueError: If the thread is closed.
            Exception: Any error of ``work``.
        """
        if threading.current_thread() is self._thread:
            return work()
        return self._enqueue(work).result()

    def close(self, last: Callable[[], object] = lambda: None, timeout_s: float | None = None) -> None:
        """Run one last job after all waiting jobs, then end the thread. A second call does nothing.

        Args:
            last: The last job. Its errors are raised here.
            timeout_s: Longest wait for the job, seconds. None = no limit. A call from the thread itself does not wait.
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
                done.result(timeout_s)

    def _enqueue(self, work: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        with self._lock:
            if not self._open:
                raise ValueError(CLOSED)
            self._jobs.put((future, work))
        return future


def _run_jobs(jobs: SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        future, work = job
        try:
            future.set_result(work())
        except BaseException as error:
            _clear_frames(error)
            future.set_exception(error)
        del job, future, work  # otherwise they would live until the next job


def _clear_frames(error: BaseException | None) -> None:
    """Clear the frames of an error. Otherwise another thread would keep objects of this thread alive."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
