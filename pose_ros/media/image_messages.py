"""Decode image messages, for the node, bags and the live page. Needs no ROS.

A message is any object with the fields of ``sensor_msgs/Image`` or ``sensor_msgs/CompressedImage``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2

from pose_ros.arrays import Image
from pose_ros.media.compressed_images import decode_compressed
from pose_ros.media.decoding import MAX_IMAGE_MB
from pose_ros.media.encodings import DEPTH, ENCODINGS, Encoding
from pose_ros.texts import quote

Converter = Callable[[Any], Image | None]
"""Returns the image of a raw message as (H, W, 3) BGR, or None if it cannot convert it."""

CONVERTER_FIRST = frozenset(
    ["rgba8", "bgra8", "yuv422", "yuv422_yuy2", "bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"]
)
"""Encodings that the converter handles first, unless rows are padded: some converters ignore padding."""


def no_converter(message: Any) -> None:
    """Convert nothing, so that only the encodings of this package are supported."""


def decode_message(message: Any, convert: Converter = no_converter, max_mb: float = MAX_IMAGE_MB) -> tuple[Image, str]:
    """Decode a raw or compressed image message.

    Args:
        message: ``sensor_msgs/Image`` or ``sensor_msgs/CompressedImage``, or an object with its fields.
        convert: Called for raw messages with an encoding that this package does not support, and first for those
            of ``CONVERTER_FIRST``.
        max_mb: Limit of the memory for a decoded compressed image, MB.

    Returns:
        The image, (H, W, 3) or grey (H, W), and its channel order, ``"bgr"`` or ``"rgb"``.

    Raises:
        ValueError: If the message is damaged, has an unknown encoding, or is a depth image.
    """
    return decode_compressed(message, max_mb) if hasattr(message, "format") else decode_raw(message, convert)


def decode_raw(message: Any, convert: Converter = no_converter) -> tuple[Image, str]:
    """Decode a ``sensor_msgs/Image``.

    Args:
        message: ``sensor_msgs/Image``, or an object with its fields.
        convert: As for ``decode_message``.

    Returns:
        The image, (H, W, 3) or grey (H, W), and its channel order, ``"bgr"`` or ``"rgb"``. For rgb8, bgr8, 8UC3,
        mono8 and 8UC1 the image is a view of the message, even if rows are padded.

    Raises:
        ValueError: If the encoding is unknown, or the sizes contradict each other.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        return _convert_unknown(message, convert), "bgr"
    check_sizes(message, encoding)
    is_padded = message.step > encoding.row_bytes(message.width)
    if message.encoding in CONVERTER_FIRST and not is_padded and (image := convert(message)) is not None:
        return image, "bgr"
    size_wh = (message.width, message.height)
    return encoding.to_image(message.data, size_wh, message.step, bool(message.is_bigendian)), encoding.colour


def to_bgr(image: Image, colour: str) -> Image:
    """Convert an image to channel order BGR. Grey stays grey. Copies only if necessary."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour == "rgb" and image.ndim == 3 else image


def _convert_unknown(message: Any, convert: Converter) -> Image:
    image = None if message.encoding in DEPTH else convert(message)
    if image is not None:
        return image
    advice = (
        "this is a depth image: remap 'image' to the colour image"
        if message.encoding in DEPTH
        else "convert it with image_proc, or configure the driver for one of these"
    )
    raise ValueError(f"encoding: expected one of {', '.join(ENCODINGS)}, got {quote(message.encoding)}; {advice}")


def check_sizes(message: Any, encoding: Encoding) -> None:
    """Check that the sizes of a raw message agree with each other and with its encoding.

    Raises:
        ValueError: If they contradict each other.
    """
    width, height, step, length = message.width, message.height, message.step, len(message.data)
    got = f"{message.encoding} of {width} x {height}, step {step}, {length} bytes; the driver's message is broken"
    block_wh = encoding.block_wh
    if width == 0 or height == 0 or width % block_wh[0] or height % block_wh[1]:
        raise ValueError(f"size: expected width and height above 0, in multiples of {block_wh}, got {got}")
    if step < encoding.row_bytes(width):
        raise ValueError(f"step: expected at least {encoding.row_bytes(width)}, got {got}")
    if length < encoding.rows(height) * step:
        raise ValueError(f"data: expected {encoding.rows(height) * step} bytes, got {got}")


def stamp_ns(header: Any) -> int:
    """Return the stamp of a ``std_msgs/Header``, or of an object with its fields, ns."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)
