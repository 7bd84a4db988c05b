"""Checks of the labels that a data set's reader finds, and the report of bad entries."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, FloatArray
from pose_ros.datasets.file_errors import to_line
from pose_ros.datasets.label_report import LabelReport
from pose_ros.datasets.labels import States
from pose_ros.datasets.numbers import check_keypoints
from pose_ros.datasets.sample import ABSENT, LABELLED
from pose_ros.files import is_file

_LONGEST_PATH = 300
"""Most characters of a path in a message."""


class BadEntry(ValueError):
    """Bad entry of a label file, reported with the name of the file."""


class Problems:
    """Collector of problems in the labels of a data set.

    With ``strict``, the first problem raises ValueError. Otherwise bad entries are skipped, and one warning at the end
    reports how many. Use it as ``with Problems(report, strict) as problems:``.
    """

    def __init__(self, report: LabelReport, strict: bool) -> None:
        self.name, self.strict, self._report = report.name, strict, report
        self.found: list[str] = []

    def add(self, problem: str) -> None:
        """Report a problem.

        Raises:
            BadEntry: If strict.
        """
        if self.strict:
            raise BadEntry(f"{self.name}: {problem}; fix the entry, or set strict: false to skip bad entries")
        self.found.append(problem)
        self._report.left_out["bad entries"] += 1

    def try_read(self, read: Callable[..., Any], *arguments: Any) -> Any:
        """Call a reader and return its result, or None if it raises an error about the labels."""
        try:
            return read(*arguments)
        except BadEntry:
            raise  # reported already, by a reader of a part of this entry
        except KeyError as error:
            self.add(f"entry: expected the key {error.args[0]!r}, got an entry without this key")
            return None
        except (ValueError, TypeError, OverflowError) as error:
            self.add(to_line(error))
            return None

    def read_all(self, read: Callable[..., Any], entries: Iterable[Sequence[Any]]) -> list[Any]:
        """Call a reader for each entry and return the results without the bad entries.

        Args:
            read: Reader of one entry.
            entries: Arguments of each call.
        """
        results = [self.try_read(read, *entry) for entry in entries]
        return [result for result in results if result is not None]

    def __enter__(self) -> Problems:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.found:
            count, first = len(self.found), self.found[0]
            warnings.warn(f"{self.name}: bad entries skipped: {count}, the first: {first}", stacklevel=2)


def describe_missing(file: Path) -> str:
    """Describe an image that does not exist, and what to do."""
    name = str(file) if len(str(file)) <= _LONGEST_PATH else f"{str(file)[:_LONGEST_PATH]}…"
    return f"expected an image file, got {name}, which does not exist; choose the folder with --images, or images"


def make_labels(file: Path, xy: AnyArray, visible: BoolArray) -> tuple[FloatArray, States]:
    """Make keypoints (N, K, 2) and states (N, K) from positions and visibility.

    Args:
        file: Image file of the people.
        xy: (N, K, 2) positions, px.
        visible: (N, K) bool, True where a keypoint is labelled.

    Raises:
        ValueError: If the image does not exist, or a labelled position is not a finite number.
    """
    if not is_file(file):
        raise ValueError(f"image: {describe_missing(file)}")
    try:
        check_keypoints(xy, visible, None)
    except ValueError as error:
        raise ValueError(f"image {file.name}: {error}") from error
    states = np.where(visible, LABELLED, ABSENT).astype(np.uint8)
    return np.where(visible[..., None], xy, 0).astype(np.float32), states
