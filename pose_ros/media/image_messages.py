"""Image messages to arrays, for the node, recordings and the live page alike. Needs no ROS.

A message is any object with the fields of ``sensor_msgs/Image`` or ``sensor_msgs/CompressedImage``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2

from pose_ros.arrays import Image
from pose_ros.media.compressed_images import decode_compressed
from pose_ros.media.encodings import DEPTH, ENCODINGS, Encoding

Converter = Callable[[Any], Image | None]
"""Returns the image in a raw message as (H, W, 3) BGR, or None if it cannot."""

CONVERTER_FIRST = frozenset(
    ["rgba8", "bgra8", "yuv422", "yuv422_yuy2", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"]
)
"""Encodings for which the converter is asked first if rows are not padded: some converters overlook padding."""


def no_converter(message: Any) -> None:
    """Convert nothing: only the encodings of this package are read."""


def decode_message(message: Any, convert: Converter = no_converter) -> tuple[Image, str]:
    """Decode a raw or compressed image message.

    Args:
        message: A ``sensor_msgs/Image`` or ``sensor_msgs/CompressedImage``, or an object with its fields.
        convert: Asked about raw messages in encodings that this package does not know, and first about those of
            ``CONVERTER_FIRST``.

    Returns:
        The image, (H, W, 3) or grey (H, W), and its channel order, ``"bgr"`` or ``"rgb"``.

    Raises:
        ValueError: If it is damaged, of an unknown encoding, or a depth image.
    """
    return decode_compressed(message) if hasattr(message, "format") else decode_raw(message, convert)


def decode_raw(message: Any, convert: Converter = no_converter) -> tuple[Image, str]:
    """Decode a ``sensor_msgs/Image``.

    Args:
        message: The message.
        convert: As for ``decode_message``.

    Returns:
        The image, (H, W, 3) or grey (H, W), and its channel order, ``"bgr"`` or ``"rgb"``. For rgb8, bgr8, 8UC3,
        mono8 and 8UC1 the image is a view of the message, also where rows are padded.

    Raises:
        ValueError: If the encoding is unknown, or the sizes contradict each other.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        return _convert_unknown(message, convert), "bgr"
    _check_sizes(message, encoding)
    is_padded = message.step > encoding.row_bytes(message.width)
    if message.encoding in CONVERTER_FIRST and not is_padded and (image := convert(message)) is not None:
        return image, "bgr"
    size_wh = (message.width, message.height)
    return encoding.image(message.data, size_wh, message.step, bool(message.is_bigendian)), encoding.colour


def to_bgr(image: Image, colour: str) -> Image:
    """Return an image in channel order B, G, R. Grey stays grey. Copies only if it must."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour == "rgb" and image.ndim == 3 else image


def _convert_unknown(message: Any, convert: Converter) -> Image:
    image = None if message.encoding in DEPTH else convert(message)
    if image is not None:
        return image
    advice = (
        "this is a depth image: remap 'image' to the colour image"
        if message.encoding in DEPTH
        else "convert it with image_proc, or set the driver to one of these"
    )
    raise ValueError(f"encoding: expected one of {', '.join(ENCODINGS)}, got {message.encoding!r}; {advice}")


def _check_sizes(message: Any, encoding: Encoding) -> None:
    width, height, step, length = message.width, message.height, message.step, len(message.data)
    got = f"{message.encoding} of {width} x {height}, step {step}, {length} bytes; the driver's message is broken"
    block_wh = encoding.block_wh
    if width == 0 or height == 0 or width % block_wh[0] or height % block_wh[1]:
        raise ValueError(f"size: expected width and height above 0, in multiples of {block_wh}, got {got}")
    if step < encoding.row_bytes(width):
        raise ValueError(f"step: expected at least {encoding.row_bytes(width)}, got {got}")
    if length < encoding.rows(height) * step:
        raise ValueError(f"data: expected {encoding.rows(height) * step} bytes, got {got}")
