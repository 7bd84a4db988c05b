"""Write results: JSON Lines, COCO results and annotated videos. A file is valid whenever it is closed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import FloatArray, Image
from pose_ros.media.sources import Frame
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, Skeleton, map_keypoints

FOURCC = {".mp4": "mp4v", ".webm": "VP80", ".avi": "MJPG", ".mkv": "mp4v"}
"""Codec by file type. Every build of OpenCV has all of them. Browsers play only .webm."""
COCO_PERSON = 1


class _OutputFile:
    """Output file that is closed at the end of a ``with``."""

    def __enter__(self: Any) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Complete and close the file."""
        raise NotImplementedError


class JsonLines(_OutputFile):
    """JSON Lines file with one object per frame, see docs/cli.md."""

    def __init__(self, path: Path, skeleton: Skeleton, model_name: str) -> None:
        self._file = _create_folder(path).open("w", encoding="utf-8")
        self._skeleton = skeleton
        self._model_name = model_name

    def write(self, frame: Frame, people: People) -> None:
        """Add a frame."""
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
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Complete and close the file."""
        self._file.close()


class CocoResults(_OutputFile):
    """COCO keypoint results: one entry per person, 17 keypoints, missing ones 0, 0, 0."""

    def __init__(self, path: Path, skeleton: Skeleton) -> None:
        self._file = _create_folder(path).open("w", encoding="utf-8")
        self._file.write("[")
        self._separator = "\n"
        self._skeleton = skeleton
        self._names: dict[int, str] = {}

    def write(self, frame: Frame, people: People) -> None:
        """Add a frame.

        Raises:
            ValueError: If an earlier frame has the same image id.
        """
        number = image_id(frame)
        if number in self._names:
            both = f"{self._names[number]} and {frame.name}"
            raise ValueError(f"image_id: expected one frame per id, got {number} for {both}")
        self._names[number] = frame.name
        keypoints, scores = map_keypoints(people.keypoints, people.scores, self._skeleton, COCO_17)
        for xy, score, person_score in zip(keypoints, scores, people.person_scores, strict=True):
            entry = {
                "image_id": number,
                "category_id": COCO_PERSON,
                "keypoints": [value for triple in _triples(xy, score) for value in triple],
                "score": _round(person_score),
            }
            self._file.write(self._separator + json.dumps(entry))
            self._separator = ",\n"

    def close(self) -> None:
        """Complete and close the file."""
        self._file.write("\n]\n")
        self._file.close()


class VideoFile(_OutputFile):
    """Video file to write, .mp4, .webm, .avi or .mkv. The first image determines its size.

    Raises:
        ValueError: If the file type is not one of these.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        if path.suffix.lower() not in FOURCC:
            raise ValueError(f"video: expected a name ending in {', '.join(FOURCC)}, got {path}")
        self.path = _create_folder(path)
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

    def close(self) -> None:
        """Complete and close the file."""
        if self._writer is not None:
            self._writer.release()

    def _open_writer(self, size_wh: tuple[int, int]) -> Any:
        code = cv2.VideoWriter_fourcc(*FOURCC[self.path.suffix.lower()])
        writer = cv2.VideoWriter(str(self.path), code, self._rate_hz, size_wh)
        if not writer.isOpened():
            raise ValueError(f"video {self.path}: expected a file that OpenCV can write, got no writer for {size_wh}")
        return writer


def write_image(path: Path, image: Image) -> None:
    """Write an image in the format of its suffix. Creates the folder if it is missing.

    Raises:
        ValueError: If OpenCV does not support the format.
    """
    try:
        _, data = cv2.imencode(path.suffix, image)
    except cv2.error as error:
        raise ValueError(f"image: expected a name ending in .jpg, .png or another format, got {path}") from error
    _create_folder(path).write_bytes(data.tobytes())


def image_id(frame: Frame) -> int:
    """Return the last number in the name, as in COCO (``000000000785.jpg`` is 785), or else the index."""
    numbers = re.findall(r"[0-9]+", Path(frame.name).stem)
    return int(numbers[-1]) if numbers else frame.index


def _create_folder(path: Path) -> Path:
    """Create the folder of a path, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def person_entry(person: People) -> dict[str, Any]:
    """Convert one person (N = 1) to plain data. A missing keypoint is None."""
    return {
        "id": int(person.ids[0]),
        "score": _round(person.person_scores[0]),
        "box": [_round(value) for value in person.boxes()[0]],
        "keypoints": [triple if triple[2] > 0 else None for triple in _triples(person.keypoints[0], person.scores[0])],
    }


def _triples(xy: FloatArray, scores: FloatArray) -> list[list[float]]:
    return [[_round(x), _round(y), _round(score)] for (x, y), score in zip(xy, scores, strict=True)]


def _round(value: np.float32) -> float:
    """Round to four decimals: finer than the accuracy of any network, and short in a file."""
    return round(float(value), 4)
