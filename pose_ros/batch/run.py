"""Run a batch: hand out tasks to workers, and record each input that is complete or failed."""

from __future__ import annotations

import errno
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pose_ros.batch.inputs import Input
from pose_ros.batch.manifest import DONE, FAILED, PARTIAL, Manifest, Row, now
from pose_ros.batch.pool import Pool
from pose_ros.batch.tasks import (
    Bounds,
    Cut,
    Died,
    Failed,
    Finished,
    JoinTask,
    PieceTask,
    Progress,
    Stored,
    Task,
    TaskReport,
    TaskResult,
    WholeTask,
)

ATTEMPTS = 2
"""Times that a task is tried whose worker dies."""
STARTS = 3
"""Workers that die one after the other while they load the model, after which the batch ends."""


@dataclass
class _State:
    """What is known about an input in progress."""

    pieces: tuple[Bounds, ...] = ()
    missing: set[Bounds] = field(default_factory=set)
    seconds: float = 0.0
    deaths: Counter[Task] = field(default_factory=Counter)


class BatchRun:
    """Inputs in progress on the workers of a pool.

    Args:
        inputs: What to process.
        pool: The workers.
        manifest: Receives a row for each input.
        make_row: Makes the row of an input, with the version and settings of this run.
        on_report: Called with each report of a worker.
        on_row: Called with each row.
        notify: Called with lines of text for people, each once.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        pool: Pool,
        manifest: Manifest,
        make_row: Callable[[Input], Row],
        on_report: Callable[[TaskReport], None],
        on_row: Callable[[Row], None],
        notify: Callable[[str], None],
    ) -> None:
        self._pool, self._manifest, self._make_row = pool, manifest, make_row
        self._on_report, self._on_row, self._notify = on_report, on_row, notify
        largest_first = sorted(inputs, key=lambda entry: -entry.size_bytes)  # so that all workers end together
        self._pending: deque[Task] = deque(WholeTask(entry, pool.size > 1) for entry in largest_first)
        self._states: dict[str, _State] = {entry.name: _State() for entry in inputs}
        self._failed_starts = 0
        self._notes: set[str] = set()

    def run(self) -> None:
        """Process all inputs.

        Raises:
            OSError: If the disk is full or read-only.
            RuntimeError: If the workers cannot load the model, or die again and again.
        """
        while self._states:
            while self._pending and self._pool.count_idle():
                self._pool.submit(self._pending.popleft())
            for report in self._pool.wait():
                self._handle(report)

    def _handle(self, report: TaskReport) -> None:
        self._print_notes(report)
        self._on_report(report)
        result, task = report.result, report.task
        if isinstance(result, Progress):
            return
        is_start = isinstance(result, Died) and result.is_innocent
        self._failed_starts = self._failed_starts + 1 if is_start else 0
        state = self._states.get(task.input.name)
        if state is None:
            return  # a piece of an input that has failed
        state.seconds += report.seconds
        if isinstance(result, Cut):
            state.pieces, state.missing = result.pieces, set(result.pieces)
            self._pending.extendleft(PieceTask(task.input, bounds) for bounds in reversed(result.pieces))
        elif isinstance(result, Stored) and isinstance(task, PieceTask):
            state.missing.discard(task.bounds)
            if not state.missing:
                self._pending.appendleft(JoinTask(task.input, state.pieces))
        else:
            self._end_input(report, result, state)

    def _end_input(self, report: TaskReport, result: TaskResult, state: _State) -> None:
        if isinstance(result, Finished):
            self._finish(report, result, state)
        elif isinstance(result, Died):
            self._retry(report, result, state)
        elif isinstance(result, Failed):
            self._fail(report, result.error, state)
            if result.is_fatal:
                raise OSError(errno.ENOSPC, f"{report.task.input.name}: {result.error}; each other input would fail")

    def _print_notes(self, report: TaskReport) -> None:
        for note in report.notes:
            if note not in self._notes:
                self._notes.add(note)
                self._notify(note)

    def _finish(self, report: TaskReport, result: Finished, state: _State) -> None:
        row = replace(
            self._make_row(report.task.input),
            state=PARTIAL if result.faults else DONE,
            people=result.people,
            frames=result.frames,
            error="; ".join(result.faults),
            outputs=result.outputs,
        )
        self._record(row, report, state)

    def _retry(self, report: TaskReport, result: Died, state: _State) -> None:
        if self._failed_starts >= STARTS:
            raise RuntimeError(f"workers: expected them to load the model, but {STARTS} ended; {result.reason}")
        state.deaths[report.task] += not result.is_innocent
        if state.deaths[report.task] < ATTEMPTS:
            self._pending.append(report.task)
        else:
            self._fail(report, result.reason, state)

    def _fail(self, report: TaskReport, error: str, state: _State) -> None:
        name = report.task.input.name
        if state.missing:  # other pieces of this input need no work
            self._pending = deque(task for task in self._pending if task.input.name != name)
        self._record(replace(self._make_row(report.task.input), state=FAILED, error=error), report, state)

    def _record(self, row: Row, report: TaskReport, state: _State) -> None:
        row = replace(row, seconds=round(state.seconds, 3), model=report.model or row.model, ended=now())
        self._manifest.append(row)
        del self._states[row.input]
        self._on_row(row)
