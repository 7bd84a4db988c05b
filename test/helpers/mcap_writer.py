"""Write small MCAP files with any type of messages, with or without chunks and index."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\x89MCAP0\r\n"


@dataclass(frozen=True)
class Channel:
    """Channel of an MCAP file: topic, type, and the encodings of type and messages."""

    topic: str
    schema: str
    schema_encoding: str
    encoding: str


def write_mcap(
    path: Path,
    channels: list[Channel],
    messages: Iterable[tuple[int, int, bytes]],
    per_chunk: int = 0,
    compression: str = "",
    profile: str = "",
) -> Path:
    """Write a file without an index.

    Args:
        path: File to write.
        channels: Channels of the file.
        messages: Number of the channel, time in ns and data.
        per_chunk: Messages per chunk. 0 = no chunks.
        compression: ``"zstd"``, ``"lz4"`` or empty.
        profile: Profile in the header.
    """
    header = b"".join(_channel_records(number, channel) for number, channel in enumerate(channels))
    records = [(time, _message(number, time, data)) for number, time, data in messages]
    content = MAGIC + _record(1, _text(profile) + _text("test"))
    if per_chunk:
        for at in range(0, len(records), per_chunk):
            content += _chunk(records[at : at + per_chunk], b"" if at else header, compression)
    else:
        content += header + b"".join(record for _, record in records)
    path.write_bytes(content + _record(15, bytes(4)) + _record(2, bytes(20)) + MAGIC)
    return path


def protobuf_fields(*fields: tuple[int, object]) -> bytes:
    """Encode fields of a Protocol Buffers message: an int as varint, a float as fixed32, others as bytes."""
    return b"".join(_protobuf_field(number, value) for number, value in fields)


def fixed32(value: int) -> float:
    """Return the number with the bytes of an unsigned integer, for ``protobuf_fields``."""
    return float(struct.unpack("<f", struct.pack("<I", value))[0])


def _protobuf_field(number: int, value: object) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(high) if high else bytes([low])


def _channel_records(number: int, channel: Channel) -> bytes:
    schema = _record(
        3, struct.pack("<H", number + 1) + _text(channel.schema) + _text(channel.schema_encoding) + _text("")
    )
    head = struct.pack("<HH", number, number + 1)
    return schema + _record(4, head + _text(channel.topic) + _text(channel.encoding) + bytes(4))


def _message(number: int, time: int, data: bytes) -> bytes:
    return _record(5, struct.pack("<HIQQ", number, 0, time, time) + data)


def _chunk(records: list[tuple[int, bytes]], header: bytes, compression: str) -> bytes:
    content = header + b"".join(record for _, record in records)
    packed = _pack(content, compression)
    times = [time for time, _ in records]
    head = struct.pack("<QQQI", min(times), max(times), len(content), 0)
    return _record(6, head + _text(compression) + struct.pack("<Q", len(packed)) + packed)


def _pack(content: bytes, compression: str) -> bytes:
    if compression == "lz4":
        import lz4.frame

        return bytes(lz4.frame.compress(content))
    if compression == "zstd":
        from pose_ros.media.unpack import zstd_module

        return bytes(zstd_module().compress(content))
    return content


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(content)) + content


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode()
