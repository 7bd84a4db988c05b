"""Read frames by OpenCV. Its times are milliseconds, and it tells no metadata."""

from __future__ import annotations

import math
import os
from itertools import islice
from typing import Any

import cv2

from pose_ros.media.addresses import is_address, is_device
from pose_ros.media.capture import MAX_RATE_HZ, RATE_SAMPLE, TIMEOUT_S, Capture, TimedImage, check_frame_size
from pose_ros.media.quiet_codecs import hide_codec_lines


class OpenCvCapture(Capture):
    """Video, stream or camera, see ``open_capture``."""

    def __init__(self, address: str, name: str, is_live: bool) -> None:
        self._address, self._name, self._is_live = address, name, is_live
        self.metadata = {}
        self._capture = self._open()
        count, rate = self._capture.get(cv2.CAP_PROP_FRAME_COUNT), self._capture.get(cv2.CAP_PROP_FPS)
        self.is_endless = not count > 0
        self.count = int(count) if count > 0 else None
        if math.isfinite(rate) and 0 < rate <= MAX_RATE_HZ:
            self.rate_hz = rate
        width, height = (int(self._capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        try:
            check_frame_size(name, width, height)
        except ValueError:
            self.close()
            raise

    def _open(self) -> Any:
        with hide_codec_lines():
            if self._address.isdecimal():
                capture = cv2.VideoCapture(int(self._address))
            elif is_address(self._address):
                # OpenCV 4.11 takes RTSP by UDP only, which loses packets, and which many networks block
                os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
                limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
                options = [value for limit in limits for value in (limit, round(1e3 * TIMEOUT_S))]
                capture = cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, options)
            else:
                capture = cv2.VideoCapture(self._address)
        if capture.isOpened():
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)  # off by default in OpenCV 4.11
            return capture
        if is_address(self._address) or is_device(self._address):
            raise ConnectionError(f"{self._name}: expected a stream that OpenCV can open, got none")
        raise ValueError(f"video {self._name}: expected a video that OpenCV can read, got an unreadable one")

    def read(self) -> TimedImage | None:
        """Return the next frame, upright. None = end."""
        with hide_codec_lines():
            is_read, image = self._capture.read()
        if not is_read:
            return None
        return TimedImage(image, None if self._is_live else round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6))

    def seek(self, time_ns: int) -> None:
        """Continue at a key frame before a time."""
        self._capture.set(cv2.CAP_PROP_POS_MSEC, max(time_ns / 1e6, 0.0))

    def packet_times_s(self) -> list[float]:
        """Return the times of the first packets, s. Without FFmpeg, the list is empty."""
        capture = cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        try:
            packets = islice(iter(capture.grab, False), RATE_SAMPLE)
            return sorted(capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3 for _ in packets)
        finally:
            capture.release()

    def close(self) -> None:
        """Release the source."""
        self._capture.release()
