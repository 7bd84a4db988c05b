"""Message of a recording, and its type names."""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
_NS = 1_000_000_000
_TRANSIENT_LOCAL = re.compile(r"\bdurability\W+(1|transient_local)\b")


@dataclass(frozen=True)
class RecordedMessage:
    """Serialised message of a bag.

    Attributes:
        topic: Topic of the message.
        type_name: Type of the message, e.g. ``"sensor_msgs/msg/Image"``.
        received_ns: Time at which the recorder received the message, ns.
        data: Serialised message (CDR). It starts with a ``std_msgs/Header``.
        fault: Why the message could not be converted to CDR. ``data`` is empty then.
    """

    topic: str
    type_name: str
    received_ns: int
    data: bytes
    fault: str = ""

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
        if self.fault:
            raise ValueError(self.fault)
        return "<" if self.data[1] & 1 else ">"


def is_latched(qos_profiles: Any) -> bool:
    """Return whether one of the recorded QoS profiles has transient local durability.

    Args:
        qos_profiles: Entry ``offered_qos_profiles`` of a bag: YAML text, or the list that YAML made of it.
    """
    return _TRANSIENT_LOCAL.search(str(qos_profiles)) is not None


class BagFile(Protocol):
    """One storage file of a bag.

    Attributes:
        types: Type of each topic.
        latched: Topics that were recorded from a publisher with transient local durability.
    """

    types: dict[str, str]
    latched: set[str]

    def count(self, topic: str) -> int:
        """Return the number of messages of a topic."""

    def messages(self, topics: Collection[str], since_ns: int = 0) -> Iterator[RecordedMessage]:
        """Iterate over the messages of some topics that were received since a time, by time.

        Raises:
            ValueError: After all messages that can be read, if a part of the file cannot.
        """
