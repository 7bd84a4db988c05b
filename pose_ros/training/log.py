"""What a run tells while it goes: rows of a CSV file, curves for TensorBoard."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pose_ros.files import appears_whole

T = TypeVar("T")


@dataclass(frozen=True)
class RunStatus:
    """Where a run is.

    Attributes:
        step: Steps done.
        steps: Of the whole run.
        losses: ``loss`` and its parts, of the last step.
        rate: Learning rate, relative to the highest.
        gradient: Length of the gradient.
        skipped: Steps without a finite loss so far.
        images_per_s: Since the last row, over all processes.
        wait_share: Share of that time in which batches were waited for.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    rate: float
    gradient: float
    skipped: int
    images_per_s: float
    wait_share: float

    def row(self) -> dict[str, float]:
        """All of it, in one row."""
        rest = {name: getattr(self, name) for name in ("rate", "gradient", "skipped", "images_per_s", "wait_share")}
        return {"step": self.step, **self.losses, **rest}


class Watcher(Protocol):
    """Somebody who follows a run."""

    def progress(self, progress: RunStatus) -> None:
        """A row of the log."""
        ...

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """What a validation found."""
        ...

    def say(self, text: str) -> None:
        """Something that happened."""
        ...


class CsvTable:
    """A CSV file with a column ``step``, which goes on where a run does: later rows of an earlier try are dropped.

    Args:
        path: The file.
        step: The step from which the run goes on.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self._rows = [row for row in _rows(path) if int(row["step"]) <= step]
        self._columns: list[str] = []

    def add(self, row: Mapping[str, float]) -> None:
        """Write a row, at once."""
        if not set(row) <= set(self._columns):
            self._begin(row)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._columns).writerow({name: _text(value) for name, value in row.items()})

    def _begin(self, row: Mapping[str, float]) -> None:
        """Write the file anew, with the columns of all rows."""
        if self._columns:
            self._rows = _rows(self.path)
        self._columns = list(dict.fromkeys([*row, *(self._rows[-1] if self._rows else ())]))
        with appears_whole(self.path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows)


class Files:
    """Keeps the log of a run: ``log.csv``, ``validation.csv``, and curves where TensorBoard is installed.

    Args:
        folder: Of the run.
        step: The step from which it goes on.
    """

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log, self._validation = CsvTable(folder / "log.csv", step), CsvTable(folder / "validation.csv", step)
        self._curves = _tensorboard(folder, step)

    def progress(self, progress: RunStatus) -> None:
        """Add a row."""
        self._log.add(progress.row())
        self._draw("train", progress.step, progress.row())

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Add a row."""
        self._validation.add({"step": step, **scores})
        self._draw("validation", step, scores)

    def say(self, text: str) -> None:
        """Keep nothing of it."""

    def close(self) -> None:
        """Write what TensorBoard has not written yet."""
        if self._curves is not None:
            self._curves.close()

    def _draw(self, group: str, step: int, values: Mapping[str, float]) -> None:
        if self._curves is not None:
            for name in values.keys() - {"step"}:
                self._curves.add_scalar(f"{group}/{name}", values[name], step)


class Throughput:
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


def _rows(path: Path) -> list[dict[str, str]]:
    """The whole rows of a file; a killed run may have left half of one."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row.values() and str(row["step"]).isdigit()]


def _text(value: float) -> str:
    """Short, and exact enough to compare runs bit by bit in float32."""
    return str(value) if isinstance(value, int) else f"{value:.9g}"


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
