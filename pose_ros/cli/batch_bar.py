"""Progress of a batch on the terminal, or as lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import typer

from pose_ros.batch.inputs import Input
from pose_ros.batch.manifest import DONE, FAILED, Row
from pose_ros.batch.tasks import Cut, Progress, Stored, TaskReport

LOG_S = 60.0
"""Time between two lines in a log."""


def printable(name: str) -> str:
    """Return a name for the terminal. Line breaks and bytes that are not UTF-8 are escaped."""
    return name if name.isprintable() else ascii(name)


class BatchBar(ExitStack):
    """Progress bar over the bytes of all inputs, which tell the time that is left better than their number.

    Args:
        inputs: Inputs of this run.
    """

    def __init__(self, inputs: Sequence[Input]) -> None:
        super().__init__()
        self._sizes = {entry.name: max(entry.size_bytes, 1) for entry in inputs}
        self._bytes = dict.fromkeys(self._sizes, 0.0)
        self._frames = dict.fromkeys(self._sizes, 0)
        self._pieces: dict[str, int] = {}
        self._ended = self._failed = 0
        self._start_s = self._logged_s = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> BatchBar:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        console = Console(stderr=True)
        self._bar = self.enter_context(Progress(*columns, console=console, disable=not sys.stderr.isatty()))
        self._task = self._bar.add_task(str(self), total=sum(self._sizes.values()))
        return self

    def __str__(self) -> str:
        seconds = max(time.monotonic() - self._start_s, 1e-3)
        failed = f", {self._failed} not complete" if self._failed else ""
        rate = sum(self._frames.values()) / seconds
        return f"{self._ended}/{len(self._sizes)} inputs{failed}, {rate:.1f} frames/s"

    def notify(self, line: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def report(self, report: TaskReport) -> None:
        """Show what a worker reports."""
        name, result = report.task.input.name, report.result
        if name not in self._sizes:
            return
        if isinstance(result, Cut):
            self._pieces[name] = len(result.pieces)
        elif isinstance(result, Stored):
            self._bytes[name] += self._sizes[name] / self._pieces[name]
            self._frames[name] += result.frames
        elif isinstance(result, Progress) and name not in self._pieces:
            self._bytes[name], self._frames[name] = result.share * self._sizes[name], result.frames
        self._show()

    def end_input(self, row: Row) -> None:
        """Show that an input has ended. An error is printed at once."""
        self._bytes[row.input], self._frames[row.input] = self._sizes[row.input], row.frames
        self._ended += 1
        if row.state != DONE:
            self._failed += 1
            kind = "failed" if row.state == FAILED else "partial"
            self.notify(f"{kind}: {printable(row.input)}: {row.error}")
        self._show()

    def _show(self) -> None:
        self._bar.update(self._task, completed=sum(self._bytes.values()), description=str(self))
        if self._bar.disable and time.monotonic() - self._logged_s >= LOG_S:
            self._logged_s = time.monotonic()
            typer.echo(str(self), err=True)
