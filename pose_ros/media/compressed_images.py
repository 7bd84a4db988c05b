"""Decode compressed image messages.

References:
    sensor_msgs/CompressedImage and compressed_image_transport (the words in ``format``).
"""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, Image
from pose_ros.media.decoding import MAX_IMAGE_MB, decode_image
from pose_ros.media.encodings import DEPTH, ENCODINGS, SHADES_16_TO_8
from pose_ros.media.headers import CAMERA_FORMATS


def decode_compressed(message: Any, max_mb: float = MAX_IMAGE_MB) -> tuple[Image, str]:
    """Decode a compressed image message. Orientation tags are ignored.

    The image format is detected from the data. The ``format`` of the message only gives the colour encoding.

    Args:
        message: ``sensor_msgs/CompressedImage`` with jpeg, png or tiff data, or an object with its fields.
        max_mb: Limit of the memory for the decoded image and its decoder, MB.

    Returns:
        The image, (H, W, 3) or grey (H, W) uint8, and its channel order, ``"bgr"`` or ``"rgb"``. 16 bits are scaled
        to 8. Transparency is ignored.

    Raises:
        ValueError: If the data are empty, damaged, truncated, too large, of another format, or a depth image.
    """
    encoding, _, codec = message.format.partition(";")
    if encoding in DEPTH or "compressedDepth" in codec:
        raise ValueError("format: expected a colour image, got a depth image; remap 'image' to the colour image")
    return _to_8_bit(decode_stored(bytes(message.data), max_mb), encoding, codec.rpartition("compressed")[2].strip())


def decode_stored(data: bytes, max_mb: float = MAX_IMAGE_MB) -> AnyArray:
    """Decode a jpeg, png or tiff image with the channels and bits that it stores.

    Args:
        data: Encoded image.
        max_mb: Limit of the memory for the decoded image and its decoder, MB.

    Raises:
        ValueError: If the data are empty, damaged, truncated, too large, or of another format.
    """
    try:
        return decode_image(data, cv2.IMREAD_UNCHANGED, max_mb, CAMERA_FORMATS)
    except ValueError as error:
        raise ValueError(f"data: {error}") from error


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
