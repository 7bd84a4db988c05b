"""Read frames by PyAV: exact times, orientation, metadata, time limits and hardware decoding.

References:
    FFmpeg, libavutil/display.h (layout of the display matrix) and the options of its protocols.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from itertools import islice
from typing import Any

import av
import numpy as np

from pose_ros.arrays import Image
from pose_ros.media.addresses import is_address, is_device
from pose_ros.media.capture import MAX_RATE_HZ, RATE_SAMPLE, TIMEOUT_S, Capture, TimedImage, check_frame_size

_NS = 1_000_000_000
_FEW_DECODER_THREADS = 4  # the network needs the cores
_WITHOUT_TIMES = ("mpjpeg", "mjpeg", "h264", "hevc", "image2pipe", "jpeg_pipe", "png_pipe")
"""Formats without times. FFmpeg invents them from a frame rate."""
_OF_FILES = {"protocol_whitelist": "file,crypto,data"}  # a file must not open addresses


def can_open(address: str) -> bool:
    """Whether PyAV can open this kind of source: a camera only if its FFmpeg has Video4Linux."""
    return not is_device(address) or any("v4l2" in names.split(",") for names in av.formats_available)


class AvCapture(Capture):
    """Video, stream or camera, see ``open_capture``."""

    def __init__(self, address: str, name: str, is_live: bool, hwaccel: str) -> None:
        self._name = name
        self._container = container = _open(address, name, is_live, hwaccel)
        try:
            if not container.streams.video:
                raise ValueError(f"video {name}: expected a video stream, got none")
            self._stream = stream = container.streams.video[0]
            stream.codec_context.thread_type = "SLICE" if is_live else "AUTO"  # frame threads delay the frames
            stream.codec_context.thread_count = _FEW_DECODER_THREADS
            check_frame_size(name, stream.codec_context.width, stream.codec_context.height)
        except BaseException:
            container.close()
            raise
        self.metadata = dict(container.metadata)
        duration_s = _duration_s(container, stream)
        self.is_endless = duration_s is None
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        if 0 < rate <= MAX_RATE_HZ:
            self.rate_hz = rate
        self.count = stream.frames or (round(duration_s * self.rate_hz) if duration_s else None)
        self._has_times = not is_live or container.format.name not in _WITHOUT_TIMES
        self._frames = self._decode()

    def read(self) -> TimedImage | None:
        """Return the next frame, upright. None = end."""
        try:
            frame = next(self._frames, None)
        except av.FFmpegError as error:
            raise ConnectionError(f"{self._name}: expected more frames, got: {error.strerror}") from None
        if frame is None:
            return None
        check_frame_size(self._name, frame.width, frame.height)
        has_time = self._has_times and frame.pts is not None and frame.time_base is not None
        time_ns = round(frame.pts * frame.time_base * _NS) if has_time else None
        return TimedImage(turn_upright(frame.to_ndarray(format="bgr24"), _display_matrix(frame)), time_ns)

    def _decode(self) -> Generator[Any, None, None]:
        """Yield the frames. A packet that cannot be decoded is skipped."""
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except (av.InvalidDataError, av.EOFError):
                continue
            yield from frames

    def seek(self, time_ns: int) -> None:
        """Continue at a key frame before a time."""
        if self._stream.time_base is None:
            return
        with suppress(av.FFmpegError):  # no index
            self._container.seek(int(time_ns / (_NS * self._stream.time_base)), stream=self._stream)
            self._frames = self._decode()

    def packet_times_s(self) -> list[float]:
        """Return the times of the next packets, s."""
        try:
            packets = islice(self._container.demux(self._stream), RATE_SAMPLE)
            return sorted(float(packet.pts * packet.time_base) for packet in packets if packet.pts is not None)
        except av.FFmpegError:
            return []

    def close(self) -> None:
        """Release the source."""
        self._frames.close()
        self._container.close()


def turn_upright(image: Image, matrix: tuple[int, int, int, int]) -> Image:
    """Turn and mirror an image as its display matrix says. Angles between quarter turns are ignored.

    Args:
        image: (H, W, 3) image as it is stored.
        matrix: a, b, c, d: a pixel at (x, y) is shown at (a x + c y, b x + d y).
    """
    a, b, c, d = matrix
    is_turned = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if is_turned else (a, d)
    shown = image.transpose(1, 0, 2) if is_turned else image
    if across < 0:
        shown = shown[:, ::-1]
    if down < 0:
        shown = shown[::-1]
    return np.ascontiguousarray(shown)


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    for item in frame.side_data:
        each = item if hasattr(item, "type") else frame.side_data[item]  # since PyAV 19, iteration gives the types
        if each.type.name == "DISPLAYMATRIX":
            values = np.frombuffer(bytes(each), np.int32)
            return int(values[0]), int(values[1]), int(values[3]), int(values[4])
    return 1, 0, 0, 1


def _duration_s(container: Any, stream: Any) -> float | None:
    if container.duration:
        return float(container.duration) / av.time_base
    return float(stream.duration * stream.time_base) if stream.duration else None


# Titles that are no UTF-8 must not end a video. PyAV 19 has removed the option.
_METADATA = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


def _open(address: str, name: str, is_live: bool, hwaccel: str) -> Any:
    kind = None
    if is_device(address):
        address, kind = f"/dev/video{address}" if address.isdecimal() else address, "v4l2"
    is_remote = is_address(address)
    options = _stream_options(address, is_live) if is_remote else {} if kind else _OF_FILES
    try:
        return av.open(
            address if is_remote or kind else f"file:{address}",
            format=kind,
            options=options,
            timeout=TIMEOUT_S if is_remote else None,
            **_METADATA,
            hwaccel=_hardware(hwaccel) if hwaccel else None,
        )
    except InterruptedError:  # by a signal, such as Ctrl-C at a pipe without a writer: Python calls the handler now
        return _open(address, name, is_live, hwaccel)
    except av.FFmpegError as error:  # its text has the address, with the password
        reason = error.strerror
    if is_remote or kind:
        raise ConnectionError(f"{name}: expected a stream, got: {reason}")
    raise ValueError(f"video {name}: expected a video that FFmpeg can read, got an unreadable one ({reason})")


def _stream_options(address: str, is_live: bool) -> dict[str, str]:
    scheme = address.partition("://")[0].lower()
    if scheme in ("rtsp", "rtsps"):
        return {"rtsp_transport": "tcp", "fflags": "nobuffer"}  # UDP loses packets, and many networks block it
    if scheme in ("http", "https") and not is_live:
        return {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "5"}
    return {"fflags": "nobuffer"} if is_live else {}


def _hardware(hwaccel: str) -> Any:
    try:
        from av.codec.hwaccel import HWAccel, hwdevices_available
    except ImportError as error:
        raise ValueError("--hwaccel: expected PyAV 14.1 or later; pip install -U av") from error
    available = hwdevices_available()
    if hwaccel not in available:
        raise ValueError(
            f"--hwaccel: expected one of {', '.join(available) or 'none'} in this FFmpeg, got {hwaccel!r:.80}"
        )
    try:
        return HWAccel(device_type=hwaccel, allow_software_fallback=False)
    except (av.FFmpegError, RuntimeError, ValueError) as error:
        raise ValueError(f"--hwaccel: expected a device for {hwaccel}, got: {error}") from error
