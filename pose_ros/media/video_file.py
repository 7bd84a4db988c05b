"""Write an annotated video. It appears whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2

from pose_ros.arrays import Image
from pose_ros.files import UnfinishedFile
from pose_ros.media.output_file import OutputFile, check_suffix, create_folder

FOURCC = {".mp4": "mp4v", ".webm": "VP80", ".avi": "MJPG", ".mkv": "mp4v"}
"""Codec by file type. Every build of OpenCV has all of them. Browsers play only .webm."""
LONGEST_GAP_S = 60.0
"""Longest time between two frames. A longer one is shortened to it."""


class VideoFile(OutputFile):
    """Video file to write, .mp4, .webm, .avi or .mkv. The first image determines its size.

    The frame rate is even. A frame is repeated until the time of the next one. Images of another size are scaled to
    fit, with black bars. Without images, no file is written.

    Args:
        path: File to write.
        rate_hz: Frames per second.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If the file type is not one of these.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        check_suffix("video", path, FOURCC)
        super().__init__(path, UnfinishedFile(create_folder(path)))
        self._rate_hz = rate_hz
        self._size_wh = (0, 0)
        self._writer: Any = None
        self._last_image: Image | None = None
        self._last_ns: int | None = None
        self._time_s = 0.0

    def write(self, image_bgr: Image, stamp_ns: int | None = None) -> None:
        """Add an image.

        Args:
            image_bgr: Image, (H, W, 3) BGR.
            stamp_ns: Time of the image, ns. None = one frame after the last image.

        Raises:
            ValueError: If OpenCV cannot write such a video.
        """
        if self._writer is None:
            self._size_wh = (image_bgr.shape[1], image_bgr.shape[0])
            self._writer = self._open_writer(self._size_wh)
        image = _fit(image_bgr, self._size_wh)
        for _ in range(self._frames_until(stamp_ns)):
            self._add(self._last_image)
        self._add(image)
        self._last_image = image

    def _frames_until(self, stamp_ns: int | None) -> int:
        """Return how often the last image is repeated before an image with this time."""
        if self._last_image is None:
            self._last_ns = stamp_ns
            return 0
        interval_s = 1 / self._rate_hz
        if stamp_ns is not None and self._last_ns is not None and stamp_ns > self._last_ns:
            interval_s = min((stamp_ns - self._last_ns) / 1e9, LONGEST_GAP_S)
        self._time_s, self._last_ns = self._time_s + interval_s, stamp_ns
        return max(round(self._time_s * self._rate_hz) - self._frames, 0)

    def _add(self, image_bgr: Image | None) -> None:
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


def _fit(image: Image, size_wh: tuple[int, int]) -> Image:
    """Scale an image to fit a size, with black bars on two sides."""
    height, width = image.shape[:2]
    if (width, height) == size_wh:
        return image
    scale = min(size_wh[0] / width, size_wh[1] / height)
    inner_wh = (min(max(round(width * scale), 1), size_wh[0]), min(max(round(height * scale), 1), size_wh[1]))
    scaled = cv2.resize(image, inner_wh, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (size_wh[0] - inner_wh[0]) // 2, (size_wh[1] - inner_wh[1]) // 2
    right, bottom = size_wh[0] - inner_wh[0] - left, size_wh[1] - inner_wh[1] - top
    return cv2.copyMakeBorder(scaled, top, bottom, left, right, cv2.BORDER_CONSTANT)


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
