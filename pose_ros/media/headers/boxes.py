"""Read the boxes of ISO files (JPEG 2000, AVIF). Source: ISO/IEC 14496-12, 4.2."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pose_ros.media.headers.header import BrokenHeaderError

_MAX_BOXES = 2**12


@dataclass(frozen=True)
class Box:
    """Content of a box: ``data[start:end]``."""

    kind: bytes
    start: int
    end: int


def read_boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two positions.

    Raises:
        BrokenHeaderError: If a box is longer than the data.
        struct.error: If the data end within the header of a box.
    """
    for _ in range(_MAX_BOXES):
        if start >= end:
            return
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        length = length or end - start  # 0 = to the end
        if length < head or start + length > end:
            raise BrokenHeaderError(f"a box {kind!r} of {length} bytes, damaged or truncated")
        yield Box(kind, start + head, start + length)
        start += length
    raise BrokenHeaderError(f"more than {_MAX_BOXES} boxes")
