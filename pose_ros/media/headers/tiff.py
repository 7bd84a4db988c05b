"""Read the first directory of a tiff or BigTIFF. Source: Adobe TIFF 6.0, and the BigTIFF design of AWare Systems."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pose_ros.media.headers.header import MAX_SIDE_PX, BrokenHeaderError, ImageHeader
from pose_ros.media.headers.png import DEFLATE_RATIO

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOUR = 256, 257, 258, 259, 262
_SAMPLES, _STRIP_ROWS, _PLANES, _TILE_WIDTH, _TILE_HEIGHT = 277, 278, 284, 322, 323
_DEFAULTS = {_BITS: 1, _COMPRESSION: 1, _SAMPLES: 1, _STRIP_ROWS: 2**32 - 1, _PLANES: 1, _COLOUR: 1}
_TAGS = (_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT, *_DEFAULTS)
_TYPES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}  # whole numbers
_RATIOS = {  # compression -> most bytes in a byte of data. 0 = no limit
    **{1: 1, 2: 0, 3: 0, 4: 0, 5: 1366, 7: 0, 8: DEFLATE_RATIO, 32773: 64, 32946: DEFLATE_RATIO},
}
_MAX_ENTRIES = 4096
_MAX_SAMPLES = 32
_CHUNK_BYTES = 64  # memory of a strip or tile for its position and length
_GREY = (0, 1)


@dataclass(frozen=True)
class _Layout:
    """Sizes of the numbers in a directory."""

    order: str
    is_big: bool

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.is_big else "H")

    @property
    def entry(self) -> str:
        return self.order + ("HHQ" if self.is_big else "HHI")

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.is_big else "I")


def read_tiff(data: bytes) -> ImageHeader:
    """Read the first directory. Decoders ignore the others.

    Raises:
        BrokenHeaderError: If a needed entry is missing, repeated or invalid.
        struct.error: If the data end within the directory.
    """
    tags = _read_directory(data, _Layout("<" if data.startswith(b"II") else ">", data[2:4] in (b"+\0", b"\0+")))
    width, height, samples, bits = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0), tags[_SAMPLES], tags[_BITS]
    if not 1 <= samples <= _MAX_SAMPLES or not 1 <= bits <= 64:
        raise BrokenHeaderError(f"{samples} channels of {bits} bits")
    if tags[_COMPRESSION] not in _RATIOS:
        raise BrokenHeaderError(f"compression {tags[_COMPRESSION]}, where {sorted(_RATIOS)} are supported")
    channels = 1 if samples == 1 and tags[_COLOUR] in _GREY else min(4, max(3, samples))
    ratio = _RATIOS[tags[_COMPRESSION]]
    return ImageHeader(
        "tiff",
        (width, height),
        channels * max(1, -(-bits // 8)),
        codec_bytes=_chunk_bytes(tags, width, height, max(4, -(-samples * bits // 8))),
        data_bytes=width * height * samples * bits // 8 // ratio if ratio else 0,
    )


def _chunk_bytes(tags: dict[int, int], width: int, height: int, pixel_bytes: int) -> int:
    """Return the memory for one strip or tile, and for the list of all."""
    tile_wh = tags.get(_TILE_WIDTH, width), tags.get(_TILE_HEIGHT, min(tags[_STRIP_ROWS], height))
    if min(tile_wh) < 1 or max(tile_wh) > MAX_SIDE_PX:
        if width and height:
            raise BrokenHeaderError(f"{width} x {height} in strips or tiles of {tile_wh[0]} x {tile_wh[1]}")
        return 0
    count = -(-width // tile_wh[0]) * -(-height // tile_wh[1]) * (tags[_SAMPLES] if tags[_PLANES] == 2 else 1)
    return tile_wh[0] * tile_wh[1] * pixel_bytes + count * _CHUNK_BYTES


def _read_directory(data: bytes, layout: _Layout) -> dict[int, int]:
    """Return the needed entries by tag. Of a list, the largest value counts."""
    if layout.is_big and data[4:8] != struct.pack(layout.order + "HH", 8, 0):
        raise BrokenHeaderError("offsets that are not 8 bytes long")
    (at,) = struct.unpack_from(layout.offset, data, 8 if layout.is_big else 4)
    _check_offset(at, data)
    (count,) = struct.unpack_from(layout.count, data, at)
    if count > _MAX_ENTRIES:
        raise BrokenHeaderError(f"{count} entries in its directory")
    at += struct.calcsize(layout.count)
    found: dict[int, int] = {}
    for _ in range(count):
        tag, kind, length = struct.unpack_from(layout.entry, data, at)
        at += struct.calcsize(layout.entry)
        if tag in _TAGS:
            if tag in found:
                raise BrokenHeaderError(f"tag {tag} twice")
            found[tag] = _read_value(data, at, kind, length, layout)
        at += struct.calcsize(layout.offset)
    return {**_DEFAULTS, **found}


def _read_value(data: bytes, at: int, kind: int, length: int, layout: _Layout) -> int:
    if kind not in _TYPES or not 1 <= length <= _MAX_SAMPLES:
        raise BrokenHeaderError(f"{length} numbers of type {kind}")
    packed = f"{layout.order}{length}{_TYPES[kind]}"
    if struct.calcsize(packed) > struct.calcsize(layout.offset):
        (at,) = struct.unpack_from(layout.offset, data, at)
        _check_offset(at, data)
    values = struct.unpack_from(packed, data, at)
    if min(values) < 0:
        raise BrokenHeaderError(f"the number {min(values)}")
    return int(max(values))


def _check_offset(at: int, data: bytes) -> None:
    """Check an offset first, as ``struct`` cannot handle one above 2**63."""
    if at >= len(data):
        raise BrokenHeaderError(f"position {at} in {len(data)} bytes, damaged or truncated")
