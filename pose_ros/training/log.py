"""Log the progress of a training run to CSV files and TensorBoard."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pose_ros.files import atomic_write

T = TypeVar("T")


@dataclass(frozen=True)
class RunStatus:
    """Status of a training run.

    Attributes:
        step: Number of completed steps.
        steps: Number of steps of the whole run.
        losses: ``loss`` and its parts in the last step.
        rate: Learning rate, relative to the highest.
        gradient: Norm of the gradient.
        skipped: Number of steps skipped so far because the loss was not finite.
        images_per_s: Images per second since the last row, over all processes.
        wait_share: Fraction of that time spent waiting for batches, 0 to 1.
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
        """Return all values as one row."""
        rest = {name: getattr(self, name) for name in ("rate", "gradient", "skipped", "images_per_s", "wait_share")}
        return {"step": self.step, **self.losses, **rest}


class Watcher(Protocol):
    """Receiver of the status, scores and notes of a run."""

    def progress(self, status: RunStatus) -> None:
        """Receive the status, once per row of the log."""
        ...

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Receive the scores of a validation."""
        ...

    def notify(self, text: str) -> None:
        """Receive one line of text for people."""
        ...


class CsvTable:
    """CSV file with a column ``step``. When a run is resumed, rows after its step are removed.

    Args:
        path: CSV file.
        step: Step at which the run resumes.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self._rows = [row for row in _read_rows(path) if int(row["step"]) <= step]
        self._columns: list[str] = []

    def add(self, row: Mapping[str, float]) -> None:
        """Append a row to the file immediately."""
        if not set(row) <= set(self._columns):
            self._rewrite(row)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self._columns).writerow({name: _format_number(value) for name, value in row.items()})

    def _rewrite(self, row: Mapping[str, float]) -> None:
        """Rewrite the file with the columns of all rows."""
        if self._columns:
            self._rows = _read_rows(self.path)
        self._columns = list(dict.fromkeys([*row, *(self._rows[-1] if self._rows else ())]))
        with atomic_write(self.path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows)


class LogFiles:
    """Log files of a run: ``log.csv``, ``validation.csv``, and TensorBoard curves if TensorBoard is installed.

    Args:
        folder: Output folder of the run.
        step: Step at which the run resumes.
    """

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log, self._validation = CsvTable(folder / "log.csv", step), CsvTable(folder / "validation.csv", step)
        self._curves = _open_tensorboard(folder, step)

    def progress(self, status: RunStatus) -> None:
        """Add a row to ``log.csv``."""
        self._log.add(status.row())
        self._add_curves("train", status.step, status.row())

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Add a row to ``validation.csv``."""
        self._validation.add({"step": step, **scores})
        self._add_curves("validation", step, scores)

    def notify(self, text: str) -> None:
        """Ignore the text: the files hold numbers only."""

    def close(self) -> None:
        """Flush and close the TensorBoard file."""
        if self._curves is not None:
            self._curves.close()

    def _add_curves(self, group: str, step: int, values: Mapping[str, float]) -> None:
        if self._curves is not None:
            for name in values.keys() - {"step"}:
                self._curves.add_scalar(f"{group}/{name}", values[name], step)


class Throughput:
    """Speed of a run, measured over a few steps at a time.

    Args:
        step: Number of completed steps at the start.
    """

    def __init__(self, step: int) -> None:
        self._start, self._waited, self._step = time.perf_counter(), 0.0, step

    def time_items(self, items: Iterator[T]) -> Iterator[T]:
        """Yield the same items, and measure the time spent waiting for each."""
        while True:
            start = time.perf_counter()
            try:
                item = next(items)
            except StopIteration:
                return
            self._waited += time.perf_counter() - start
            yield item

    def read(self, step: int, batch: int) -> tuple[float, float]:
        """Return the samples per second and the fraction of waiting time since the last call.

        Args:
            step: Number of completed steps.
            batch: Samples per step.
        """
        now = time.perf_counter()
        elapsed = max(now - self._start, 1e-9)
        result = (step - self._step) * batch / elapsed, min(1.0, self._waited / elapsed)
        self._start, self._waited, self._step = now, 0.0, step
        return result


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Read the complete rows of a file. A killed run may leave an incomplete last row."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row.values() and str(row["step"]).isdigit()]


def _format_number(value: float) -> str:
    """Format a number: short, but exact enough to compare float32 values of two runs."""
    return str(value) if isinstance(value, int) else f"{value:.9g}"


def _open_tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
