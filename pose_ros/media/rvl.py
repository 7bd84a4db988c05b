"""Decompress 16-bit depth images in RVL, the run-length code with variable length.

References:
    Wilson, Fast Lossless Depth Image Compression, ISS 2017 (the code: runs of zeros, then runs of differences, in
    nibbles with 3 bits each).
    compressed_depth_image_transport/codec.hpp (two words before the code: columns and rows).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.decoder.jit import jit
from pose_ros.media.decoding import MAX_IMAGE_MB, MEGABYTE

_SIZES = struct.Struct("<II")
_MAX_PIXELS = MAX_IMAGE_MB * MEGABYTE // 4  # float32 in the end


def decode_rvl(data: bytes) -> npt.NDArray[np.uint16]:
    """Decompress an image.

    Args:
        data: Columns and rows as two 32-bit words, then the code in little-endian words.

    Returns:
        (H, W) uint16.

    Raises:
        ValueError: If the data are damaged or truncated, or the image is too large.
    """
    if len(data) < _SIZES.size:
        raise ValueError(f"data: expected an RVL image, got {len(data)} bytes")
    width, height = _SIZES.unpack_from(data)
    if not 0 < width * height <= _MAX_PIXELS:
        raise ValueError(f"data: expected an image of 1 to {_MAX_PIXELS} px, got {width} x {height}")
    words = np.frombuffer(data, "<u4", (len(data) - _SIZES.size) // 4, _SIZES.size).astype(np.uint32)
    pixels = np.zeros(width * height, np.uint16)
    if not _fill(words, pixels):
        raise ValueError(
            f"data: expected an RVL image of {width} x {height}, got {len(data)} bytes that are damaged or truncated"
        )
    return pixels.reshape(height, width)


@jit
def _read(words: Any, at: Any) -> Any:
    """Read a number from a nibble on. Return it and the position of the next nibble. Position -1 = damaged."""
    value, shift = 0, 0
    while at < 8 * len(words) and shift <= 30:
        nibble = (int(words[at >> 3]) >> (28 - 4 * (at & 7))) & 15
        at += 1
        value |= (nibble & 7) << shift
        if nibble < 8:
            return value, at
        shift += 3
    return 0, -1


@jit
def _fill(words: Any, pixels: Any) -> Any:
    """Fill the pixels, which are 0 before. Return whether the code is complete."""
    done, at, previous = 0, 0, 0
    while done < len(pixels):
        zeros, at = _read(words, at)
        if at < 0 or zeros > len(pixels) - done:
            return False
        done += zeros
        differences, at = _read(words, at)
        if at < 0 or differences > len(pixels) - done:
            return False
        for _ in range(differences):
            folded, at = _read(words, at)
            if at < 0:
                return False
            previous = (previous + ((folded >> 1) ^ -(folded & 1))) & 0xFFFF
            pixels[done] = previous
            done += 1
    return True
