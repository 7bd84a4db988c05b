"""Write an annotated video. It appears whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from pose_ros.arrays import Image
from pose_ros.files import UnfinishedFile
from pose_ros.media.even_writer import FOURCC, EvenWriter
from pose_ros.media.output_file import OutputFile, check_suffix, create_folder
from pose_ros.media.video_library import has_av

if TYPE_CHECKING:
    from pose_ros.media.av_writer import AvWriter

SUFFIXES = tuple(FOURCC)
"""File types that can be written."""
LONGEST_GAP_S = 60.0
"""Longest time between two frames. A longer one is shortened to it."""


class VideoFile(OutputFile):
    """Video file to write, .mp4, .webm, .avi or .mkv. The first image determines its size.

    With PyAV, .mp4 and .mkv are H.264 and .webm is VP9, which browsers play, and each image keeps its time. With
    OpenCV, and for .avi, the frame rate is even, and a frame is repeated until the time of the next one. Images of
    another size are scaled to fit, with black bars. Without images, no file is written.

    Args:
        path: File to write.
        rate_hz: Frames per second.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If the file type is not one of these.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        check_suffix("video", path, SUFFIXES)
        super().__init__(path, UnfinishedFile(create_folder(path)))
        self._rate_hz = rate_hz
        self._size_wh = (0, 0)
        self._writer: EvenWriter | AvWriter | None = None
        self._last_ns: int | None = None
        self._time_s = 0.0

    def write(self, image_bgr: Image, stamp_ns: int | None = None) -> None:
        """Add an image.

        Args:
            image_bgr: Image, (H, W, 3) BGR.
            stamp_ns: Time of the image, ns. None = one frame after the last image.

        Raises:
            OSError: If the disk is full.
            ValueError: If such a video cannot be written.
        """
        with self._target.explain_errors():
            if self._writer is None:
                self._size_wh = (image_bgr.shape[1], image_bgr.shape[0])
                self._writer = self._open_writer()
            else:
                self._time_s += self._interval_s(stamp_ns)
            self._last_ns = stamp_ns
            try:
                self._writer.add(_fit(image_bgr, self._size_wh), self._time_s)
            except OSError:
                self._is_broken = True
                raise
        self._frames += 1

    def _interval_s(self, stamp_ns: int | None) -> float:
        """Return the time since the last image, s."""
        if stamp_ns is None or self._last_ns is None or stamp_ns <= self._last_ns:
            return 1 / self._rate_hz
        return min((stamp_ns - self._last_ns) / 1e9, LONGEST_GAP_S)

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
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.finish()
            except OSError as error:
                if error.errno is None:
                    raise OSError(f"video {self.path}: {error}") from error
                raise

    def _release(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.release()

    def _open_writer(self) -> EvenWriter | AvWriter:
        path = self._target.path
        try:
            if has_av():
                from pose_ros.media.av_writer import AvWriter, find_encoder

                if encoder := find_encoder(path.suffix.lower()):
                    return AvWriter(path, self._rate_hz, self._size_wh, encoder)
            return EvenWriter(path, self._rate_hz, self._size_wh)
        except ValueError as error:
            raise ValueError(f"video {self.path}: {error}") from error


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
