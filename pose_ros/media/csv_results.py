"""Write results as a table for spreadsheets and pandas: one row per person."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.media.results import TableFile, round_value
from pose_ros.media.sources import Frame
from pose_ros.people import People, TrackState
from pose_ros.skeleton import Skeleton

_AXES = ("x", "y", "z")


class CsvResults(TableFile):
    """CSV file with one row per person, see docs/cli.md. An unknown value is an empty cell."""

    def __init__(self, path: Path, skeleton: Skeleton) -> None:
        super().__init__(path, skeleton)
        self._write_row(_columns(skeleton))

    def write(self, frame: Frame, people: People) -> None:
        """Add a frame.

        Raises:
            OSError: If the disk is full.
        """
        for person in people:
            self._write_row([frame.name, frame.index, frame.stamp_ns, *_cells(person)])
        self._frames += 1

    def _write_row(self, cells: list[object]) -> None:
        row = io.StringIO()
        csv.writer(row, lineterminator="\n").writerow(cells)
        self._write(row.getvalue())


def _columns(skeleton: Skeleton) -> list[object]:
    people = ["id", "state", "score", "x_min", "y_min", "x_max", "y_max", "velocity_x", "velocity_y"]
    metres = [f"{name}_{axis}" for name in ("position_3d", "velocity_3d") for axis in _AXES]
    keypoints = [
        f"{name}_{value}"
        for name in skeleton.keypoint_names
        for value in ("x", "y", "score", *(f"3d_{axis}" for axis in _AXES))
    ]
    return ["name", "index", "stamp_ns", *people, *metres, *keypoints]


def _cells(person: People) -> Iterator[object]:
    """Yield the values of one person (N = 1)."""
    count = person.scores.shape[1]
    yield from (int(person.ids[0]), TrackState(int(person.states[0])).name.lower(), *_known(person.person_scores))
    yield from _known(person.boxes()[0])
    for name, size in (("velocities", 2), ("positions_3d", 3), ("velocities_3d", 3)):
        value = getattr(person, name)
        yield from [""] * size if value is None else _known(value[0])
    visible = person.visible[0][:, None]
    points = np.full((count, 3), np.nan) if person.keypoints_3d is None else person.keypoints_3d[0]
    pixels = np.where(visible, person.keypoints[0], np.nan)
    yield from _known(np.concatenate([pixels, person.scores[0][:, None], points], axis=1).ravel())


def _known(values: AnyArray) -> list[object]:
    return [round_value(value) if np.isfinite(value) else "" for value in values]
