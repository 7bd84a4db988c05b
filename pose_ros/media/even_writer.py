"""Write a video of an even frame rate by OpenCV."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2

from pose_ros.arrays import Image

FOURCC = {".mp4": "mp4v", ".webm": "VP80", ".avi": "MJPG", ".mkv": "mp4v"}
"""Codec by file type. Every build of OpenCV has all of them. Browsers play only .webm."""


class EvenWriter:
    """Video file of an even frame rate. A frame is repeated until the time of the next one.

    Attributes:
        frames: Number of frames in the file.

    Raises:
        OSError: If the disk is full.
        ValueError: If OpenCV cannot write such a video.
    """

    def __init__(self, path: Path, rate_hz: float, size_wh: tuple[int, int]) -> None:
        self.frames = 0
        self._path, self._rate_hz = path, rate_hz
        self._last_image: Image | None = None
        code = cv2.VideoWriter_fourcc(*FOURCC[path.suffix.lower()])
        self._writer: Any = cv2.VideoWriter(str(path), code, rate_hz, size_wh)
        if not self._writer.isOpened():
            check_space(path)
            raise ValueError(f"expected a file that OpenCV can write, got no writer for {size_wh}")

    def add(self, image_bgr: Image, time_s: float) -> None:
        """Add an image.

        Args:
            image_bgr: Image of the size of the video.
            time_s: Time since the first image, s. It rises.
        """
        if self._last_image is not None:
            for _ in range(round(time_s * self._rate_hz) - self.frames):
                self._write(self._last_image)
        self._write(image_bgr)
        self._last_image = image_bgr

    def _write(self, image_bgr: Image) -> None:
        self._writer.write(image_bgr)
        self.frames += 1

    def finish(self) -> None:
        """Complete the file.

        Raises:
            OSError: If the disk is full, or frames are missing in the file.
        """
        self.release()
        check_space(self._path)
        frames = _count_frames(self._path)
        if frames < self.frames:
            raise OSError(
                f"expected {self.frames} frames in the file, got {frames}; OpenCV could not write them; use another "
                "file type"
            )

    def release(self) -> None:
        """Close the file, whatever its state."""
        self._writer.release()


def check_space(file: Path) -> None:
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
