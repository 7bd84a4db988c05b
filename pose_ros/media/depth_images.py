"""Decode depth images, raw or compressed, to metres. Needs no ROS.

References:
    REP-118 (16UC1 in mm with 0 for unknown, 32FC1 in m with NaN and Inf); compressed_depth_image_transport,
    compression_common.hpp and codec.cpp (the header of 12 bytes, and 32FC1 as a / depth + b in 16 bits).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.arrays import AnyArray, FloatArray
from pose_ros.decoder.jit import COMPILED, jit
from pose_ros.media.compressed_images import decode_stored
from pose_ros.media.encodings import DEPTH, Encoding
from pose_ros.media.headers.png import SIGNATURE
from pose_ros.media.image_messages import check_sizes
from pose_ros.media.rvl import decode_rvl

_BITS = {"16UC1": 16, "32FC1": 32}
_HEADER = struct.Struct("<iff")  # kind of quantisation, and its parameters a and b


def decode_depth(message: Any) -> FloatArray:
    """Decode a depth image.

    Args:
        message: ``sensor_msgs/Image`` or ``sensor_msgs/CompressedImage``, or an object with its fields. Raw, PNG, or
            compressedDepth with PNG or RVL.

    Returns:
        (H, W) float32, distance along the optical axis, m. NaN = unknown.

    Raises:
        ValueError: If the message is not a depth image, or is damaged, truncated or too large.
    """
    return _decode_compressed(message) if hasattr(message, "format") else _decode_raw(message)


def _decode_raw(message: Any) -> FloatArray:
    bits = _bits("encoding", message.encoding)
    check_sizes(message, Encoding(1, bits=bits))
    dtype = np.dtype(f"{'>' if message.is_bigendian else '<'}{'u2' if bits == 16 else 'f4'}")
    shape, strides = (message.height, message.width), (message.step, dtype.itemsize)
    stored: AnyArray = np.ndarray(shape, dtype, message.data, 0, strides)
    return _mark_unknown(_from_millimetres(stored) if bits == 16 else stored.astype(np.float32, order="C"))


def _decode_compressed(message: Any) -> FloatArray:
    """Decode PNG without a header, or compressedDepth. Old publishers of compressedDepth do not name their codec."""
    encoding, _, codec = message.format.partition(";")
    bits, data = _bits("format", encoding.strip()), bytes(message.data)
    if data.startswith(SIGNATURE):
        if bits != 16:
            raise ValueError("format: expected 16UC1 for a PNG without header, got 32FC1; use compressedDepth")
        return _mark_unknown(_from_millimetres(_decode_png(data)))
    if len(data) <= _HEADER.size:
        raise ValueError(f"data: expected a header of {_HEADER.size} bytes and an image, got {len(data)} bytes")
    _, a, b = _HEADER.unpack_from(data)
    image = data[_HEADER.size :]
    stored = decode_rvl(image) if "rvl" in codec else _decode_png(image)
    return _mark_unknown(_from_millimetres(stored) if bits == 16 else _dequantise(stored, a, b))


def _bits(name: str, encoding: str) -> int:
    if encoding not in DEPTH:
        advice = "remap 'depth/image' to a depth image that is registered to the colour image"
        raise ValueError(f"{name}: expected a depth image in {' or '.join(DEPTH)}, got {encoding!r}; {advice}")
    return _BITS[encoding]


def _decode_png(data: bytes) -> npt.NDArray[np.uint16]:
    stored = decode_stored(data)
    if stored.dtype != np.uint16 or stored.ndim != 2:
        raise ValueError(f"data: expected 16 bits in one channel, got {stored.dtype} {stored.shape}")
    return stored


def _from_millimetres(stored: AnyArray) -> FloatArray:
    return np.multiply(stored, np.float32(0.001), dtype=np.float32, order="C")


def _dequantise(stored: AnyArray, a: float, b: float) -> FloatArray:
    """Return distances, m: a / (value - b)."""
    if not (np.isfinite(a) and np.isfinite(b)):
        raise ValueError(f"data: expected finite parameters of the quantisation, got {a} and {b}")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        table: FloatArray = (np.float64(a) / (np.arange(65536) - np.float64(b))).astype(np.float32)
    table[0] = 0
    return table[stored]


def _mark_unknown(metres: FloatArray) -> FloatArray:
    """Set distances to NaN in place that are not finite or not above 0. Return them."""
    (_clear if COMPILED else _clear_numpy)(metres)
    return metres


@jit
def _clear(metres: Any) -> None:
    for row in range(metres.shape[0]):
        for column in range(metres.shape[1]):
            if not 0 < metres[row, column] < np.inf:
                metres[row, column] = np.nan


def _clear_numpy(metres: FloatArray) -> None:
    """Do the same as ``_clear``, without a compiler."""
    metres[~((metres > 0) & (metres < np.inf))] = np.nan
