"""Read the main header of JPEG 2000, alone or in JP2 boxes. Source: ITU T.800, annexes A and I."""

from __future__ import annotations

import struct

from pose_ros.media.headers.boxes import read_boxes
from pose_ros.media.headers.header import BrokenHeaderError, ImageHeader

BOX_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
STREAM_SIGNATURE = b"\xff\x4f\xff\x51"
_COD, _COC, _SOT, _SOD, _END = 0x52, 0x53, 0x90, 0x93, 0xD9
_MAX_CHANNELS = 4
_TILE_BYTES, _TILE_CHANNEL_BYTES = 6000, 1500  # memory of OpenJPEG for each tile, and for each channel of it
_BLOCK_BYTES, _PRECINCT_BYTES = 400, 600  # and for each block of coefficients, and group of blocks
_MAX_LAYERS = 64


def read_jpeg2000(data: bytes) -> ImageHeader:
    """Read the size, and go through the coding parameters of all tiles.

    Raises:
        BrokenHeaderError: If a marker is missing, not allowed or longer than the data.
        struct.error: If the data end within a marker.
    """
    start = 0
    if data.startswith(BOX_SIGNATURE):
        start = next((box.start for box in read_boxes(data, 0, len(data)) if box.kind == b"jp2c"), -1)
        if start < 0:
            raise BrokenHeaderError("no image in its boxes")
    if data[start : start + 4] != STREAM_SIGNATURE:
        raise BrokenHeaderError("no size")
    right, bottom, left, top, tile_width, tile_height, tile_x, tile_y, channels = struct.unpack_from(
        ">8IH", data, start + 8
    )
    width, height = right - left, bottom - top
    if not 1 <= channels <= _MAX_CHANNELS or min(tile_width, tile_height) < 1:
        raise BrokenHeaderError(f"{channels} channels in tiles of {tile_width} x {tile_height}")
    if min(width, height) < 0 or tile_x > left or tile_y > top:
        raise BrokenHeaderError(f"an image from ({left}, {top}) to ({right}, {bottom})")
    bits = max((data[start + 42 + 3 * channel] & 0x7F) + 1 for channel in range(channels))
    steps = data[start + 42 : start + 42 + 3 * channels]
    if any(steps[at] != 1 for at in range(len(steps)) if at % 3):
        raise BrokenHeaderError("channels of several sizes, which OpenCV does not support")
    tiles = -(-(right - tile_x) // tile_width) * -(-(bottom - tile_y) // tile_height)
    block, precinct = _smallest_areas(data, start + 2)
    pixels, tile_pixels = width * height * channels, min(width, tile_width) * min(height, tile_height) * channels
    numbers = pixels + (tile_pixels if tiles > 1 else 0)  # a single tile becomes the image without a copy
    overhead = pixels // block * _BLOCK_BYTES + pixels // precinct * _PRECINCT_BYTES
    return ImageHeader(
        "jp2",
        (width, height),
        channels * (2 if bits > 8 else 1),
        codec_bytes=4 * numbers + overhead + tiles * (_TILE_BYTES + channels * _TILE_CHANNEL_BYTES),
    )


def _smallest_areas(data: bytes, at: int) -> tuple[int, int]:
    """Go through the markers of all tiles. Return the pixels of the smallest block and precinct, px."""
    block, precinct, tile_end = 4096, 2**15, len(data)
    while at + 12 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 0xFF or (length < 2 and marker not in (_SOD, _END)):
            raise BrokenHeaderError(f"a marker {data[at : at + 2]!r} of {length} bytes")
        if marker == _END:
            break
        if marker == _SOD:
            at = max(at + 2, tile_end)
            continue
        if marker == _SOT:
            part = int.from_bytes(data[at + 6 : at + 10], "big")
            tile_end = at + max(14, part) if part else len(data)  # 0 = to the end
        if marker in (_COD, _COC):
            block, precinct = _read_areas(data, at, block, precinct)
        at += 2 + length
    return block, precinct


def _read_areas(data: bytes, at: int, block: int, precinct: int) -> tuple[int, int]:
    """Read the areas in a COD or COC marker. Return them where they are smaller."""
    style, levels = (at + 4, at + 9) if data[at + 1] == _COD else (at + 5, at + 6)
    if data[at + 1] == _COD and (layers := int.from_bytes(data[at + 6 : at + 8], "big")) > _MAX_LAYERS:
        raise BrokenHeaderError(f"{layers} layers")
    block = min(block, 2 ** ((data[levels + 1] & 15) + (data[levels + 2] & 15) + 4))
    if data[style] & 1:
        sizes = data[levels + 5 : levels + 6 + data[levels]]
        precinct = min([precinct, *(2 ** ((size & 15) + (size >> 4)) for size in sizes)])
    return min(block, precinct), precinct
