"""Write results: JSON Lines, COCO results, annotated videos and images. Each file appears whole."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import FloatArray, Image
from pose_ros.files import InPlaceFile, UnfinishedFile, atomic_write, is_stream, open_target
from pose_ros.media.sources import IMAGE_SUFFIXES, Frame
from pose_ros.people import People, TrackState
from pose_ros.skeleton import COCO_17, Skeleton, map_keypoints

FOURCC = {".mp4": "mp4v", ".webm": "VP80", ".avi": "MJPG", ".mkv": "mp4v"}
"""Codec by file type. Every build of OpenCV has all of them. Browsers play only .webm."""
COCO_PERSON = 1
TAIL_BYTES = 1 << 16
"""First guess of the length of a line."""


class _OutputFile:
    """Output file of a run. At the end of a ``with``, it replaces an earlier file.

    The earlier file stays if the run failed before its first frame, if a write failed, and if the process was killed.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, target: UnfinishedFile | InPlaceFile) -> None:
        self.path = path
        self._target = target
        self._frames = 0
        self._is_broken = False

    def __enter__(self: Any) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_broken or (kind is not None and not self._frames):
            self.discard()
        else:
            self.close()

    def close(self) -> None:
        """Complete the file. It replaces an earlier file.

        Raises:
            OSError: If the file could not be written completely. The earlier file stays.
        """
        try:
            with self._target.explain_errors():
                self._finish()
            self._target.complete()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the unfinished file, and keep an earlier file."""
        self._release()
        self._target.discard()

    def _finish(self) -> None:
        """Write the rest of the file and close it. Raises OSError if the file is not complete."""
        raise NotImplementedError

    def _release(self) -> None:
        """Close the file, whatever its state."""
        raise NotImplementedError


class _Table(_OutputFile):
    """Text file that is written piece by piece."""

    def __init__(self, path: Path, skeleton: Skeleton, in_place: bool = False) -> None:
        _create_folder(path)
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


class JsonLines(_Table):
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


class CocoResults(_Table):
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
        for xy, score, person_score in zip(keypoints, scores, people.person_scores, strict=True):
            entry = {
                "image_id": number,
                "category_id": COCO_PERSON,
                "keypoints": [value for triple in _triples(xy, score) for value in triple],
                "score": _round(person_score),
            }
            self._write(self._separator + json.dumps(entry))
            self._separator = ",\n"
        self._frames += 1

    def _finish(self) -> None:
        self._file.write("[\n]\n" if self._separator == "[\n" else "\n]\n")
        super()._finish()


class VideoFile(_OutputFile):
    """Video file to write, .mp4, .webm, .avi or .mkv. The first image determines its size.

    Without images, no file is written.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If the file type is not one of these.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        if path.suffix.lower() not in FOURCC:
            raise ValueError(f"video: expected a name ending in {', '.join(FOURCC)}, got {path}")
        super().__init__(path, UnfinishedFile(_create_folder(path)))
        self._rate_hz = rate_hz
        self._size_wh: tuple[int, int] | None = None
        self._writer: Any = None

    def write(self, image_bgr: Image) -> None:
        """Add an image.

        Raises:
            ValueError: If the size differs from that of the first image, or OpenCV cannot write such a video.
        """
        size_wh = (image_bgr.shape[1], image_bgr.shape[0])
        if self._writer is None:
            self._size_wh, self._writer = size_wh, self._open_writer(size_wh)
        if size_wh != self._size_wh:
            raise ValueError(
                f"video {self.path}: expected images of {self._size_wh} like the first, got {size_wh}; "
                "write images instead: pose_ros image FOLDER -o FOLDER"
            )
        self._writer.write(image_bgr)
        self._frames += 1

    def close(self) -> None:
        """Complete the file. It replaces an earlier file.

        Raises:
            OSError: If the file could not be written completely. The earlier file stays.
        """
        if self._frames:
            super().close()
        else:
            self.discard()

    def _finish(self) -> None:
        self._release()
        _check_space(self._target.path)
        frames = _count_frames(self._target.path)
        if frames < self._frames:
            raise OSError(
                f"video {self.path}: expected {self._frames} frames in the file, got {frames}; "
                "OpenCV could not write them; use another file type"
            )

    def _release(self) -> None:
        if self._writer is not None:
            self._writer.release()

    def _open_writer(self, size_wh: tuple[int, int]) -> Any:
        code = cv2.VideoWriter_fourcc(*FOURCC[self.path.suffix.lower()])
        writer = cv2.VideoWriter(str(self._target.path), code, self._rate_hz, size_wh)
        if not writer.isOpened():
            with self._target.explain_errors():
                _check_space(self._target.path)
            raise ValueError(f"video {self.path}: expected a file that OpenCV can write, got no writer for {size_wh}")
        return writer


def write_image(path: Path, image: Image) -> None:
    """Write an image in the format of its suffix. Creates the folder if it is missing.

    Raises:
        ValueError: If OpenCV does not support the format.
    """
    try:
        is_encoded, data = cv2.imencode(path.suffix, image)
    except cv2.error as error:
        raise ValueError(f"image: expected a name ending in .jpg, .png or another format, got {path}") from error
    if not is_encoded:
        raise ValueError(f"image {path}: expected an image that OpenCV can encode, got shape {image.shape}")
    with atomic_write(_create_folder(path)) as unfinished:
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


def _check_space(file: Path) -> None:
    """Add a byte to a file, and remove it. OpenCV does not report a full disk, but then it is full here, too."""
    with file.open("ab") as end:
        size = end.tell()
        end.write(b"\0")
        end.flush()
        os.fsync(end.fileno())
        end.truncate(size)


def _count_frames(video: Path) -> int:
    """Count the frames that a video file holds. They are not decoded if the build of OpenCV has FFmpeg."""
    capture = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    if not capture.isOpened():
        capture = cv2.VideoCapture(str(video))
    try:
        return sum(1 for _ in iter(capture.grab, False))
    finally:
        capture.release()


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
            file.write(b"\n")
        except ValueError:
            file.truncate(size - len(last))


def _create_folder(path: Path) -> Path:
    """Create the folder of a path, and return the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"output {path}: expected a folder for it, got {path.parent}, a file") from error
    return path


def person_entry(person: People) -> dict[str, Any]:
    """Convert one person (N = 1) to plain data. What is missing is None. What was not measured at all is left out."""
    entry = {
        "id": int(person.ids[0]),
        "score": _round(person.person_scores[0]),
        "box": [_round(value) for value in person.boxes()[0]],
        "keypoints": [triple if triple[2] > 0 else None for triple in _triples(person.keypoints[0], person.scores[0])],
    }
    if person.states[0] != TrackState.UNTRACKED:
        entry["state"] = TrackState(int(person.states[0])).name.lower()
    for name in ("velocities", "positions_3d", "velocities_3d", "keypoints_3d", "deviations_3d"):
        value = getattr(person, name)
        if value is not None:
            entry[name.replace("velocities", "velocity").replace("positions", "position")] = _known(value[0])
    return entry


def _known(values: FloatArray) -> Any:
    """Return values as lists, with None for unknown ones."""
    if values.ndim > 1:
        return [_known(row) for row in values]
    return [None if np.isnan(value) else _round(value) for value in values] if np.isfinite(values).any() else None


def _triples(xy: FloatArray, scores: FloatArray) -> list[list[float]]:
    return [[_round(x), _round(y), _round(score)] for (x, y), score in zip(xy, scores, strict=True)]


def _round(value: np.float32) -> float:
    """Round to four decimals: finer than the accuracy of any network, and short in a file."""
    return round(float(value), 4)
