"""Give access to the samples of image messages, so that parts can be covered without a change of the encoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray
from pose_ros.media.anonymise import Plane
from pose_ros.media.encodings import ENCODINGS
from pose_ros.media.image_messages import check_sizes

_GREY_OF_COLOUR = 128  # colour value of grey in YUV
_UYVY = {"uyvy": 0, "yuv422": 0, "yuyv": 1, "yuv422_yuy2": 1}
"""Encodings with interleaved colour, and whether grey comes first."""


def raw_planes(message: Any, data: AnyArray) -> list[Plane]:
    """Return the planes of a ``sensor_msgs/Image``.

    Args:
        message: The message, or an object with its fields.
        data: Copy of its data, 1-D uint8. The planes are views of it.

    Raises:
        ValueError: If the encoding has no planes here, or the sizes contradict each other.
    """
    encoding = ENCODINGS.get(message.encoding)
    if encoding is None:
        raise ValueError(f"encoding: expected one of {', '.join(ENCODINGS)}, got {message.encoding!r:.80}")
    check_sizes(message, encoding)
    width, height, step = message.width, message.height, message.step
    item = encoding.bits // 8
    dtype = np.dtype(np.uint8) if item == 1 else np.dtype(">u2" if message.is_bigendian else "<u2")

    def view(
        rows: int, columns: int, offset: int = 0, channels: int = 1, row: int = step, pixel: int = item
    ) -> AnyArray:
        if channels == 1:
            return np.ndarray((rows, columns), dtype, data, offset, (row, pixel))
        return np.ndarray((rows, columns, channels), dtype, data, offset, (row, pixel, item))

    if message.encoding.startswith("bayer_"):
        return bayer_planes(view(height, width))
    if message.encoding in _UYVY:
        grey = 1 - _UYVY[message.encoding]
        return [
            Plane(view(height, width, grey, pixel=2)),
            *(Plane(view(height, width // 2, 1 - grey + 2 * k, pixel=4), (0.5, 1.0), _GREY_OF_COLOUR) for k in (0, 1)),
        ]
    if encoding.planes == 3:
        below = step * height
        return [
            Plane(view(height, width)),
            Plane(view(height // 2, width // 2, below, 2, pixel=2), (0.5, 0.5), _GREY_OF_COLOUR),
        ]
    channels = encoding.samples
    covered = min(channels, 3)  # transparency stays
    return [Plane(view(height, width, 0, covered, pixel=channels * item))]


def bayer_planes(mosaic: AnyArray) -> list[Plane]:
    """Return the four planes of a Bayer mosaic, (H, W)."""
    return [Plane(mosaic[row::2, column::2], (0.5, 0.5)) for row in (0, 1) for column in (0, 1)]


def stored_planes(stored: AnyArray, encoding: str, stored_as: str) -> list[Plane]:
    """Return the planes of the pixels of a compressed image.

    Args:
        stored: (H, W) or (H, W, C) decoded pixels, to be written.
        encoding: Encoding before the compression. Empty = unknown.
        stored_as: Encoding of the compressed data. Empty = unknown.
    """
    if stored.ndim == 2 and encoding.startswith("bayer_") and not stored_as:
        return bayer_planes(stored)
    return [Plane(stored[..., :3] if stored.ndim == 3 else stored)]
