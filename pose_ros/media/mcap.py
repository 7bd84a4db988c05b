"""Read MCAP files: those of ROS 2 and of Foxglove, and also a file that is cut off.

A whole file has an index of its chunks. Without one, the file is read once from the start to the last whole record.

References:
    MCAP, https://mcap.dev/spec (numbers and fields of the records).
"""

from __future__ import annotations

import heapq
import struct
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import BinaryIO

from pose_ros.media.foxglove import Conversion, find_conversion
from pose_ros.media.recorded_message import RecordedMessage, is_latched
from pose_ros.media.unpack import MAX_UNPACKED_BYTES, unpack

MAGIC = b"\x89MCAP0\r\n"
FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, CHUNK_INDEX, STATISTICS, DATA_END = 2, 3, 4, 5, 6, 8, 11, 15
_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_CHUNK = struct.Struct("<QQQI")
_FOOTER_BYTES = _RECORD.size + 20
_RUN_BYTES = 1 << 20
"""Largest run of messages outside chunks that is read at once."""
_LISTED = 3
_LAST_NS = (1 << 64) - 1
CUT_OFF = "a file that is cut off; its whole messages are read"


@dataclass(frozen=True)
class _Channel:
    topic: str
    conversion: Conversion
    is_latched: bool


@dataclass(frozen=True)
class _Block:
    """Messages that are read at once: a chunk, or a run of messages outside chunks.

    Attributes:
        start_ns: Earliest time of its messages.
        end_ns: Latest time of its messages.
        offset: Position of its first record in the file.
        size: Length in the file, bytes.
        channels: Channels of its messages. None = unknown.
    """

    start_ns: int
    end_ns: int
    offset: int
    size: int
    channels: frozenset[int] | None


@dataclass
class _Index:
    schemas: dict[int, str] = field(default_factory=dict)
    channels: dict[int, _Channel] = field(default_factory=dict)
    blocks: list[_Block] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)
    fault: str = ""


class McapFile:
    """MCAP file.

    Attributes:
        types: ROS type of each topic.
        latched: Topics that were recorded from a publisher with transient local durability.

    Raises:
        ValueError: If the file is not MCAP.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    raise ValueError("a file that does not start like MCAP")
                self._index = _read_summary(file) or _scan(file)
        except (struct.error, IndexError, UnicodeDecodeError) as error:
            raise ValueError(f"a damaged record: {error}") from error
        self.types = {channel.topic: channel.conversion.type_name for channel in self._index.channels.values()}
        self.latched = {channel.topic for channel in self._index.channels.values() if channel.is_latched}

    def count(self, topic: str) -> int:
        """Return the number of messages of a topic."""
        return sum(self._index.counts[number] for number in self._numbers([topic]))

    def messages(self, topics: Collection[str], since_ns: int = 0) -> Iterator[RecordedMessage]:
        """Iterate over the messages of some topics that were received since a time, by time.

        Raises:
            ValueError: After all messages that can be read, if a part of the file cannot.
        """
        chosen, faults = self._numbers(topics), [self._index.fault] if self._index.fault else []
        with self.path.open("rb") as file:
            blocks = [block for block in self._index.blocks if block.end_ns >= since_ns]
            for received_ns, number, data in _sort(file, blocks, chosen, faults):
                channel = self._index.channels[number]
                if received_ns >= since_ns:
                    yield channel.conversion.convert(channel.topic, received_ns, data)
        if faults:
            more = f" and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
            raise ValueError("; ".join(faults[:_LISTED]) + more)

    def _numbers(self, topics: Collection[str]) -> frozenset[int]:
        return frozenset(number for number, channel in self._index.channels.items() if channel.topic in topics)


def _sort(
    file: BinaryIO, blocks: list[_Block], chosen: frozenset[int], faults: list[str]
) -> Iterator[tuple[int, int, bytes]]:
    """Yield time, channel and data of messages by time. Blocks may overlap in time, so that later ones are read first.

    The messages in memory are limited. A file whose blocks all overlap is read in its own order.
    """
    waiting: list[tuple[int, int, int, bytes]] = []
    order, waiting_bytes = count(), 0
    for block in sorted(blocks, key=lambda block: block.start_ns):
        if block.channels is not None and not block.channels & chosen:
            continue
        while waiting and (waiting[0][0] < block.start_ns or waiting_bytes > MAX_UNPACKED_BYTES):
            received_ns, _, number, data = heapq.heappop(waiting)
            waiting_bytes -= len(data)
            yield received_ns, number, data
        try:
            for received_ns, number, data in _read_block(file, block, chosen):
                heapq.heappush(waiting, (received_ns, next(order), number, data))
                waiting_bytes += len(data)
        except (ValueError, struct.error, UnicodeDecodeError, IndexError) as error:
            faults.append(f"the part at byte {block.offset} is damaged: {error}")
    while waiting:
        received_ns, _, number, data = heapq.heappop(waiting)
        yield received_ns, number, data


def _read_block(file: BinaryIO, block: _Block, chosen: frozenset[int]) -> Iterator[tuple[int, int, bytes]]:
    file.seek(block.offset)
    for kind, content in _split(_open_chunk(file.read(block.size))):
        if kind == MESSAGE:
            number, _, received_ns, _ = _MESSAGE.unpack_from(content)
            if number in chosen:
                yield received_ns, number, bytes(content[_MESSAGE.size :])


def _read_summary(file: BinaryIO) -> _Index | None:
    """Read the index at the end of a file. Return None if it is missing or incomplete."""
    end = file.seek(0, 2)
    if end < 2 * len(MAGIC) + _FOOTER_BYTES:
        return None
    footer_at = file.seek(end - len(MAGIC) - _FOOTER_BYTES)
    footer = file.read()
    kind, size, summary_at, _ = struct.unpack_from("<BQQQ", footer)
    if not footer.endswith(MAGIC) or (kind, size) != (FOOTER, 20) or not len(MAGIC) <= summary_at < footer_at:
        return None
    file.seek(summary_at)
    index, chunks = _Index(), -1
    for kind, content in _split(memoryview(file.read(footer_at - summary_at))):
        _note(index, kind, content)
        if kind == CHUNK_INDEX:
            index.blocks.append(_block_of(content))
        elif kind == STATISTICS:
            (chunks,) = struct.unpack_from("<I", content, 22)
            index.counts.update(dict(struct.iter_unpack("<HQ", _take(content, 42)[0])))
    is_complete = chunks > 0 and len({block.offset for block in index.blocks}) == len(index.blocks) == chunks
    return index if is_complete and index.channels and set(index.counts) <= set(index.channels) else None


def _block_of(content: memoryview) -> _Block:
    """Read a chunk index. The channels are unknown if the chunk has no message index."""
    start_ns, end_ns, offset, size = struct.unpack_from("<QQQQ", content)
    numbers = frozenset(number for number, _ in struct.iter_unpack("<HQ", _take(content, 32)[0]))
    return _Block(start_ns, end_ns, offset, size, numbers or None)


def _scan(file: BinaryIO) -> _Index:
    """Read a file from the start to its end, or to the last whole message before the place where it is cut off."""
    index, run = _Index(), _MessageRun()
    end = file.seek(0, 2)
    at = len(MAGIC)
    while at < end:
        file.seek(at)
        head = file.read(_RECORD.size)
        kind, size = _RECORD.unpack(head) if len(head) == _RECORD.size else (0, end)
        record_bytes = min(_RECORD.size + size, end - at)
        is_cut = at + _RECORD.size + size > end
        if kind == CHUNK:
            index.blocks += run.take()
            file.seek(at)
            _scan_chunk(index, file.read(record_bytes), at)
        elif not is_cut and kind in (SCHEMA, CHANNEL):
            _note(index, kind, memoryview(file.read(size)))
        elif not is_cut and kind == MESSAGE:
            number, _, received_ns, _ = _MESSAGE.unpack(file.read(_MESSAGE.size))
            index.counts[number] += 1
            index.blocks += run.add(number, received_ns, at, record_bytes)
        elif not is_cut and kind in (DATA_END, FOOTER):
            break
        at += record_bytes
    else:  # no record of the end
        index.fault = CUT_OFF
    index.blocks += run.take()
    return index


@dataclass
class _MessageRun:
    """Run of messages outside chunks."""

    start_ns: int = 0
    end_ns: int = 0
    offset: int = 0
    size: int = 0
    channels: set[int] = field(default_factory=set)

    def add(self, number: int, received_ns: int, at: int, size: int) -> list[_Block]:
        """Add a message. Return the run before it, if the message cannot extend it."""
        can_extend = self.offset + self.size == at and self.size + size <= _RUN_BYTES
        done = [] if can_extend else self.take()
        if not self.size:
            self.start_ns, self.end_ns, self.offset = received_ns, received_ns, at
        self.start_ns, self.end_ns = min(self.start_ns, received_ns), max(self.end_ns, received_ns)
        self.size += size
        self.channels.add(number)
        return done

    def take(self) -> list[_Block]:
        """Return the run, if it is not empty, and start another one."""
        block = _Block(self.start_ns, self.end_ns, self.offset, self.size, frozenset(self.channels))
        self.size, self.channels = 0, set()
        return [block] if block.size else []


def _scan_chunk(index: _Index, record: bytes, at: int) -> None:
    """Add the channels and messages of a chunk to an index."""
    counts: Counter[int] = Counter()
    try:
        for kind, content in _split(_open_chunk(record)):
            _note(index, kind, content)
            if kind == MESSAGE:
                counts[_MESSAGE.unpack_from(content)[0]] += 1
    except (ValueError, struct.error, UnicodeDecodeError, IndexError):
        pass  # reported when the messages are read
    has_times = len(record) >= _RECORD.size + _CHUNK.size
    start_ns, end_ns = _CHUNK.unpack_from(record, _RECORD.size)[:2] if has_times else (0, _LAST_NS)
    index.counts += counts
    index.blocks.append(_Block(start_ns, end_ns, at, len(record), None))


def _open_chunk(record: bytes) -> memoryview:
    """Return the records of a chunk, or a run of records as it is. A chunk may be cut off.

    Raises:
        ValueError: If the chunk is damaged.
    """
    if not record or record[0] != CHUNK:
        return memoryview(record)
    (size,) = struct.unpack_from("<Q", record, 1)
    content = memoryview(record)[_RECORD.size :]
    is_whole = len(content) >= size
    _, _, unpacked_bytes, checksum = _CHUNK.unpack_from(content)
    compression, at = _take(content, _CHUNK.size)
    (packed_bytes,) = struct.unpack_from("<Q", content, at)
    data = unpack(bytes(content[at + 8 : at + 8 + packed_bytes]), str(compression, "utf-8"), unpacked_bytes)
    if is_whole and (len(data) != unpacked_bytes or (checksum and zlib.crc32(data) != checksum)):
        raise ValueError("its content does not have the recorded length and checksum")
    return memoryview(data)


def _split(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield kind and content of each whole record."""
    at = 0
    while at + _RECORD.size <= len(data):
        kind, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if size > len(data) - at:
            return
        yield kind, data[at : at + size]
        at += size


def _note(index: _Index, kind: int, content: memoryview) -> None:
    """Add a schema or channel to an index."""
    if kind == SCHEMA:
        name, _ = _take(content, 2)
        index.schemas[struct.unpack_from("<H", content)[0]] = str(name, "utf-8")
    elif kind == CHANNEL:
        number, schema = struct.unpack_from("<HH", content)
        topic, at = _take(content, 4)
        encoding, at = _take(content, at)
        conversion = find_conversion(index.schemas.get(schema, "no type"), str(encoding, "utf-8"))
        metadata = str(content[at:], "utf-8", "replace")
        index.channels.setdefault(number, _Channel(str(topic, "utf-8"), conversion, is_latched(metadata)))


def _take(content: memoryview, at: int) -> tuple[memoryview, int]:
    """Return the bytes with their length in front at a position, and the position after them."""
    (size,) = struct.unpack_from("<I", content, at)
    if size > len(content) - at - 4:
        raise ValueError(f"expected {size} bytes, got {len(content) - at - 4}")
    return content[at + 4 : at + 4 + size], at + 4 + size
