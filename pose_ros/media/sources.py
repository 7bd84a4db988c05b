"""Read frames from videos, streams, cameras, images, folders of images and rosbag2. Needs no ROS."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pose_ros.arrays import Image
from pose_ros.file_kind import MEDIA, FileKind, describe_kind, identify_file
from pose_ros.media.addresses import FILE_SCHEMES, check_address, hide_secrets, is_address, is_device
from pose_ros.media.bag import Bag
from pose_ros.media.bag_folder import METADATA, is_bag
from pose_ros.media.capture import Capture
from pose_ros.media.decoding import check_image, read_image
from pose_ros.media.even_rate import find_even_rate
from pose_ros.media.image_messages import Converter, decode_message, no_converter, to_bgr
from pose_ros.media.live_stream import DEFAULT_PATIENCE_S, LatestFrames, OnInterruption
from pose_ros.media.natural_order import natural_key
from pose_ros.media.recorded_message import RecordedMessage
from pose_ros.media.video_library import open_capture

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),
    *(".jfif", ".jpe", ".jp2", ".j2k", ".avif", ".gif", ".pnm", ".pbm"),
)
"""Suffixes of the images in a folder. A file without a suffix is an image if its content is one."""
FOLDER_RATE_HZ = 10.0
"""Frame rate of a folder of images, frames per second."""
_JPEG_STREAMS = (".mjpg", ".mjpeg")
_STREAM = "stream"
_CAMERA_ADVICE = "plug the camera in, look for it in /dev/video*, and join the group video: sudo adduser $USER video"
_NS = 1_000_000_000
_SEEK_EARLY_NS = _NS
"""A search in a video ends early by this time, because the frame rate of some files is a guess."""

OnBroken = Callable[[Exception], None]
"""Called with the error of an image that cannot be read. The source goes on with the next one unless it raises."""


def ignore_line(line: str) -> None:
    """Ignore a line of a source."""


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
        name: Name for people: the path, or the address without passwords.
        path: File or folder. None for a stream or camera.
        on_broken: Called for each image that cannot be read. Its index is left out.
        count: Number of frames, None = unknown. For a video, the number in the file header.
        rate_hz: Frames per second.
    """

    name: str
    path: Path | None
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
    notify: OnInterruption = ignore_line,
    hwaccel: str = "",
    reconnect_s: float = DEFAULT_PATIENCE_S,
) -> Source:
    """Open a source of frames.

    An address with a known duration is read like a file, from start to end. Of a live stream, only the newest frame is
    read.

    Args:
        path: Video, image, folder of images, rosbag2 (folder, .mcap or .db3), camera (number or /dev/video0), or an
            address, such as rtsp:// or http://.
        topic: Image topic of a bag. Not needed if the bag has only one.
        convert: Called for images of a bag with an unsupported encoding, see ``decode_message``.
        on_broken: Called for each image that cannot be read.
        notify: Called with a line for each interruption of a live stream.
        hwaccel: Hardware decoder of a video or stream, see ``open_capture``.
        reconnect_s: Time without a frame after which a live stream has ended, s. 0 = do not reconnect.

    Raises:
        FileNotFoundError: If the path does not exist.
        OSError: If a stream or camera cannot be reached.
        ValueError: If the source cannot be read or has no images.
    """
    text = str(path)
    if isinstance(path, str) and is_address(text):
        return _open_address(text, notify, hwaccel, reconnect_s)
    if is_device(text) and (text.startswith("/dev/") or not Path(text).exists()):
        try:
            return LiveStream(text, f"camera {text}", notify, hwaccel, reconnect_s)
        except ConnectionError as error:
            raise ConnectionError(f"{error}; {_CAMERA_ADVICE}") from error
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"source: expected a video, image, folder or bag, got {hide_secrets(str(path))}, which does not exist"
        )
    if path.is_dir() or is_bag(path):
        return _open_folder(path, topic, convert, on_broken)
    return _open_file(path, on_broken, hwaccel)


def check_topic(source: Source, topic: str | None, option: str) -> None:
    """Raise ValueError if a topic is given for a source that is no bag: it would have no effect."""
    if topic is not None and not isinstance(source, BagImages):
        raise ValueError(f"{option}: expected a bag, got {source.name}")


def _open_file(path: Path, on_broken: OnBroken, hwaccel: str) -> Source:
    kind = identify_file(path) if path.is_file() else FileKind.UNKNOWN  # reading from a pipe would take its data
    if kind is FileKind.IMAGE and path.suffix.lower() not in _JPEG_STREAMS:
        return ImageFiles([path], path, on_broken=on_broken)
    if kind not in (*MEDIA, FileKind.EMPTY):
        raise ValueError(f"source {path}: expected a video, image, folder or bag, got {describe_kind(kind)}")
    if kind is FileKind.UNKNOWN and path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFiles([path], path, on_broken=on_broken)
    if kind is FileKind.ANIMATION:
        check_image(path)  # read as a video for its frames, but FFmpeg does not limit their size
    return Video(path, hwaccel)


def _open_address(address: str, notify: OnInterruption, hwaccel: str, reconnect_s: float) -> Source:
    name = hide_secrets(address)
    if check_address(address) in FILE_SCHEMES:
        with closing(open_capture(address, name, hwaccel=hwaccel)) as capture:
            if not capture.is_endless:
                return RemoteVideo(address, name, capture, hwaccel)
    return LiveStream(address, name, notify, hwaccel, reconnect_s)


def _open_folder(path: Path, topic: str | None, convert: Converter, on_broken: OnBroken) -> Source:
    """Open a bag or a folder: a bag if it has a metadata.yaml, else its images, else a bag without metadata.yaml."""
    if path.is_file() or (path / METADATA).is_file() or (not _list_images(path) and is_bag(path)):
        return BagImages(Bag(path, topic), convert, on_broken)
    return ImageFiles(images_in(path), path, on_broken=on_broken)


class Video(Source):
    """Video file.

    Attributes:
        metadata: Texts of the container, such as ``creation_time``. Without PyAV, it is empty.

    Raises:
        ValueError: If it cannot be read, or its frames are too large.
    """

    def __init__(self, path: Path, hwaccel: str = "") -> None:
        self.path, self.name = path, str(path)
        # FFmpeg takes the start of a relative name such as 12:30.mp4 for a protocol.
        self._prepare(str(path.absolute()), path.stem, hwaccel)
        with closing(self._open()) as capture:
            self._describe(capture)

    def _prepare(self, address: str, stem: str, hwaccel: str) -> None:
        self._stem = stem
        self._open = partial(open_capture, address, self.name, hwaccel=hwaccel)

    def _describe(self, capture: Capture) -> None:
        self.count, self.rate_hz, self.metadata = capture.count, capture.rate_hz, capture.metadata

    def __iter__(self) -> Iterator[Frame]:
        frames = self.frames_from(0)
        first = next(frames, None)
        if first is None:
            raise ValueError(f"video {self.name}: expected frames, got none that can be decoded")
        yield first
        yield from frames

    def frames_from(self, start_ns: int) -> Iterator[Frame]:
        """Iterate over the frames from a time on. They count from 0.

        The search for the start uses the index of the file. A damaged or missing index leads to another start, or to
        images that differ from those of an iteration from the first frame.

        Args:
            start_ns: Stamp from which on frames are returned, ns.
        """
        index, last_ns = 0, -1
        with closing(self._open()) as capture:
            item = capture.read()
            first_ns = item.time_ns or 0 if item is not None else 0
            if start_ns > 0 and item is not None:
                capture.seek(first_ns + max(start_ns - _SEEK_EARLY_NS, 0))
                item = capture.read()
            while item is not None:
                last_ns = self._frame_time((item.time_ns or 0) - first_ns, last_ns)
                if last_ns >= start_ns:
                    yield Frame(item.image_bgr, index, frame_name(self._stem, index), last_ns)
                    index += 1
                item = capture.read()

    def even_rate_hz(self) -> float:
        """Return the even frame rate at which each frame keeps its time, frames per second."""
        with closing(self._open()) as capture:
            return find_even_rate(capture.packet_times_s(), self.rate_hz)

    def _frame_time(self, time_ns: int, last_ns: int) -> int:
        """Return the time of a frame. If the file gives none, return one interval after the last frame."""
        return time_ns if time_ns > last_ns else last_ns + round(_NS / self.rate_hz)


class RemoteVideo(Video):
    """Video at an address, read from start to end."""

    def __init__(self, address: str, name: str, capture: Capture, hwaccel: str) -> None:
        self.path, self.name = None, name
        self._prepare(address, _STREAM, hwaccel)
        self._describe(capture)


class LiveStream(Source):
    """Live stream or camera. Only its newest frames are read. It reconnects after an interruption.

    Attributes:
        dropped: Number of frames that were left out in the last iteration, because newer ones were there.

    Raises:
        OSError: If it cannot be reached.
        ValueError: If it cannot be read, or its frames are too large.
    """

    def __init__(self, address: str, name: str, notify: OnInterruption, hwaccel: str, reconnect_s: float) -> None:
        self.path, self.name, self.count = None, name, None
        self._notify, self._reconnect_s = notify, reconnect_s
        self._open = partial(open_capture, address, name, is_live=True, hwaccel=hwaccel)
        self._capture: Capture | None = self._open()
        self.rate_hz = self._capture.rate_hz
        self.dropped = 0

    def __iter__(self) -> Iterator[Frame]:
        capture, self._capture = self._capture, None
        latest = LatestFrames(self.name, capture, self._open, self._notify, self._reconnect_s)
        try:
            for index, frame in enumerate(latest):
                self.dropped = latest.dropped
                yield Frame(frame.image_bgr, index, f"{_STREAM}_{index:06d}", frame.stamp_ns)
        finally:
            latest.close()


class ImageFiles(Source):
    """Image files as frames at a fixed rate."""

    def __init__(
        self,
        files: Sequence[Path],
        path: Path,
        rate_hz: float = FOLDER_RATE_HZ,
        on_broken: OnBroken = raise_error,
    ) -> None:
        self.path, self.name = path, str(path)
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
        self.path, self.name = bag.path, str(bag.path)
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
            image, name = to_bgr(*decode_message(message, self._convert)), frame_name(self.bag.path.stem, index)
        except ValueError as error:
            raise ValueError(self.explain_broken(index, error)) from error
        return Frame(image, index, name, recorded.stamp_ns, message.header.frame_id)

    def explain_broken(self, index: int, reason: object) -> str:
        """Return the message of the error of an image that cannot be read.

        Args:
            index: Its position among the images.
            reason: Why it cannot be read.
        """
        return f"bag {self.name}, image {index} of {self.bag.image_topic}: {reason}"


def frame_name(stem: str, index: int) -> str:
    """Return the name of a frame of a video, stream or bag.

    Args:
        stem: Name of the source without its suffix.
        index: Position of the frame in the source, from 0.
    """
    return f"{stem}_{index:06d}"


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


def _list_images(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.name[0] != "." and _is_image(file) and not file.is_dir()]


def _is_image(file: Path) -> bool:
    if file.suffix:
        return file.suffix.lower() in IMAGE_SUFFIXES
    return file.is_file() and identify_file(file) is FileKind.IMAGE
