"""Define how the frames of one video, stream or camera are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from pose_ros.arrays import Image
from pose_ros.media.decoding import MAX_IMAGE_MB, MEGABYTE

FALLBACK_RATE_HZ = 30.0
MAX_RATE_HZ = 1000.0
TIMEOUT_S = 10.0
"""Longest wait for a connection, and for the next data of a stream."""
RATE_SAMPLE = 2000
"""Packets whose times tell whether the frame rate is even."""


class TimedImage(NamedTuple):
    """Frame, and its time by the clock of its source, ns. None = the source tells none."""

    image_bgr: Image
    time_ns: int | None


class Capture(ABC):
    """Open video, stream or camera. Use it from one thread at a time.

    Attributes:
        count: Number of frames by the header of the file. It may be an estimate. None = unknown.
        rate_hz: Mean frame rate, frames per second.
        is_endless: Whether the duration is unknown, as for a live stream.
        metadata: Texts of the container, such as ``creation_time``. Empty if the library tells none.
    """

    count: int | None = None
    rate_hz: float = FALLBACK_RATE_HZ
    is_endless: bool = False
    metadata: dict[str, str]

    @abstractmethod
    def read(self) -> TimedImage | None:
        """Return the next frame, upright. None = end.

        Raises:
            OSError: If the connection is interrupted.
            ValueError: If the frame is too large.
        """

    @abstractmethod
    def seek(self, time_ns: int) -> None:
        """Continue at a key frame before a time, by the clock of the source. A source without an index stays."""

    @abstractmethod
    def packet_times_s(self) -> list[float]:
        """Return the times of the next packets, s, rising. They are not decoded. Afterwards, close the capture."""

    @abstractmethod
    def close(self) -> None:
        """Release the source."""


def check_frame_size(name: str, width: int, height: int) -> None:
    """Check that a decoded frame fits the limit of images.

    Raises:
        ValueError: If it does not.
    """
    if 3 * width * height > MAX_IMAGE_MB * MEGABYTE:
        raise ValueError(f"video {name}: expected frames of at most {MAX_IMAGE_MB} MB, got {width} x {height} px")
