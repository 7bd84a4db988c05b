"""Checks of the labels that a data set's reader finds, and the report of bad entries."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import BoolArray, FloatArray
from pose_ros.datasets.labels import States
from pose_ros.datasets.sample import ABSENT, LABELLED


class Problems:
    """Collector of problems in the labels of a data set.

    With ``strict``, the first problem raises ValueError. Otherwise bad entries are skipped, and one warning at the end
    reports how many. Use it as ``with Problems(name, strict) as problems:``.
    """

    def __init__(self, name: str, strict: bool) -> None:
        self.name, self.strict = name, strict
        self.found: list[str] = []

    def add(self, problem: str) -> None:
        """Report a problem.

        Raises:
            ValueError: If strict.
        """
        if self.strict:
            raise ValueError(f"{self.name}: {problem}; fix the entry, or set strict: false to skip bad entries")
        self.found.append(problem)

    def try_read(self, read: Callable[..., Any], *arguments: Any) -> Any:
        """Call a reader and return its result, or None if it raises an error about the labels."""
        try:
            return read(*arguments)
        except KeyError as error:
            self.add(f"entry: expected the key {error.args[0]!r}, got an entry without this key")
            return None
        except (ValueError, TypeError) as error:
            self.add(str(error.args[0]) if error.args else repr(error))
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


def check_keypoints(keypoints: FloatArray, labelled: BoolArray, size_wh: Sequence[int] | None) -> None:
    """Check labelled positions against the image size.

    Positions a few pixels outside the image are common and allowed. ``AnnotatedImage.to_sample`` makes them ABSENT.
    Positions further outside than one image size belong to another image or have another unit.

    Args:
        keypoints: (N, K, 2) positions.
        labelled: (N, K) keypoints to check.
        size_wh: Width and height of the image, in the unit of the positions. None = check for finite numbers only.

    Raises:
        ValueError: If a position is not a finite number or is far outside the image.
    """
    xy = keypoints[labelled]
    if not np.isfinite(xy).all():
        raise ValueError("keypoints: expected finite numbers, got NaN or infinity")
    if size_wh is not None and len(xy) and ((xy < -np.array(size_wh)) | (xy > 2 * np.array(size_wh))).any():
        raise ValueError(
            f"keypoints: expected x in 0 to {size_wh[0]} and y in 0 to {size_wh[1]}, got {xy.tolist()}; check the unit"
        )


def make_labels(file: Path, xy: FloatArray, visible: BoolArray) -> tuple[FloatArray, States]:
    """Make keypoints (N, K, 2) and states (N, K) from positions and visibility.

    Args:
        file: Image file of the people.
        xy: (N, K, 2) positions, px.
        visible: (N, K) bool, True where a keypoint is labelled.

    Raises:
        ValueError: If the image does not exist, or a labelled position is not a finite number.
    """
    if not file.is_file():
        raise ValueError(f"image: expected an image file, got {file}, which does not exist")
    try:
        check_keypoints(xy, visible, None)
    except ValueError as error:
        raise ValueError(f"image {file.name}: {error}") from error
    states = np.where(visible, LABELLED, ABSENT).astype(np.uint8)
    return np.where(visible[..., None], xy, 0).astype(np.float32), states
