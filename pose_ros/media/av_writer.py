"""Write a video with the times of its images by PyAV: H.264 or VP9, which browsers and phones play."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2

from pose_ros.arrays import Image

ENCODERS: dict[str, tuple[str, ...]] = {
    ".mp4": ("libx264", "libopenh264"),
    ".mkv": ("libx264", "libopenh264"),
    ".webm": ("libvpx-vp9", "libvpx"),
}
"""Encoders by file type, the first that FFmpeg has. All write what browsers play. .avi has no uneven times."""
_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "21"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "7", "crf": "32", "row-mt": "1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "6", "crf": "10"},
}
_BITS_PER_PIXEL = 4.0  # upper limit, per second: 8 Mbit/s for 1920 x 1080
_TICKS_HZ = 90_000
_FEW_THREADS = 4  # the network needs the cores
_BT709, _LIMITED_RANGE = 1, 1


def find_encoder(suffix: str) -> str | None:
    """Return the encoder for a file type, None if FFmpeg has none."""
    return next((name for name in ENCODERS.get(suffix, ()) if name in av.codecs_available and _can_encode(name)), None)


def _can_encode(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


class AvWriter:
    """Video file in which each image keeps its time. An odd width or height grows by one pixel.

    Attributes:
        frames: Number of frames in the file.

    Raises:
        OSError: If the file cannot be written.
    """

    def __init__(self, path: Path, rate_hz: float, size_wh: tuple[int, int], encoder: str) -> None:
        self.frames = 0
        self._path, self._interval = path, max(round(_TICKS_HZ / rate_hz), 1)
        self._last_pts = -self._interval
        options = {"movflags": "+faststart"} if path.suffix.lower() == ".mp4" else {}
        self._container: Any = av.open(str(path), "w", options=options)
        self._stream = stream = self._container.add_stream(encoder, rate=Fraction(_TICKS_HZ, self._interval))
        stream.width, stream.height = (side + side % 2 for side in size_wh)
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, _TICKS_HZ)
        stream.codec_context.time_base = Fraction(1, _TICKS_HZ)
        stream.options = _OPTIONS.get(encoder, {})
        stream.bit_rate = round(_BITS_PER_PIXEL * stream.width * stream.height) if encoder != "libx264" else 0
        context = stream.codec_context
        context.thread_count = _FEW_THREADS
        # Browsers guess the colour matrix from the size, unless the file names it
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE

    def add(self, image_bgr: Image, time_s: float) -> None:
        """Add an image.

        Args:
            image_bgr: Image of the size of the video.
            time_s: Time since the first image, s. It rises.

        Raises:
            OSError: If the file cannot be written.
        """
        height, width = image_bgr.shape[:2]
        if (self._stream.width, self._stream.height) != (width, height):
            sides = 0, self._stream.height - height, 0, self._stream.width - width
            image_bgr = cv2.copyMakeBorder(image_bgr, *sides, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(image_bgr, format="bgr24").reformat(
            format="yuv420p", dst_colorspace="itu709", dst_color_range="MPEG"
        )
        frame.pts, frame.time_base = max(round(time_s * _TICKS_HZ), self._last_pts + 1), Fraction(1, _TICKS_HZ)
        self._interval = frame.pts - self._last_pts if self._last_pts >= 0 else self._interval
        self._last_pts = frame.pts
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def finish(self) -> None:
        """Complete the file.

        Raises:
            OSError: If the file cannot be written.
        """
        container, self._container = self._container, None
        try:
            container.mux(self._stream.encode(None))
        finally:
            container.close()

    def release(self) -> None:
        """Close the file, whatever its state."""
        container, self._container = self._container, None
        if container is not None:
            container.close()
