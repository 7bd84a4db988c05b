"""Encodings of sensor_msgs/Image: memory layout and conversion to an image.

References:
    sensor_msgs/image_encodings.hpp (the names); REP-118 (why 16UC1 and 32FC1 are depth images).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, Image

SHADES_16_TO_8 = 255 / 65535
DEPTH = ("16UC1", "32FC1")


@dataclass(frozen=True)
class Encoding:
    """Memory layout of one encoding and its conversion to an image.

    Attributes:
        samples: Values per pixel of the buffer.
        code: OpenCV conversion code to BGR. None = the samples are the image.
        bits: Bits per value, 8 or 16. 32 for a depth image, which ``to_image`` does not convert.
        colour: Channel order of the image, ``"bgr"`` or ``"rgb"``.
        block_wh: Width and height must be multiples of this, pixels.
        planes: Rows of the buffer per two rows of the image. 3 = a half-size colour plane below the grey plane.
    """

    samples: int
    code: int | None = None
    bits: int = 8
    colour: str = "bgr"
    block_wh: tuple[int, int] = (1, 1)
    planes: int = 2

    def row_bytes(self, width: int) -> int:
        """Return the bytes of one row of the buffer, without padding."""
        return width * self.samples * self.bits // 8

    def rows(self, height: int) -> int:
        """Return the number of rows of the buffer."""
        return height * self.planes // 2

    def to_image(self, buffer: Any, size_wh: tuple[int, int], step: int, is_bigendian: bool) -> Image:
        """Convert a buffer to an image, (H, W, 3) or grey (H, W).

        Args:
            buffer: At least ``rows`` times ``step`` bytes.
            size_wh: Width and height of the image, pixels.
            step: Bytes from one row to the next.
            is_bigendian: Whether 16-bit values are big-endian.
        """
        width, height = size_wh
        item = self.bits // 8
        dtype = np.dtype(np.uint8 if item == 1 else ">u2" if is_bigendian else "<u2")
        shape: tuple[int, ...] = (self.rows(height), width)
        strides: tuple[int, ...] = (step, self.samples * item)
        if self.samples > 1:
            shape, strides = (*shape, self.samples), (*strides, item)
        array: AnyArray = np.ndarray(shape, dtype, buffer, 0, strides)
        if item == 2:
            array = np.ascontiguousarray(array, np.uint16)  # OpenCV cannot read swapped or unaligned values
        if self.code is not None:
            array = cv2.cvtColor(array, self.code)
        return cv2.convertScaleAbs(array, alpha=SHADES_16_TO_8) if item == 2 else array


# OpenCV names a Bayer pattern after the second and third pixel of the second row: its "BG" starts with R G.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}
_UYVY = Encoding(2, cv2.COLOR_YUV2BGR_UYVY, block_wh=(2, 1))
_YUYV = Encoding(2, cv2.COLOR_YUV2BGR_YUYV, block_wh=(2, 1))

ENCODINGS: dict[str, Encoding] = {
    "bgr8": Encoding(3),
    "rgb8": Encoding(3, colour="rgb"),
    "8UC3": Encoding(3),
    "mono8": Encoding(1),
    "8UC1": Encoding(1),
    "mono16": Encoding(1, bits=16),
    "bgr16": Encoding(3, bits=16),
    "rgb16": Encoding(3, bits=16, colour="rgb"),
    "bgra8": Encoding(4, cv2.COLOR_BGRA2BGR),
    "rgba8": Encoding(4, cv2.COLOR_RGBA2BGR),
    "8UC4": Encoding(4, cv2.COLOR_BGRA2BGR),
    "uyvy": _UYVY,
    "yuv422": _UYVY,
    "yuyv": _YUYV,
    "yuv422_yuy2": _YUYV,
    "nv12": Encoding(1, cv2.COLOR_YUV2BGR_NV12, block_wh=(2, 2), planes=3),
    "nv21": Encoding(1, cv2.COLOR_YUV2BGR_NV21, block_wh=(2, 2), planes=3),
    **{f"bayer_{pattern}8": Encoding(1, code) for pattern, code in _BAYER.items()},
    **{f"bayer_{pattern}16": Encoding(1, code, bits=16) for pattern, code in _BAYER.items()},
}
"""All supported encodings, by their name in the message."""
