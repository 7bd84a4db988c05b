"""Workers of a batch in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

from pose_ros.batch.recipe import Recipe
from pose_ros.batch.tasks import Died, Progress, Task, TaskReport
from pose_ros.files import discard_unfinished

END_S = 2.0
"""Time in which an interrupted worker removes its unfinished files."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Ready:
    """A worker has loaded the model."""


@dataclass(frozen=True)
class Unusable:
    """A worker cannot load the model."""

    error: str


@dataclass(eq=False)
class _Process:
    """A worker process, and its task."""

    process: Any
    connection: Connection
    task: Task | None = None
    is_ready: bool = False


class ProcessPool:
    """Worker processes. Each starts with its first task.

    Attributes:
        size: Number of workers.

    Args:
        recipe: How each input is processed. ``config.runtime.threads`` are the threads of each worker.
        size: Number of workers.
    """

    def __init__(self, recipe: Recipe, size: int) -> None:
        self.size = size
        self._recipe = recipe
        self._workers: list[_Process] = []

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.connection.close()  # an idle worker ends
            if worker.task is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(END_S)
            worker.process.kill()
            worker.process.join()

    def count_idle(self) -> int:
        """Return how many workers wait for a task."""
        return self.size - sum(worker.task is not None for worker in self._workers)

    def submit(self, task: Task) -> None:
        """Give a task to an idle worker."""
        worker = next((worker for worker in self._workers if worker.task is None), None)
        if worker is None:
            worker = self._start()
            self._workers.append(worker)
        worker.task = task
        with suppress(OSError):  # it died while it was idle, which wait() reports
            worker.connection.send(task)

    def wait(self) -> list[TaskReport]:
        """Wait for the next reports. A worker that died is replaced, and its task is reported as ``Died``.

        Raises:
            RuntimeError: If a worker cannot load the model.
        """
        busy = {worker.connection: worker for worker in self._workers if worker.task is not None}
        ready = [each for each in wait(list(busy)) if isinstance(each, Connection)]
        return [report for each in ready for report in self._receive(busy[each])]

    def _receive(self, worker: _Process) -> list[TaskReport]:
        task = worker.task
        if task is None:
            raise RuntimeError("worker: expected one with a task")
        try:
            message: TaskReport | Ready | Unusable = worker.connection.recv()
        except (EOFError, OSError):
            return [self._replace(worker, task)]
        if isinstance(message, Unusable):
            raise RuntimeError(message.error)
        if isinstance(message, Ready):
            worker.is_ready = True
            return []
        if not isinstance(message.result, Progress):
            worker.task = None
        return [message]

    def _replace(self, worker: _Process, task: Task) -> TaskReport:
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        return TaskReport(task, Died(_explain_exit(worker.process.exitcode), not worker.is_ready))

    def _start(self) -> _Process:
        context = multiprocessing.get_context("spawn")  # a fork would share the threads of libraries, which then hang
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._recipe), name="pose_ros worker", daemon=True)
        before = {name: os.environ.get(name) for name in _THREADS}
        os.environ.update(dict.fromkeys(_THREADS, str(self._recipe.config.runtime.threads)))
        try:
            process.start()  # libraries read these variables when they are imported
        finally:
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        theirs.close()
        return _Process(process, ours)


def serve(connection: Connection, recipe: Recipe) -> None:
    """Do the tasks that arrive, until the other end closes or dies. Runs in a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes. The first one ends us
    signal.signal(signal.SIGTERM, lambda number, frame: _end(128 + number))
    threading.Thread(target=_watch_parent, name="parent", daemon=True).start()
    try:
        worker = _load(recipe)
    except Exception as error:
        connection.send(Unusable(str(error) or repr(error)))
        return
    connection.send(Ready())
    while True:
        try:
            task: Task = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(worker(task, partial(_send_progress, connection, task)))


def _load(recipe: Recipe) -> Callable[[Task, Callable[[Progress], None]], TaskReport]:
    import cv2

    from pose_ros.batch.work import BatchWorker

    cv2.setNumThreads(recipe.config.runtime.threads)
    return BatchWorker(recipe).run


def _send_progress(connection: Connection, task: Task, progress: Progress) -> None:
    connection.send(TaskReport(task, progress))


def _watch_parent() -> None:
    """End this process with its parent, also if the parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        _end(1)


def _end(code: int) -> None:
    discard_unfinished()
    os._exit(code)


def _explain_exit(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its worker was killed (SIGKILL), perhaps because the memory was full; use fewer --jobs"
    name = f" ({signal.Signals(-code).name})" if code < 0 else ""
    return f"its worker ended with exit code {code}{name}"
