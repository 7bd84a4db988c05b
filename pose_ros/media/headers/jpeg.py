"""Read the markers of a jpeg. Source: ITU T.81, B.1.1.4 and B.2."""

from __future__ import annotations

import re
import struct

from pose_ros.media.headers.header import BrokenHeaderError, ImageHeader

SIGNATURE = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff+([^\x00\xff])")  # fill bytes may precede a marker, and decoders skip other bytes
_MAX_SEGMENTS = 1000  # cameras write about ten
_MAX_SCANS = 100  # a progressive jpeg has about ten. Each costs a pass over the whole image
_STAND_ALONE = frozenset([0x01, *range(0xD0, 0xD9)])  # markers without a segment
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF markers
_SCAN, _END = 0xDA, 0xD9
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_BITS_PER_BLOCK = {0xC0: 2, 0xC1: 2, 0xC2: 1}  # fewest bits of 8 × 8 pixels in Huffman codes


def read_jpeg(data: bytes) -> ImageHeader:
    """Go through the markers to the first scan, and check that there is an end marker.

    Raises:
        BrokenHeaderError: If a marker is missing or not allowed.
        struct.error: If the data end within a segment.
    """
    at, size_at, kind = 2, 0, 0
    for _ in range(_MAX_SEGMENTS):
        marker, at = _next_marker(data, at)
        if marker == _SCAN:
            break
        if marker in _SIZE_MARKERS:
            if kind:
                raise BrokenHeaderError("two sizes")
            size_at, kind = at, marker
        if marker not in _STAND_ALONE:
            (length,) = struct.unpack_from(">H", data, at)
            if length < 2:
                raise BrokenHeaderError("a segment without a length")
            at += length
    else:
        raise BrokenHeaderError(f"more than {_MAX_SEGMENTS} segments")
    if not kind:
        raise BrokenHeaderError("no size")
    if data.rfind(b"\xff\xd9") < at:  # from the end, where it usually is
        raise BrokenHeaderError("no end marker, damaged or truncated")
    return _make_header(data, size_at, kind, at)


def _next_marker(data: bytes, at: int) -> tuple[int, int]:
    """Return the next marker and the position after it."""
    found = _MARKER.search(data, at)
    if found is None or found[1][0] == _END:
        raise BrokenHeaderError("no scan, damaged or truncated")
    return found[1][0], found.end()


def _make_header(data: bytes, size_at: int, kind: int, scan_at: int) -> ImageHeader:
    bits, height, width, channels = struct.unpack_from(">BHHB", data, size_at + 2)
    if bits != 8 or channels not in (1, 3, 4):
        raise BrokenHeaderError(f"{channels} channels of {bits} bits")
    sampling = [data[size_at + 9 + 3 * channel] for channel in range(channels)]
    factors = [(each >> 4, each & 15) for each in sampling]
    if not all(1 <= factor <= 4 for pair in factors for factor in pair):
        raise BrokenHeaderError(f"sampling factors {factors}")
    share = sum(h * v for h, v in factors) / (max(h for h, _ in factors) * max(v for _, v in factors))
    coefficients = int(2 * share * (width + 32) * (height + 32))
    scans_channels = data[scan_at + 2]
    needs_coefficients = kind in _PROGRESSIVE or scans_channels < channels  # they are kept until the last scan
    if needs_coefficients and data.count(b"\xff\xda", scan_at) > _MAX_SCANS:
        raise BrokenHeaderError(f"more than {_MAX_SCANS} scans")
    return ImageHeader(
        "jpeg",
        (width, height),
        4 if channels == 4 else channels,
        codec_bytes=coefficients if needs_coefficients else 0,
        data_bytes=size_at + width * height // 64 * _BITS_PER_BLOCK.get(kind, 0) // 8,
    )
