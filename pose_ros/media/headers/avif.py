"""Read the images of an AVIF. Sources: ISO/IEC 23008-12 (HEIF), AV1 Bitstream Specification 5.5, AV1 in ISO-BMFF."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pose_ros.media.headers.boxes import Box, read_boxes
from pose_ros.media.headers.header import BrokenHeaderError, ImageHeader

_BRANDS = (b"avif", b"avis")
_SEQUENCE_HEADER = 1  # type of OBU
_MAX_ITEMS = 256
_CODED_PIXEL_BYTES = 10  # planes of 16 bits, the decoder's copy and its tables


class _Bits:
    """Reads bits, the highest first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise BrokenHeaderError("a sequence header that ends early")
        return (self._value >> self._left) & ((1 << count) - 1)


def is_avif(data: bytes) -> bool:
    """Whether the data start like an AVIF."""
    return data[4:8] == b"ftyp" and any(brand in data[8:256] for brand in _BRANDS)


def read_avif(data: bytes) -> ImageHeader:
    """Read the sizes of all coded images, from the streams themselves.

    Raises:
        BrokenHeaderError: If a box is missing, not allowed or longer than the data.
        struct.error: If the data end within a box.
    """
    boxes = list(read_boxes(data, 0, len(data)))
    if any(box.kind == b"moov" for box in boxes):
        raise BrokenHeaderError("an image sequence; convert it to a video")
    meta = next((box for box in boxes if box.kind == b"meta"), None)
    if meta is None:
        raise BrokenHeaderError("no description")
    inner = list(read_boxes(data, meta.start + 4, meta.end))
    coded = [_coded_wh(stream) for stream in _item_streams(data, inner)]
    listed = list(_listed_sizes(data, inner))
    if not any(coded) or not listed:
        raise BrokenHeaderError("no size")
    width, height = max(listed, key=lambda size: size[0] * size[1])
    pixels = sum(wide * high for wide, high in coded)
    return ImageHeader("avif", (width, height), 8, codec_bytes=_CODED_PIXEL_BYTES * max(pixels, width * height))


def _listed_sizes(data: bytes, boxes: list[Box]) -> Iterator[tuple[int, int]]:
    for outer in boxes:
        for box in read_boxes(data, outer.start, outer.end) if outer.kind == b"iprp" else ():
            for size in read_boxes(data, box.start, box.end) if box.kind == b"ipco" else ():
                if size.kind == b"ispe":
                    width, height = struct.unpack_from(">II", data, size.start + 4)
                    yield width, height


def _item_streams(data: bytes, boxes: list[Box]) -> Iterator[bytes]:
    """Yield the data of every item that starts like an AV1 stream."""
    place = next((box for box in boxes if box.kind == b"iloc"), None)
    if place is None:
        raise BrokenHeaderError("no places of its images")
    inside = next((box.start for box in boxes if box.kind == b"idat"), 0)
    version, sizes, more = data[place.start], data[place.start + 4], data[place.start + 5]
    offset_size, length_size, base_size, index_size = sizes >> 4, sizes & 15, more >> 4, more & 15
    at = place.start + 6

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > place.end:
            raise BrokenHeaderError("places of images that end early")
        return int.from_bytes(data[at - size : at], "big")

    count = number(2 if version < 2 else 4)
    if count > _MAX_ITEMS:
        raise BrokenHeaderError(f"{count} images")
    for _ in range(count):
        number(2 if version < 2 else 4)
        method = number(2) & 15 if version in (1, 2) else 0
        number(2)
        base, stream = number(base_size), bytearray()
        if method > 1:
            raise BrokenHeaderError("an image within an image")
        for _ in range(number(2)):
            if version in (1, 2) and index_size:
                number(index_size)
            start = base + number(offset_size) + (inside if method == 1 else 0)
            length = number(length_size) or len(data) - start
            if start + length > len(data) or len(stream) > len(data):
                raise BrokenHeaderError("an image longer than the data, damaged or truncated")
            stream += data[start : start + length]
        yield bytes(stream)


def _coded_wh(stream: bytes) -> tuple[int, int]:
    """Return the largest size in the sequence headers of a stream, or (0, 0) if it is none of AV1."""
    at, largest = 0, (0, 0)
    while at < len(stream):
        head = stream[at]
        if head & 0x81 or not head & 2:  # items of other kinds, such as EXIF, end here
            return largest
        length, at = _read_leb128(stream, at + (2 if head & 4 else 1))
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            width, height = _sequence_wh(stream[at : at + min(length, 512)])
            largest = max(largest[0], width), max(largest[1], height)
        at += length
    return largest


def _read_leb128(stream: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        value |= (stream[at + index] & 0x7F) << (7 * index)
        if not stream[at + index] & 0x80:
            return value, at + index + 1
    raise BrokenHeaderError("a length of more than 8 bytes")


def _sequence_wh(header: bytes) -> tuple[int, int]:
    """Read the size of the largest frame (AV1, 5.5.1). Frames of a stream may be larger, unless it is a still image."""
    bits = _Bits(header)
    bits.read(4)  # profile, still picture
    is_reduced = bits.read(1)
    if is_reduced:
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    return (width, height) if is_reduced else (1 << width_bits, 1 << height_bits)


def _skip_operating_points(bits: _Bits) -> None:
    has_timing, has_model, delay_bits = bits.read(1), 0, 0
    if has_timing:
        bits.read(64)
        if bits.read(1):
            zeros = 0
            while not bits.read(1):
                zeros += 1
            bits.read(min(zeros, 32))
        has_model = bits.read(1)
        if has_model:
            delay_bits = bits.read(5) + 1
            bits.read(42)
    has_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if has_model and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if has_delay and bits.read(1):
            bits.read(4)
