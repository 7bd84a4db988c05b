"""Workers of a batch as actors of a Ray cluster. Needs ``pip install 'ray>=2.20'``.

Each actor holds one estimator. The inputs and the folder of the outputs must have the same paths on all machines.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from pose_ros.batch.recipe import Recipe
from pose_ros.batch.tasks import Died, Progress, Task, TaskReport

LOCAL = "local"
"""Address that starts a cluster on this machine, for the time of the batch."""


def load_ray() -> Any:
    """Import Ray, which would report to its maker over the network otherwise.

    Raises:
        ImportError: If Ray is missing.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ImportError("--ray: expected Ray, got none; pip install 'ray>=2.20'") from error
    return ray


class RayPool:
    """Actors of a Ray cluster. Ray starts a dead one again, on another machine if its machine is gone.

    An autoscaling cluster adds machines while actors wait for a place. Tasks go to the actors that are ready.

    Attributes:
        size: Number of actors.

    Args:
        recipe: How each input is processed. ``config.runtime.threads`` are the CPUs of each actor.
        size: Number of actors.
        address: Address of the cluster, ``"auto"``, or ``"local"``.
        gpus: GPUs of each actor, also a share of one.

    Raises:
        ImportError: If Ray is missing.
    """

    def __init__(self, recipe: Recipe, size: int, address: str, gpus: float = 0.0) -> None:
        ray = load_ray()
        self.size = size
        self._ray, self._recipe, self._address, self._gpus = ray, recipe, address, gpus
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._running: dict[Any, tuple[Any, Task]] = {}

    def __enter__(self) -> RayPool:
        ray, threads = self._ray, self._recipe.config.runtime.threads
        is_local = self._address == LOCAL
        local = {"num_cpus": self.size * threads, "include_dashboard": False} if is_local else {}
        ray.init(address=self._address, log_to_driver=False, logging_level="ERROR", **local)
        remote = ray.remote(num_cpus=threads, num_gpus=self._gpus, max_restarts=-1)(RayWorker)
        for _ in range(self.size):
            self._await_start(remote.remote(self._recipe))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    def count_idle(self) -> int:
        """Return how many actors are ready for a task."""
        return len(self._idle)

    def submit(self, task: Task) -> None:
        """Give a task to a ready actor."""
        actor = self._idle.pop()
        self._running[actor.run.remote(task)] = actor, task

    def wait(self) -> list[TaskReport]:
        """Wait for the next results. A task whose actor died is reported as ``Died``.

        Raises:
            RuntimeError: If an actor cannot load the model.
        """
        ready, _ = self._ray.wait([*self._starting, *self._running])
        return [report for each in ready for report in self._receive(each)]

    def _await_start(self, actor: Any) -> None:
        """Note an actor that starts, for the first time or again. Ray repeats this call until it is ready."""
        self._starting[actor.check.options(max_task_retries=-1).remote()] = actor

    def _receive(self, ready: Any) -> list[TaskReport]:
        errors = self._ray.exceptions
        if ready in self._starting:
            actor = self._starting.pop(ready)
            try:
                self._ray.get(ready)
            except errors.RayError as error:
                raise RuntimeError(_explain(error)) from error
            self._idle.append(actor)
            return []
        actor, task = self._running.pop(ready)
        try:
            report: TaskReport = self._ray.get(ready)
        except errors.RayError as error:
            self._await_start(actor)
            return [TaskReport(task, Died(f"its Ray actor died: {_explain(error)}"))]
        self._idle.append(actor)
        return [report]


class RayWorker:
    """Actor: the worker of a batch in a process of Ray."""

    def __init__(self, recipe: Recipe) -> None:
        import cv2

        from pose_ros.batch.work import BatchWorker

        cv2.setNumThreads(recipe.config.runtime.threads)
        self._worker = BatchWorker(recipe)

    def check(self) -> None:
        """Return when the actor is ready."""

    def run(self, task: Task) -> TaskReport:
        """Do a task. Ray has no way to report the progress of a call."""
        return self._worker.run(task, _ignore)


def _ignore(progress: Progress) -> None:
    """Ignore the progress of a task."""


def _explain(error: Exception) -> str:
    """Return the last line of an error of Ray, which contains the traceback of the actor."""
    return (str(error).strip().splitlines() or [repr(error)])[-1].strip()
