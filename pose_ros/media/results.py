"""Write results: JSON Lines, COCO results and annotated images. Each file appears whole."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import FloatArray, Image
from pose_ros.files import InPlaceFile, atomic_write, is_stream, open_target
from pose_ros.media.output_file import OutputFile, check_suffix, create_folder
from pose_ros.media.sources import IMAGE_SUFFIXES, Frame
from pose_ros.people import People, TrackState
from pose_ros.skeleton import COCO_17, Skeleton, map_keypoints

COCO_PERSON = 1
WRITTEN_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".jp2")
"""Formats of images that are written."""
_JSON_NAMES = {
    "velocities": "velocity",
    "positions_3d": "position_3d",
    "position_deviations_3d": "position_deviation_3d",
    "velocities_3d": "velocity_3d",
    "keypoints_3d": "keypoints_3d",
    "deviations_3d": "deviations_3d",
}
TAIL_BYTES = 1 << 16
"""First guess of the length of a line."""


class TableFile(OutputFile):
    """Text file that is written piece by piece."""

    def __init__(self, path: Path, skeleton: Skeleton, in_place: bool = False) -> None:
        create_folder(path)
        super().__init__(path, open_target(path, in_place=in_place))
        self._file = self._target.path.open("a", encoding="utf-8")
        self._skeleton = skeleton

    def _write(self, text: str, flush: bool = False) -> None:
        try:
            with self._target.explain_errors():
                self._file.write(text)
                if flush:
                    self._file.flush()
        except OSError:
            self._is_broken = True
            raise

    def _finish(self) -> None:
        self._file.close()

    def _release(self) -> None:
        with suppress(OSError):  # it was reported by the write that failed
            self._file.close()


class JsonLines(TableFile):
    """JSON Lines file with one object per frame, see docs/cli.md.

    Args:
        path: File to write.
        skeleton: Skeleton of the people.
        model_name: Name of the model.
        append: Add lines to the file in place, one by one. Otherwise the file is replaced at the end.
    """

    def __init__(self, path: Path, skeleton: Skeleton, model_name: str, append: bool = False) -> None:
        if append and path.is_file() and not is_stream(path):
            _end_last_line(path)
        super().__init__(path, skeleton, append)
        self._is_live = isinstance(self._target, InPlaceFile)
        self._model_name = model_name

    def write(self, frame: Frame, people: People) -> None:
        """Add a frame.

        Raises:
            OSError: If the disk is full.
        """
        height, width = frame.image_bgr.shape[:2]
        line = {
            "name": frame.name,
            "index": frame.index,
            "stamp_ns": frame.stamp_ns,
            "width": width,
            "height": height,
            "model": self._model_name,
            "keypoint_names": self._skeleton.keypoint_names,
            "people": [person_entry(person) for person in people],
        }
        self._write(json.dumps(line, separators=(",", ":")) + "\n", flush=self._is_live)
        self._frames += 1


class CocoResults(TableFile):
    """COCO keypoint results: one entry per person, 17 keypoints, missing ones 0, 0, 0."""

    def __init__(self, path: Path, skeleton: Skeleton) -> None:
        super().__init__(path, skeleton)
        self._separator = "[\n"
        self._names: dict[int, str] = {}

    def write(self, frame: Frame, people: People) -> None:
        """Add a frame.

        Raises:
            OSError: If the disk is full.
            ValueError: If an earlier frame has the same image id.
        """
        number = image_id(frame.name, frame.index)
        _add_id(self._names, number, frame.name)
        keypoints, scores = map_keypoints(people.keypoints, people.scores, self._skeleton, COCO_17)
        columns = zip(keypoints, scores, people.person_scores, self._extras(people), strict=True)
        for xy, score, person_score, extra in columns:
            entry = {
                "image_id": number,
                "category_id": COCO_PERSON,
                "keypoints": [value for triple in _triples(xy, score) for value in triple],
                "score": round_value(person_score),
                **extra,
            }
            self._write(self._separator + json.dumps(entry))
            self._separator = ",\n"
        self._frames += 1

    def _extras(self, people: People) -> list[dict[str, Any]]:
        """Return entries that COCO does not have: the id, and the 17 keypoints in metres, null where unknown."""
        extras: list[dict[str, Any]] = [{"track_id": number} if number >= 0 else {} for number in people.ids.tolist()]
        if people.keypoints_3d is not None:
            known = np.asarray(np.isfinite(people.keypoints_3d).all(axis=2), np.float32)
            points, found = map_keypoints(people.keypoints_3d, known, self._skeleton, COCO_17)
            points[found == 0] = np.nan
            for extra, person in zip(extras, points, strict=True):
                extra["keypoints_3d"] = _known(person)
        return extras

    def _finish(self) -> None:
        self._file.write("[\n]\n" if self._separator == "[\n" else "\n]\n")
        super()._finish()


def write_image(path: Path, image: Image) -> None:
    """Write an image in the format of its suffix. Creates the folder if it is missing.

    Raises:
        ValueError: If OpenCV does not support the format.
    """
    check_suffix("image", path, WRITTEN_SUFFIXES)
    is_encoded, data = cv2.imencode(path.suffix, image)
    if not is_encoded:
        raise ValueError(f"image {path}: expected an image that OpenCV can encode, got shape {image.shape}")
    with atomic_write(create_folder(path)) as unfinished:
        unfinished.write_bytes(data.tobytes())


def image_id(name: str, index: int) -> int:
    """Return the last number in the name of a frame, or else its index. As in COCO, ``000000000785.jpg`` is 785."""
    path = Path(name)
    numbers = re.findall(r"[0-9]+", path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name)
    return int(numbers[-1]) if numbers else index


def check_image_ids(names: Iterable[str]) -> None:
    """Check that frames have different image ids.

    Raises:
        ValueError: If two frames have the same id.
    """
    found: dict[int, str] = {}
    for index, name in enumerate(names):
        _add_id(found, image_id(name, index), name)


def _add_id(names: dict[int, str], number: int, name: str) -> None:
    if number in names:
        raise ValueError(
            f"image_id: expected one frame per id, got {number} for {names[number]} and {name}; rename one of them"
        )
    names[number] = name


def _end_last_line(path: Path) -> None:
    """Make a JSON Lines file end with a whole line. A killed process may leave a part of one, which is removed."""
    with path.open("rb+") as file:
        size, tail = file.seek(0, os.SEEK_END), b""
        while b"\n" not in tail and len(tail) < size:
            length = min(size, 2 * len(tail) + TAIL_BYTES)
            file.seek(size - length)
            tail = file.read()
        last = tail[tail.rfind(b"\n") + 1 :]
        if not last:
            return
        try:
            json.loads(last)
        except (ValueError, RecursionError):
            file.truncate(size - len(last))
        else:
            file.write(b"\n")


def person_entry(person: People) -> dict[str, Any]:
    """Convert one person (N = 1) to plain data. What is missing is None. What was not measured at all is left out."""
    entry = {
        "id": int(person.ids[0]),
        "score": round_value(person.person_scores[0]),
        "box": [round_value(value) for value in person.boxes()[0]],
        "keypoints": [triple if triple[2] > 0 else None for triple in _triples(person.keypoints[0], person.scores[0])],
    }
    if person.states[0] != TrackState.UNTRACKED:
        entry["state"] = TrackState(int(person.states[0])).name.lower()
    if person.refined is not None:
        entry["refined"] = bool(person.refined[0])
    for name, key in _JSON_NAMES.items():
        value = getattr(person, name)
        if value is not None:
            entry[key] = _known(value[0])
    return entry


def _known(values: FloatArray) -> Any:
    """Return a value or an array as lists, with None for unknown ones."""
    if values.ndim == 0:
        return round_value(values) if np.isfinite(values) else None
    if values.ndim > 1:
        return [_known(row) for row in values]
    return [None if np.isnan(value) else round_value(value) for value in values] if np.isfinite(values).any() else None


def _triples(xy: FloatArray, scores: FloatArray) -> list[list[float]]:
    return [[round_value(x), round_value(y), round_value(score)] for (x, y), score in zip(xy, scores, strict=True)]


def round_value(value: Any) -> float:
    """Round to four decimals: finer than the accuracy of any network, and short in a file."""
    return round(float(value), 4)
