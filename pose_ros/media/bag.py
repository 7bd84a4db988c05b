"""Read the camera images of a rosbag2 without ROS."""

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
_LATCHED = ("/tf_static", "/robot_description")
_RATE_SAMPLE = 50
_NS = 1_000_000_000


@dataclass(frozen=True)
class RecordedMessage:
    """Serialised message of a bag.

    Attributes:
        topic: Topic of the message.
        type_name: Type of the message, e.g. ``"sensor_msgs/msg/Image"``.
        received_ns: Time at which the recorder received the message, ns.
        data: Serialised message (CDR). It starts with a ``std_msgs/Header``.
    """

    topic: str
    type_name: str
    received_ns: int
    data: bytes

    @property
    def stamp_ns(self) -> int:
        """Stamp in the header, ns."""
        sec, nanosec = struct.unpack_from(self._byte_order + "iI", self.data, 4)
        return int(sec) * _NS + int(nanosec)

    @property
    def frame_id(self) -> str:
        """Frame id in the header."""
        (length,) = struct.unpack_from(self._byte_order + "I", self.data, 12)
        return self.data[16 : 16 + length].rstrip(b"\0").decode()

    def with_stamp(self, stamp_ns: int) -> RecordedMessage:
        """Return the same message with another stamp in its header."""
        stamp = struct.pack(self._byte_order + "iI", *divmod(stamp_ns, _NS))
        return replace(self, data=self.data[:4] + stamp + self.data[12:])

    @property
    def _byte_order(self) -> str:
        """Byte order of numbers, from the second byte of the message."""
        return "<" if self.data[1] & 1 else ">"


class Bag:
    """Images of one topic of a rosbag2, and the calibration of their camera.

    Attributes:
        path: Folder of the bag, or its .mcap or .db3 file.
        image_topic: Topic of the images.
        image_type: Type of that topic.
        camera_info_topic: Topic of the calibration in the same namespace, or None.
        count: Number of images.
        types: Type of each topic.
        latched_topics: Topics that were recorded from a publisher with transient local durability.

    Raises:
        FileNotFoundError: If the bag does not exist.
        ValueError: If the bag cannot be read, lacks the topic, or has several image topics and none is selected.
    """

    def __init__(self, path: str | Path, topic: str | None = None) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"bag: expected a rosbag2, got {path}, which does not exist")
        with self._open_reader() as reader:
            connections = list(reader.connections)
        self.types = types = {connection.topic: connection.msgtype for connection in connections}
        self.latched_topics = {connection.topic for connection in connections if _is_latched(connection)}
        self.image_topic = _find_image_topic(self.path, types, topic)
        self.count = sum(c.msgcount for c in connections if c.topic == self.image_topic)
        self.image_type = types[self.image_topic]
        sibling = camera_info_topic(self.image_topic)
        self.camera_info_topic = sibling if types.get(sibling) == CAMERA_INFO else None

    def messages(self, topics: Collection[str]) -> Iterator[RecordedMessage]:
        """Iterate over the messages of some topics in recorded order.

        Raises:
            ValueError: If a part of the bag cannot be read. Raised when the iteration reaches this part.
        """
        with self._open_reader() as reader:
            chosen = [connection for connection in reader.connections if connection.topic in topics]
            for connection, received_ns, data in reader.messages(chosen):
                yield RecordedMessage(connection.topic, connection.msgtype, received_ns, bytes(data))

    def deserialise(self, message: RecordedMessage) -> Any:
        """Convert a message to an object with the fields of its ROS type.

        Raises:
            ValueError: If the message is damaged.
        """
        from rosbags.typesys import Stores, get_typestore

        try:
            return get_typestore(Stores.ROS2_JAZZY).deserialize_cdr(message.data, message.type_name)
        except Exception as error:  # also errors of struct, NumPy and Unicode
            raise ValueError(f"message: expected a {message.type_name}, got {error!r}") from error

    def rate_hz(self) -> float | None:
        """Return the images per second at the start of the bag, or None with fewer than two images."""
        times = [message.received_ns for message in islice(self.messages([self.image_topic]), _RATE_SAMPLE)]
        return 1e9 * (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else None

    @contextmanager
    def _open_reader(self) -> Iterator[Any]:
        from rosbags.rosbag2 import Reader

        try:
            with Reader(self.path) as reader:
                yield reader
        except Exception as error:  # also errors of sqlite, struct, YAML and the decompressors
            raise ValueError(f"bag {self.path}: expected a readable rosbag2, got: {error or repr(error)}") from error


def is_bag(path: Path) -> bool:
    """Whether a path looks like a rosbag2: a folder with metadata.yaml, or an .mcap or .db3 file."""
    return (path / "metadata.yaml").is_file() or path.suffix in STORAGE_SUFFIXES


def camera_info_topic(image_topic: str) -> str:
    """Return the calibration topic that belongs to an image topic. ``a/image/compressed`` counts as ``a/image``."""
    namespace, slash, _ = image_topic.removesuffix("/compressed").rpartition("/")
    return f"{namespace}{slash}camera_info"


def _is_latched(connection: Any) -> bool:
    """Whether a topic is latched by its recorded QoS. Some recorders write none, so well-known names count, too."""
    profiles = connection.ext.offered_qos_profiles
    return connection.topic in _LATCHED or any(profile.durability.name == "TRANSIENT_LOCAL" for profile in profiles)


def _find_image_topic(path: Path, types: dict[str, str], wanted: str | None) -> str:
    images = sorted(topic for topic, type_name in types.items() if type_name in (IMAGE, COMPRESSED_IMAGE))
    if wanted is not None:
        images = [topic for topic in images if topic.lstrip("/") == wanted.lstrip("/")]
    if len(images) == 1:
        return images[0]
    expected = "one image topic" if wanted is None else f"the image topic {wanted}"
    listed = ", ".join(f"{topic} ({type_name})" for topic, type_name in sorted(types.items())) or "no topics"
    advice = "; choose one with --topic" if len(images) > 1 else ""
    raise ValueError(f"bag {path}: expected {expected}, got {listed}{advice}")
