"""Read the chunks of a WebP. Sources: WebP Container Specification, RFC 6386 (VP8), WebP Lossless Bitstream."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pose_ros.media.headers.header import BrokenHeaderError, ImageHeader

_MAX_CHUNKS = 2**16
_ANIMATION, _FRAME_HEADER = 0x02, 16


def is_webp(data: bytes) -> bool:
    """Whether the data start like a WebP."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def read_webp(data: bytes) -> ImageHeader:
    """Go through the chunks. The canvas must hold every frame.

    Raises:
        BrokenHeaderError: If a chunk is missing or longer than the data.
        struct.error: If the data end within a chunk.
    """
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise BrokenHeaderError(f"{length + 8} bytes according to its header, damaged or truncated")
    chunks = list(_read_chunks(data, 12, length + 8))
    if not chunks:
        raise BrokenHeaderError("no chunks")
    first, start, _ = chunks[0]
    canvas = _canvas_wh(data, start) if first == b"VP8X" else None
    sizes = [_frame_wh(data, *chunk) for chunk in chunks if chunk[0] in (b"VP8 ", b"VP8L", b"ANMF")]
    if not sizes:
        raise BrokenHeaderError("no pixels")
    size_wh = canvas or sizes[0]
    if any(width > size_wh[0] or height > size_wh[1] for width, height in sizes):
        raise BrokenHeaderError(f"a frame larger than its canvas of {size_wh[0]} x {size_wh[1]}")
    is_animated = any(kind == b"ANMF" for kind, _, _ in chunks) or bool(canvas and data[start] & _ANIMATION)
    is_lossy = first == b"VP8 "
    buffers = 0 if is_lossy else 12 if is_animated else 4
    return ImageHeader("webp", size_wh, 3 if is_lossy else 4, codec_bytes=buffers * size_wh[0] * size_wh[1])


def _read_chunks(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of each chunk."""
    for _ in range(_MAX_CHUNKS):
        if at + 8 > end:
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > end:
            raise BrokenHeaderError(f"a chunk {kind!r} of {length} bytes, damaged or truncated")
        yield kind, at + 8, at + 8 + length
        at += 8 + length + length % 2
    raise BrokenHeaderError(f"more than {_MAX_CHUNKS} chunks")


def _canvas_wh(data: bytes, start: int) -> tuple[int, int]:
    width, height = (int.from_bytes(data[start + at : start + at + 3], "little") + 1 for at in (4, 7))
    return width, height


def _frame_wh(data: bytes, kind: bytes, start: int, end: int) -> tuple[int, int]:
    if kind == b"VP8 ":
        code, width, height = struct.unpack_from("<3sHH", data, start + 3)
        if code != b"\x9d\x01\x2a":
            raise BrokenHeaderError("no key frame")
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        code, packed = struct.unpack_from("<BI", data, start)
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    x, y, width, height = (int.from_bytes(data[start + at : start + at + 3], "little") for at in (0, 3, 6, 9))
    for inner in _read_chunks(data, start + _FRAME_HEADER, end):
        if inner[0] in (b"VP8 ", b"VP8L") and _frame_wh(data, *inner) != (width + 1, height + 1):
            raise BrokenHeaderError("a frame of another size than its image")
    return 2 * x + width + 1, 2 * y + height + 1
