"""Read the people of a JSON Lines file that ``pose_ros image``, ``video`` or the live page has written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.json_file import parse_json
from pose_ros.people import NOT_TRACKED, People
from pose_ros.skeleton import Skeleton

MAX_LINE_BYTES = 64 << 20
MAX_KEYPOINTS, MAX_SIDE = 1000, 1 << 20
MAX_NUMBER = 1e9
"""Largest coordinate, pixels or metres."""


@dataclass(frozen=True)
class StoredFrame:
    """The people of one image.

    Attributes:
        name: Name of the image or the recording.
        index: Number of the frame, from 0.
        stamp_ns: Time stamp, nanoseconds.
        size_wh: Width and height of the image, pixels.
        skeleton: Keypoints of the people, without limbs.
        people: The people, in pixels of the image.
    """

    name: str
    index: int
    stamp_ns: int
    size_wh: tuple[int, int]
    skeleton: Skeleton
    people: People


def read_people(path: Path) -> Iterator[StoredFrame]:
    """Read a JSON Lines file, line by line.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is a folder or empty, or a line has another form, or another skeleton than the first.
            The message names the line.
    """
    if path.is_dir():
        raise ValueError(f"people: expected JSON Lines files, got the folder {path}; name the .jsonl files in it")
    if not path.is_file():
        raise FileNotFoundError(f"people: expected a JSON Lines file, got {path}, which does not exist")
    names: Sequence[str] | None = None
    if not path.stat().st_size:
        raise ValueError(f"people: expected a JSON Lines file, got {path}, which is empty; write it again")
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), 1):
            try:
                if not line.endswith((b"\n", b"}")):
                    raise ValueError("a line that is cut off")
                frame = _parse_frame(parse_json(line))
                if names not in (None, frame.skeleton.keypoint_names):
                    raise ValueError("other keypoint_names than in the first line")
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                text = f"no entry {error}" if isinstance(error, KeyError) else str(error)
                if isinstance(error, json.JSONDecodeError):
                    text = "text that is not JSON; name the file that --json has written"
                raise ValueError(f"{path}, line {number}: expected the people of one image, got {text}") from error
            names = frame.skeleton.keypoint_names
            yield frame


def _parse_frame(entry: Any) -> StoredFrame:
    if not isinstance(entry, dict):
        raise TypeError(f"a {type(entry).__name__}")
    names = entry["keypoint_names"]
    if not isinstance(names, list) or not 0 < len(names) <= MAX_KEYPOINTS or not all(map(_is_text, names)):
        raise ValueError("keypoint_names that are no list of texts")
    size_wh = tuple(_whole(entry, name, 1, MAX_SIDE) for name in ("width", "height"))
    if not isinstance(entry["people"], list):
        raise TypeError("people that are no list")
    people = [_parse_person(each, len(names)) for each in entry["people"]]
    stamp_ns = _whole(entry, "stamp_ns", -(1 << 63), (1 << 63) - 1)
    skeleton = Skeleton("stored", tuple(names), ())
    index = _whole(entry, "index", 0, 1 << 53)
    return StoredFrame(
        str(entry["name"]), index, stamp_ns, (size_wh[0], size_wh[1]), skeleton, _join(people, len(names))
    )


@dataclass(frozen=True)
class _Person:
    triples: FloatArray
    score: float
    number: int
    points: FloatArray | None


def _parse_person(entry: Any, count: int) -> _Person:
    if not isinstance(entry, dict):
        raise TypeError(f"a person that is a {type(entry).__name__}")
    triples = _rows(entry["keypoints"], count, "keypoints")
    triples[np.isnan(triples).any(axis=1)] = 0
    points = _rows(entry["keypoints_3d"], count, "keypoints_3d") if entry.get("keypoints_3d") is not None else None
    number = _whole(entry, "id", NOT_TRACKED, (1 << 31) - 1)
    score = entry["score"]
    if not isinstance(score, int | float) or isinstance(score, bool) or not 0 <= score <= 1:
        raise ValueError(f"score {score!r:.40}")
    return _Person(triples, float(score), number, points)


def _rows(rows: Any, count: int, name: str) -> FloatArray:
    """Return (count, 3) numbers. A row that is null is NaN."""
    if not isinstance(rows, list) or len(rows) != count:
        raise ValueError(f"{name} that are no list of {count}")
    array = np.full((count, 3), np.nan, np.float32)
    for target, row in zip(array, rows, strict=True):
        if row is not None:
            if not isinstance(row, list) or len(row) != 3 or not all(map(_is_number, row)):
                raise ValueError(f"{name} with an entry that is not three numbers")
            target[:] = row
    return array


def _join(people: Sequence[_Person], count: int) -> People:
    if not people:
        return People(np.zeros((0, count, 2), np.float32), np.zeros((0, count), np.float32), np.zeros(0, np.float32))
    triples = np.stack([person.triples for person in people])
    points = None
    if any(person.points is not None for person in people):
        unknown = np.full((count, 3), np.nan, np.float32)
        points = np.stack([unknown if person.points is None else person.points for person in people])
    return People(
        np.where(triples[:, :, 2:] > 0, triples[:, :, :2], 0),
        triples[:, :, 2],
        np.array([person.score for person in people], np.float32),
        np.array([person.number for person in people], np.int32),
        keypoints_3d=points,
    )


def _whole(entry: Mapping[str, Any], name: str, low: int, high: int) -> int:
    value = entry[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} {value!r:.40}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
