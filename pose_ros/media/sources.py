"""Read frames from videos, cameras, images, folders of images and rosbag2. Needs no ROS."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2

from pose_ros.arrays import Image
from pose_ros.file_kind import MEDIA, FileKind, describe_kind, identify_file
from pose_ros.media.bag import Bag
from pose_ros.media.bag_folder import METADATA, is_bag
from pose_ros.media.decoding import MAX_IMAGE_MB, MEGABYTE, check_image, read_image
from pose_ros.media.even_rate import find_even_rate
from pose_ros.media.image_messages import Converter, decode_message, no_converter, to_bgr
from pose_ros.media.natural_order import natural_key
from pose_ros.media.quiet_codecs import hide_codec_lines
from pose_ros.media.recorded_message import RecordedMessage

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),
    *(".jfif", ".jpe", ".jp2", ".j2k", ".avif", ".gif", ".pnm", ".pbm"),
)
"""Suffixes of the images in a folder. A file without a suffix is an image if its content is one."""
FOLDER_RATE_HZ = 10.0
"""Frame rate of a folder of images, frames per second."""
_FALLBACK_RATE_HZ = 30.0
_RATE_SAMPLE = 2000  # packets
_JPEG_STREAMS = (".mjpg", ".mjpeg")
_NS = 1_000_000_000
_SEEK_EARLY_MS = 1000.0
"""A search in a video ends early by this time, because the frame rate of some files is a guess."""

OnBroken = Callable[[Exception], None]
"""Called with the error of an image that cannot be read. The source goes on with the next one unless it raises."""


def raise_error(error: Exception) -> None:
    """Raise an error: a source stops at the first broken image."""
    raise error


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    Attributes:
        image_bgr: Image, (H, W, 3) BGR or grey (H, W).
        index: Position in the source, from 0.
        name: File name, or ``<source>_<index>``.
        stamp_ns: Stamp of the message header in a bag, otherwise time since the first frame, ns.
        frame_id: Frame id of the message header in a bag, otherwise empty.
    """

    image_bgr: Image
    index: int
    name: str
    stamp_ns: int
    frame_id: str = ""


class Source(ABC):
    """Sequence of frames that can be read several times. Errors name the file.

    Attributes:
        path: File or folder.
        on_broken: Called for each image that cannot be read. Its index is left out.
        count: Number of frames, None = unknown. For a video, the number in the file header.
        rate_hz: Frames per second.
    """

    path: Path
    count: int | None
    rate_hz: float
    on_broken: OnBroken = staticmethod(raise_error)

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    def even_rate_hz(self) -> float:
        """Return the even frame rate at which each frame keeps its time, frames per second."""
        return self.rate_hz


def open_source(
    path: str | Path,
    *,
    topic: str | None = None,
    convert: Converter = no_converter,
    on_broken: OnBroken = raise_error,
) -> Source:
    """Open a source of frames.

    Args:
        path: Video, image, folder of images, rosbag2 (folder, .mcap or .db3) or camera number.
        topic: Image topic of a bag. Not needed if the bag has only one.
        convert: Called for images of a bag with an unsupported encoding, see ``decode_message``.
        on_broken: Called for each image that cannot be read.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If the source cannot be read or has no images.
    """
    is_camera = str(path).isdecimal() and not Path(path).exists()
    path = Path(path)
    if is_camera:
        return Video(path, device=int(path.name))
    if not path.exists():
        raise FileNotFoundError(f"source: expected a video, image, folder or bag, got {path}, which does not exist")
    if path.is_dir():
        return _open_folder(path, topic, convert, on_broken)
    kind = identify_file(path) if path.is_file() else FileKind.UNKNOWN  # reading from a pipe would take its data
    if is_bag(path):
        return BagImages(Bag(path, topic), convert, on_broken)
    if kind is FileKind.IMAGE and path.suffix.lower() not in _JPEG_STREAMS:
        return ImageFiles([path], path, on_broken=on_broken)
    if kind not in (*MEDIA, FileKind.EMPTY):
        raise ValueError(f"source {path}: expected a video, image, folder or bag, got {describe_kind(kind)}")
    if kind is FileKind.UNKNOWN and path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFiles([path], path, on_broken=on_broken)
    if kind is FileKind.ANIMATION:
        check_image(path)  # read as a video for its frames, but FFmpeg does not limit their size
    return Video(path)


def _open_folder(path: Path, topic: str | None, convert: Converter, on_broken: OnBroken) -> Source:
    """Open a folder: a bag if it has a metadata.yaml, else its images, else a bag without metadata.yaml."""
    if (path / METADATA).is_file() or (not _list_images(path) and is_bag(path)):
        return BagImages(Bag(path, topic), convert, on_broken)
    return ImageFiles(images_in(path), path, on_broken=on_broken)


class Video(Source):
    """Video file, or camera with a number.

    Raises:
        ValueError: If OpenCV cannot read it, or its frames are too large.
    """

    def __init__(self, path: Path, device: int | None = None) -> None:
        self.path = path
        self._device = device
        capture = self._open_capture()
        frame_count, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        capture.release()
        self.count = int(frame_count) if frame_count > 0 and device is None else None
        self.rate_hz = rate if math.isfinite(rate) and 0 < rate <= 1000 else _FALLBACK_RATE_HZ

    def __iter__(self) -> Iterator[Frame]:
        frames = self.frames_from(0)
        first = next(frames, None)
        if first is None:
            raise ValueError(f"video {self.path}: expected frames, got none that can be decoded")
        yield first
        yield from frames

    def frames_from(self, start_ns: int) -> Iterator[Frame]:
        """Iterate over the frames from a time on. They count from 0.

        The search for the start uses the index of the file. A damaged or missing index leads to another start, or to
        images that differ from those of an iteration from the first frame.

        Args:
            start_ns: Stamp from which on frames are returned, ns.
        """
        capture, index, last_ns = self._open_capture(), 0, -1
        try:
            ok, image, first_ns = _read_frame(capture)
            if start_ns > 0 and ok:
                capture.set(cv2.CAP_PROP_POS_MSEC, max(start_ns / 1e6 - _SEEK_EARLY_MS, 0))
                ok, image, time_ns = _read_frame(capture)
            else:
                time_ns = first_ns
            while ok:
                last_ns = self._frame_time(time_ns - first_ns, last_ns)
                if last_ns >= start_ns:
                    yield Frame(image, index, frame_name(self.path, index), last_ns)
                    index += 1
                ok, image, time_ns = _read_frame(capture)
        finally:
            capture.release()

    def even_rate_hz(self) -> float:
        """Return the even frame rate at which each frame keeps its time, frames per second."""
        return self.rate_hz if self._device is not None else find_even_rate(self._packet_times(), self.rate_hz)

    def _packet_times(self) -> list[float]:
        """Return the times of the first packets, s. They are not decoded. Without FFmpeg, the list is empty."""
        capture = cv2.VideoCapture(str(self.path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        try:
            packets = islice(iter(capture.grab, False), _RATE_SAMPLE)
            return sorted(capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3 for _ in packets)
        finally:
            capture.release()

    def _frame_time(self, time_ns: int, last_ns: int) -> int:
        """Return the time of a frame. If the file gives none, return one interval after the last frame."""
        return time_ns if time_ns > last_ns else last_ns + round(_NS / self.rate_hz)

    def _open_capture(self) -> Any:
        # FFmpeg takes the start of a relative name such as 12:30.mp4 for a protocol.
        name = str(self.path.absolute()) if self._device is None else self._device
        with hide_codec_lines():
            capture = cv2.VideoCapture(name)
        if not capture.isOpened():
            raise ValueError(f"video {self.path}: expected a video that OpenCV can read, got an unreadable one")
        width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if 3 * width * height > MAX_IMAGE_MB * MEGABYTE:
            capture.release()
            raise ValueError(
                f"video {self.path}: expected frames of at most {MAX_IMAGE_MB} MB, got {width} x {height} px"
            )
        return capture


class ImageFiles(Source):
    """Image files as frames at a fixed rate."""

    def __init__(
        self,
        files: Sequence[Path],
        path: Path,
        rate_hz: float = FOLDER_RATE_HZ,
        on_broken: OnBroken = raise_error,
    ) -> None:
        self.path = path
        self.on_broken = on_broken
        self.files = files
        self.count = len(files)
        self.rate_hz = rate_hz

    def __iter__(self) -> Iterator[Frame]:
        for index, file in enumerate(self.files):
            try:
                image = read_image(file)
            except (ValueError, OSError) as error:
                self.on_broken(error)
                continue
            yield Frame(image, index, file.name, round(index * _NS / self.rate_hz))


class BagImages(Source):
    """Images of a rosbag2."""

    def __init__(self, bag: Bag, convert: Converter = no_converter, on_broken: OnBroken = raise_error) -> None:
        self.bag = bag
        self.on_broken = on_broken
        self.path = bag.path
        self.count = bag.count
        self.rate_hz = bag.rate_hz() or FOLDER_RATE_HZ
        self._convert = convert

    def even_rate_hz(self) -> float:
        """Return the even frame rate at which each frame keeps its time, frames per second."""
        return find_even_rate(self.bag.first_times_s(), self.rate_hz)

    def __iter__(self) -> Iterator[Frame]:
        for index, recorded in enumerate(self.bag.messages([self.bag.image_topic], self.on_broken)):
            try:
                frame = self.read_frame(recorded, index)
            except ValueError as error:
                self.on_broken(error)
                continue
            yield frame

    def read_frame(self, recorded: RecordedMessage, index: int) -> Frame:
        """Decode an image of the bag.

        Args:
            recorded: The message.
            index: Its position among the images.

        Raises:
            ValueError: If the message is damaged, or is not a colour image.
        """
        try:
            message = self.bag.deserialise(recorded)
            image, name = to_bgr(*decode_message(message, self._convert)), frame_name(self.path, index)
        except ValueError as error:
            raise ValueError(self.explain_broken(index, error)) from error
        return Frame(image, index, name, recorded.stamp_ns, message.header.frame_id)

    def explain_broken(self, index: int, reason: object) -> str:
        """Return the message of the error of an image that cannot be read.

        Args:
            index: Its position among the images.
            reason: Why it cannot be read.
        """
        return f"bag {self.path}, image {index} of {self.bag.image_topic}: {reason}"


def frame_name(path: Path, index: int) -> str:
    """Return the name of a frame of a video or bag.

    Args:
        path: The source.
        index: Position of the frame in the source, from 0.
    """
    return f"{path.stem}_{index:06d}"


def images_in(folder: Path) -> list[Path]:
    """List the image files of a folder, ``2.png`` before ``10.png``.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If the folder has no images.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"folder: expected a folder of images, got {folder}, which is not a folder")
    files = _list_images(folder)
    if not files:
        raise ValueError(f"folder {folder}: expected images ({', '.join(IMAGE_SUFFIXES)}), got none")
    return sorted(files, key=natural_key)


def _read_frame(capture: Any) -> tuple[bool, Image, int]:
    """Read the next frame of a video. Return whether there is one, the image, and its time, ns."""
    with hide_codec_lines():
        ok, image = capture.read()
    return ok, image, round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)


def _list_images(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.name[0] != "." and _is_image(file) and not file.is_dir()]


def _is_image(file: Path) -> bool:
    if file.suffix:
        return file.suffix.lower() in IMAGE_SUFFIXES
    return file.is_file() and identify_file(file) is FileKind.IMAGE
