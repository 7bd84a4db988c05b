"""Decode compressed image messages.

References:
    sensor_msgs/CompressedImage and compressed_image_transport (the words in ``format``); ITU T.81 (jpeg markers);
    W3C PNG; Adobe TIFF 6.0.
"""

from __future__ import annotations

import re
import struct
import sys
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, Image, SizeWH
from pose_ros.media.encodings import DEPTH, ENCODINGS, SHADES_16_TO_8

MAX_PIXELS = 2**26
"""Maximum image size: 8192 × 8192 px, 200 MB decoded. An image with a larger size in its header is rejected."""

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
_MAX_SEGMENTS = 1000  # segments of a jpeg before its size (cameras write about ten)
_FILL = re.compile(rb"\xff+")  # fill bytes before a marker
_STAND_ALONE = frozenset([0x01, *range(0xD0, 0xD9)])  # markers without a segment
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF markers
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257


def decode_compressed(message: Any) -> tuple[Image, str]:
    """Decode a compressed image message. Orientation tags are ignored.

    The image format is detected from the data. The ``format`` of the message only gives the colour encoding.

    Args:
        message: ``sensor_msgs/CompressedImage`` with jpeg, png or tiff data, or an object with its fields.

    Returns:
        The image, (H, W, 3) or grey (H, W) uint8, and its channel order, ``"bgr"`` or ``"rgb"``. 16 bits are scaled
        to 8. Transparency is ignored.

    Raises:
        ValueError: If the data are empty, damaged, truncated, too large, of another format, or a depth image.
    """
    encoding, _, codec = message.format.partition(";")
    if encoding in DEPTH or "compressedDepth" in codec:
        raise ValueError("format: expected a colour image, got a depth image; remap 'image' to the colour image")
    return _to_8_bit(decode_stored(bytes(message.data)), encoding, codec.rpartition("compressed")[2].strip())


def decode_stored(data: bytes) -> AnyArray:
    """Decode a jpeg, png or tiff image with the channels and bits that it stores.

    Raises:
        ValueError: If the data are empty, damaged, truncated, too large, or of another format.
    """
    check_pixel_count(image_size_wh(data))
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # raised for some kinds of damage, the result is None for others
        image = None
    if image is None:
        raise ValueError(f"data: expected a complete image, got {len(data)} bytes that are damaged or truncated")
    return np.asarray(image)


def check_pixel_count(size_wh: SizeWH) -> None:
    """Check the size of an image before it is decoded.

    Raises:
        ValueError: If it is empty or larger than MAX_PIXELS.
    """
    width, height = size_wh
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"data: expected an image of 1 to {MAX_PIXELS} px, got {width} x {height}")


def _to_8_bit(stored: AnyArray, encoding: str, stored_as: str) -> tuple[Image, str]:
    """Convert a decoded image to 8 bits and at most 3 channels.

    Args:
        stored: Decoded image.
        encoding: Encoding of the image before compression. Empty = unknown.
        stored_as: Encoding of the compressed data. Empty = unknown. Tiff and old publishers keep the original channels.
    """
    if stored.dtype not in (np.uint8, np.uint16) or (stored.ndim == 3 and stored.shape[2] not in (3, 4)):
        raise ValueError(f"data: expected 8 or 16 bits in 1, 3 or 4 channels, got {stored.dtype} {stored.shape}")
    if stored.ndim == 2 and encoding.startswith("bayer_") and not stored_as and encoding in ENCODINGS:
        return _demosaic(stored, encoding), "bgr"
    image = cv2.convertScaleAbs(stored, alpha=SHADES_16_TO_8) if stored.dtype == np.uint16 else stored
    colour = "rgb" if (stored_as or encoding).startswith("rgb") else "bgr"
    is_opaque = image.ndim == 2 or image.shape[2] == 3
    return (image if is_opaque else cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)), colour


def _demosaic(stored: AnyArray, encoding: str) -> Image:
    height, width = stored.shape
    expected_bits, bits = ENCODINGS[encoding].bits, 8 * stored.itemsize
    if bits != expected_bits:
        raise ValueError(f"data: expected {expected_bits} bits for {encoding}, got {bits}")
    stored = np.ascontiguousarray(stored)
    return ENCODINGS[encoding].to_image(stored, (width, height), stored.strides[0], sys.byteorder == "big")


def image_size_wh(data: bytes) -> tuple[int, int]:
    """Read the width and height from the header of a jpeg, png or tiff, without decoding the image.

    Raises:
        ValueError: If there is no such header, or a jpeg has no end marker.
    """
    readers = {JPEG_START: _jpeg_wh, PNG_START: _png_wh, b"II*\0": _tiff_wh, b"MM\0*": _tiff_wh}
    for start, read in readers.items():
        if data.startswith(start):
            try:
                return read(data)
            except (struct.error, IndexError) as error:
                raise ValueError(
                    f"data: expected a complete image, got a broken header in {len(data)} bytes"
                ) from error
    got = f"{len(data)} bytes that start with {data[:8]!r}" if data else "no data"
    raise ValueError(f"data: expected a jpeg, png or tiff image, got {got}")


def _jpeg_wh(data: bytes) -> tuple[int, int]:
    """Go through the markers to the first SOF (T.81, B.1.1.4 and B.2.2), and check that there is an end marker."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        fill = _FILL.match(data, at)
        if fill is None:
            break
        at = fill.end() - 1
        marker = data[at + 1]
        if marker in _SIZE_MARKERS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            if data.rfind(b"\xff\xd9") < at:
                raise ValueError(f"data: expected a complete jpeg, got {len(data)} bytes without an end marker")
            return width, height
        at += 2 if marker in _STAND_ALONE else 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise IndexError("no size")


def _png_wh(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _tiff_wh(data: bytes) -> tuple[int, int]:
    """Read the first directory: 12 bytes per entry, with tag, type, count and value (TIFF 6.0, section 2)."""
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        tags[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)[0]
    return tags.get(_TIFF_WIDTH, 0), tags.get(_TIFF_HEIGHT, 0)
