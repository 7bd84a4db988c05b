"""Read the chunks of a png. Source: W3C PNG, third edition (with animation)."""

from __future__ import annotations

import struct

from pose_ros.media.headers.header import BrokenHeaderError, ImageHeader

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEFLATE_RATIO = 1032
"""Most bytes that deflate stores in one byte."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_DECODED_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 4, 6: 4}
_MAX_CHUNKS = 2**16
_MAX_TEXT_BYTES = 2**20  # compressed texts and profiles: they are decompressed, but nobody reads them
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")


def read_png(data: bytes) -> ImageHeader:
    """Go through all chunks of a png.

    Raises:
        BrokenHeaderError: If a chunk is missing or longer than the data.
        struct.error: If the data end within the header of a chunk.
    """
    lengths = _read_chunks(data)
    width, height, bits, colour, _, _, is_interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if colour not in _CHANNELS or bits not in (1, 2, 4, 8, 16):
        raise BrokenHeaderError(f"colour type {colour} with {bits} bits")
    channels = 4 if b"tRNS" in lengths else _DECODED_CHANNELS[colour]
    row_bytes = (width * bits * _CHANNELS[colour] + 7) // 8
    stored = (row_bytes + 1) * height if not is_interlaced else width * height * bits * _CHANNELS[colour] // 8
    pixel_bytes = channels * (2 if bits == 16 else 1)
    canvases = 3 if b"acTL" in lengths else 0  # an animated png is drawn on a canvas and kept for the next frame
    return ImageHeader(
        "png",
        (width, height),
        pixel_bytes,
        codec_bytes=canvases * width * height * 4 * (2 if bits == 16 else 1),
        data_bytes=len(data) - lengths[b"IDAT"] + stored // DEFLATE_RATIO,
    )


def _read_chunks(data: bytes) -> dict[bytes, int]:
    """Return the bytes of all chunks of each kind."""
    lengths: dict[bytes, int] = {}
    at = len(SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, at)
        if not lengths and (kind, length) != (b"IHDR", 13):
            raise BrokenHeaderError(f"{kind!r} as the first chunk")
        at += 12 + length
        if at > len(data):
            raise BrokenHeaderError(f"a chunk {kind!r} of {length} bytes, damaged or truncated")
        lengths[kind] = lengths.get(kind, 0) + length
        if kind == b"IEND":
            break
    else:
        raise BrokenHeaderError(f"more than {_MAX_CHUNKS} chunks")
    if b"IDAT" not in lengths:
        raise BrokenHeaderError("no pixels")
    if sum(lengths.get(kind, 0) for kind in _COMPRESSED) > _MAX_TEXT_BYTES:
        raise BrokenHeaderError(f"more than {_MAX_TEXT_BYTES} bytes of compressed texts")
    return lengths
