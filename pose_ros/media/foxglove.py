"""Convert messages of an MCAP file to ROS messages. Foxglove has its own types of images, in three encodings.

References:
    foxglove/foxglove-sdk, schemas CompressedImage and RawImage (names and numbers of the fields).
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pose_ros.media.recorded_message import COMPRESSED_IMAGE, IMAGE, RecordedMessage
from pose_ros.protobuf import Kind, Schema, parse

_TYPES = {"CompressedImage": COMPRESSED_IMAGE, "RawImage": IMAGE}
_PACKAGES = ("foxglove", "foxglove_msgs")
_TIMESTAMP: Schema = {1: ("sec", Kind.INTEGER), 2: ("nsec", Kind.INTEGER)}
_COMPRESSED: Schema = {
    1: ("timestamp", _TIMESTAMP),
    2: ("data", Kind.BYTES),
    3: ("format", Kind.TEXT),
    4: ("frame_id", Kind.TEXT),
}
_RAW: Schema = {
    1: ("timestamp", _TIMESTAMP),
    2: ("width", Kind.FLOAT),  # fixed32, see _from_protobuf
    3: ("height", Kind.FLOAT),
    4: ("encoding", Kind.TEXT),
    5: ("step", Kind.FLOAT),
    6: ("data", Kind.BYTES),
    7: ("frame_id", Kind.TEXT),
}
_SCHEMAS = {COMPRESSED_IMAGE: _COMPRESSED, IMAGE: _RAW}
_ORDER = {COMPRESSED_IMAGE: ("data", "format"), IMAGE: ("width", "height", "encoding", "step", "data")}
"""Fields after time and frame in the ROS 2 definitions of Foxglove's types."""
_TEXTS, _NUMBERS = ("frame_id", "format", "encoding"), ("width", "height", "step")


@dataclass(frozen=True)
class Conversion:
    """Conversion of the messages of one channel.

    Attributes:
        type_name: ROS type, or the type of the channel if it cannot be converted.
        read: Returns the fields of a Foxglove message. None = the data are a ROS message already.
    """

    type_name: str
    read: Callable[[bytes, str], dict[str, Any]] | None = None

    def convert(self, topic: str, received_ns: int, data: bytes) -> RecordedMessage:
        """Make the ROS message. Its ``fault`` is set if the data are damaged."""
        if self.read is None:
            return RecordedMessage(topic, self.type_name, received_ns, data)
        try:
            return RecordedMessage(topic, self.type_name, received_ns, _to_cdr(self.read(data, self.type_name)))
        except Exception as error:  # of JSON, base64, struct, Unicode and missing fields
            fault = f"message: expected a Foxglove image, got {error!r}"
            return RecordedMessage(topic, self.type_name, received_ns, b"", fault)


def find_conversion(schema: str, encoding: str) -> Conversion:
    """Return the conversion of a channel.

    Args:
        schema: Name of the type, e.g. ``"foxglove.CompressedImage"`` or ``"sensor_msgs/msg/Image"``.
        encoding: Encoding of the messages: ``"cdr"``, ``"protobuf"``, ``"json"``, …
    """
    package, _, name = schema.replace("::", "/").replace(".", "/").partition("/")
    type_name = _TYPES.get(name.rpartition("/")[2]) if package in _PACKAGES else None
    if type_name is not None and encoding in _READERS:
        return Conversion(type_name, _READERS[encoding])
    return Conversion(schema if encoding == "cdr" else f"{schema} in {encoding or 'no'} encoding")


def _from_protobuf(data: bytes, type_name: str) -> dict[str, Any]:
    found = parse(data, _SCHEMAS[type_name])
    values = {name: content[-1] for name, content in found.items() if content}
    time = values.get("timestamp", {})
    for name in _NUMBERS:
        if name in values:
            values[name] = int(values[name].view("<u4")[-1])
    return {**values, "stamp": (_last(time, "sec"), _last(time, "nsec"))}


def _last(message: dict[str, list[int]], name: str) -> int:
    return message[name][-1] if message.get(name) else 0


def _from_json(data: bytes, type_name: str) -> dict[str, Any]:
    values = json.loads(data)
    time = values.get("timestamp", {})
    content = base64.b64decode(values["data"], validate=True)
    return {
        **values,
        "data": content,
        "stamp": (int(time.get("sec", 0)), int(time.get("nsec", time.get("nanosec", 0)))),
    }


def _from_cdr(data: bytes, type_name: str) -> dict[str, Any]:
    reader = _CdrReader(data)
    values: dict[str, Any] = {"stamp": (reader.number("i"), reader.number("I")), "frame_id": reader.text()}
    for name in _ORDER[type_name]:
        values[name] = reader.text() if name in _TEXTS else reader.number("I") if name in _NUMBERS else reader.block()
    return values


_READERS: dict[str, Callable[[bytes, str], dict[str, Any]]] = {
    "protobuf": _from_protobuf,
    "json": _from_json,
    "cdr": _from_cdr,
}


class _CdrReader:
    """Reader of the CDR of numbers of 4 bytes, texts and bytes."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._order = data, 4, "<" if data[1] & 1 else ">"

    def number(self, kind: str) -> int:
        """Read an integer."""
        self._at += -self._at % 4
        (value,) = struct.unpack_from(self._order + kind, self._data, self._at)
        self._at += 4
        return int(value)

    def block(self) -> bytes:
        """Read bytes."""
        size = self.number("I")
        if size > len(self._data) - self._at:
            raise ValueError(f"expected {size} bytes, got {len(self._data) - self._at}")
        self._at += size
        return self._data[self._at - size : self._at]

    def text(self) -> str:
        """Read a text."""
        return self.block().rstrip(b"\0").decode()


def _to_cdr(values: dict[str, Any]) -> bytes:
    """Serialise a ``sensor_msgs/Image`` if there is an encoding, or else a ``sensor_msgs/CompressedImage``."""
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    sec, nanosec = values["stamp"]
    time = store.types["builtin_interfaces/msg/Time"](int(sec), int(nanosec))
    header = store.types["std_msgs/msg/Header"](time, str(values.get("frame_id", "")))
    data = np.frombuffer(values.get("data", b""), np.uint8)
    if "encoding" in values:
        sizes = [int(values.get(name, 0)) for name in ("height", "width", "step")]
        message = store.types[IMAGE](header, *sizes[:2], str(values["encoding"]), 0, sizes[2], data)
        return bytes(store.serialize_cdr(message, IMAGE))
    message = store.types[COMPRESSED_IMAGE](header, str(values.get("format", "")), data)
    return bytes(store.serialize_cdr(message, COMPRESSED_IMAGE))
