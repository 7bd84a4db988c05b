"""Decode images. The only place of the package that passes image data to OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, Image
from pose_ros.file_kind import FileKind, describe_kind, identify_file
from pose_ros.files import is_file
from pose_ros.media.float_images import convert_floats
from pose_ros.media.headers import FORMATS, read_header
from pose_ros.media.headers.header import ImageHeader
from pose_ros.media.quiet_codecs import hide_codec_lines

MEGABYTE = 2**20
MAX_IMAGE_MB = 200
"""Default limit of the memory for one image, MB of 2**20 bytes: 8192 × 8192 px of 8 bits in three channels.

It counts the decoded pixels and the buffers of the codec. The Python binding of OpenCV copies the pixels once more, so
that the process may grow by twice the limit for a moment.
"""

_IMAGES = (FileKind.IMAGE, FileKind.ANIMATION, FileKind.UNKNOWN, FileKind.EMPTY)
_UNSAFE_JP2 = ("4.10.", "4.11.")


def decode_image(
    data: bytes, flags: int = cv2.IMREAD_COLOR, max_mb: float = MAX_IMAGE_MB, formats: tuple[str, ...] = FORMATS
) -> AnyArray:
    """Decode an image, if its data hold what its header promises.

    Args:
        data: Encoded image, in one of ``FORMATS``.
        flags: Flags of ``cv2.imdecode``.
        max_mb: Limit of the memory for the decoded image and its decoder, MB.
        formats: Accepted formats.

    Returns:
        The decoded image, of the shape and type that ``flags`` request. The first frame of an animation. A TIFF with
        floating-point values is converted to 8 bits by default.

    Raises:
        ValueError: If the format is not accepted, the image is too large, or the data are damaged or truncated.
    """
    header = read_header(data, formats)
    _check_version(header)
    _check_memory(header, max_mb)
    image = _decode(data, flags)
    if image is None and flags == cv2.IMREAD_COLOR and header.format == "tiff":
        stored = _decode(data, cv2.IMREAD_UNCHANGED)
        image = convert_floats(stored) if stored is not None and stored.dtype.kind == "f" else None
    if image is None:
        raise ValueError(f"expected a complete image, got {len(data)} bytes that are damaged or truncated")
    return image


def read_image(file: Path, flags: int = cv2.IMREAD_COLOR) -> Image:
    """Read an image file, upright.

    Args:
        file: Image file.
        flags: Flags of ``cv2.imdecode``. By default, the image is (H, W, 3) BGR.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a complete image, or is too large.
    """
    return decode_file_data(_read_file(file), file, flags)


def check_image(file: Path) -> None:
    """Check the header of an image file as ``read_image`` does, without decoding it.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a complete image, or is too large.
    """
    try:
        _check_memory(read_header(_read_file(file)), MAX_IMAGE_MB)
    except ValueError as error:
        raise ValueError(f"image {file}: {error}") from error


def decode_file_data(data: bytes, file: Path, flags: int = cv2.IMREAD_COLOR) -> Image:
    """Decode the content of an image file, see ``read_image``."""
    try:
        return decode_image(data, flags)
    except ValueError as error:
        raise ValueError(f"image {file}: {error}") from error


def _decode(data: bytes, flags: int) -> AnyArray | None:
    try:
        with hide_codec_lines():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:  # raised for some kinds of damage, the result is None for others
        return None
    return None if image is None else np.asarray(image)


def _read_file(file: Path) -> bytes:
    if not is_file(file):
        raise FileNotFoundError(f"image: expected a file, got {file}, which does not exist")
    kind, size = identify_file(file), file.stat().st_size
    if kind not in _IMAGES:
        raise ValueError(f"image {file}: expected a complete image, got {size} bytes, {describe_kind(kind)}")
    if size > 2 * MAX_IMAGE_MB * MEGABYTE:
        raise ValueError(f"image {file}: expected at most {2 * MAX_IMAGE_MB} MB, got {size // MEGABYTE} MB")
    return file.read_bytes()


def _check_version(header: ImageHeader) -> None:
    if header.format == "jp2" and cv2.__version__.startswith(_UNSAFE_JP2):
        raise ValueError(
            f"expected OpenCV 4.12 or later for JPEG 2000, got {cv2.__version__}, where damaged images end the process "
            "(CVE-2025-53644); update OpenCV"
        )


def _check_memory(header: ImageHeader, max_mb: float) -> None:
    if header.memory_bytes > max_mb * MEGABYTE:
        width, height = header.size_wh
        raise ValueError(
            f"expected an image of at most {max_mb:g} MB decoded, got {width} x {height} px of {header.format} with "
            f"{header.memory_bytes / MEGABYTE:.0f} MB; reduce the image"
        )
