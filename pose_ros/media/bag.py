"""The camera images in a rosbag2, read without ROS."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
STORAGE_SUFFIXES = (".mcap", ".db3")
_RATE_SAMPLE = 50
_NS = 1_000_000_000


@dataclass(frozen=True)
class RecordedMessage:
    """One message as it lies in the bag.

    Attributes:
        topic: Its topic.
        type_name: Its type, e.g. ``"sensor_msgs/msg/Image"``.
        received_ns: When the recorder got it, ns.
        data: The serialised message (CDR), which begins with a ``std_msgs/Header``.
    """

    topic: str
    type_name: str
    received_ns: int
    data: bytes

    @property
    def stamp_ns(self) -> int:
        """The stamp in its header, ns."""
        sec, nanosec = struct.unpack_from(self._order + "iI", self.data, 4)
        return int(sec) * _NS + int(nanosec)

    @property
    def frame_id(self) -> str:
        """The frame in its header."""
        (length,) = struct.unpack_from(self._order + "I", self.data, 12)
        return self.data[16 : 16 + length].rstrip(b"\0").decode()

    def with_stamp(self, stamp_ns: int) -> RecordedMessage:
        """The same message with another stamp in its header."""
        stamp = struct.pack(self._order + "iI", *divmod(stamp_ns, _NS))
        return replace(self, data=self.data[:4] + stamp + self.data[12:])

    @property
    def _order(self) -> str:
        """Order of the bytes of numbers: the second byte of a message tells it."""
        return "<" if self.data[1] & 1 else ">"


class Bag:
    """The images of one topic of a rosbag2, and the calibration of their camera.

    Attributes:
        path: The folder, or its .mcap or .db3 file.
        image_topic: Topic of the images.
        image_type: Type of that topic.
        camera_info_topic: Topic of the calibration beside it, or None.
        count: Number of images.

    Raises:
        FileNotFoundError: If there is no such bag.
        ValueError: If it cannot be read, or has no such topic, or several and none is chosen.
    """

    def __init__(self, path: str | Path, topic: str | None = None) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"bag: expected a rosbag2, got {path}, which does not exist")
        with self._opened() as reader:
            connections = list(reader.connections)
        types = {connection.topic: connection.msgtype for connection in connections}
        self.image_topic = _image_topic(self.path, types, topic)
        self.count = sum(c.msgcount for c in connections if c.topic == self.image_topic)
        self.image_type = types[self.image_topic]
        sibling = camera_info_topic(self.image_topic)
        self.camera_info_topic = sibling if types.get(sibling) == CAMERA_INFO else None

    def messages(self, topics: Collection[str]) -> Iterator[RecordedMessage]:
        """The messages of some topics, in the order of their recording.

        Raises:
            ValueError: When it comes to a part that cannot be read.
        """
        with self._opened() as reader:
            chosen = [connection for connection in reader.connections if connection.topic in topics]
            for connection, received_ns, data in reader.messages(chosen):
                yield RecordedMessage(connection.topic, connection.msgtype, received_ns, bytes(data))

    def deserialised(self, message: RecordedMessage) -> Any:
        """A message as an object with the fields of its ROS type."""
        from rosbags.typesys import Stores, get_typestore

        return get_typestore(Stores.ROS2_JAZZY).deserialize_cdr(message.data, message.type_name)

    def rate_hz(self) -> float | None:
        """Images per second at the beginning of the bag; None with fewer than two."""
        times = [message.received_ns for message in islice(self.messages([self.image_topic]), _RATE_SAMPLE)]
        return 1e9 * (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else None

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        from rosbags.rosbag2 import Reader

        try:
            with Reader(self.path) as reader:
                yield reader
        except Exception as error:  # besides its own, those of sqlite, struct, YAML and the decompressors
            raise ValueError(f"bag {self.path}: expected a readable rosbag2, got: {error or repr(error)}") from error


def stamp_ns(header: Any) -> int:
    """Return the stamp of a ``std_msgs/Header``, or of an object with its fields, ns."""
    return int(header.stamp.sec) * _NS + int(header.stamp.nanosec)


def is_bag(path: Path) -> bool:
    """Whether a path looks like a rosbag2: its folder, or its .mcap or .db3 file."""
    return (path / "metadata.yaml").is_file() or path.suffix in STORAGE_SUFFIXES


def camera_info_topic(image_topic: str) -> str:
    """Where the calibration of an image topic belongs: beside it; ``a/image/compressed`` counts as ``a/image``."""
    namespace, slash, _ = image_topic.removesuffix("/compressed").rpartition("/")
    return f"{namespace}{slash}camera_info"


def _image_topic(path: Path, types: dict[str, str], wanted: str | None) -> str:
    images = sorted(topic for topic, type_name in types.items() if type_name in (IMAGE, COMPRESSED_IMAGE))
    if wanted is not None:
        images = [topic for topic in images if topic.lstrip("/") == wanted.lstrip("/")]
    if len(images) == 1:
        return images[0]
    expected = "one image topic" if wanted is None else f"the image topic {wanted}"
    listed = ", ".join(f"{topic} ({type_name})" for topic, type_name in sorted(types.items())) or "no topics at all"
    advice = "; choose one with --topic" if len(images) > 1 else ""
    raise ValueError(f"bag {path}: expected {expected}, got {listed}{advice}")
