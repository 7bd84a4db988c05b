"""Interface of the workers of a batch, on this machine or on a cluster."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from pose_ros.batch.tasks import Task, TaskReport


class Pool(Protocol):
    """Workers that each hold an estimator. Use it in a ``with``, which ends them.

    Attributes:
        size: Number of workers.
    """

    size: int

    def __enter__(self) -> Pool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def count_idle(self) -> int:
        """Return how many workers wait for a task."""

    def submit(self, task: Task) -> None:
        """Give a task to an idle worker."""

    def wait(self) -> list[TaskReport]:
        """Wait for the next reports. A worker that died is replaced, and its task is reported as ``Died``.

        Raises:
            RuntimeError: If a worker cannot load the model.
        """
