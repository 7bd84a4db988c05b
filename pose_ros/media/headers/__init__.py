"""Headers of encoded images: the size is read from the data before anything is decoded.

A decoder allocates what a header requests. These readers go through the container and refuse what the data cannot
hold. They know every format that OpenCV decodes. Images of other formats are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from pose_ros.media.headers import avif, gif, jpeg, jpeg2000, png, rasters, tiff, webp
from pose_ros.media.headers.header import MAX_SIDE_PX, BrokenHeaderError, ImageHeader

Test = Callable[[bytes], object]
"""Tells from the first bytes whether data are of a format."""
Reader = Callable[[bytes], ImageHeader]
"""Reads the header of one format."""


def _starts_with(*signatures: bytes) -> Test:
    return lambda data: data.startswith(signatures)


READERS: dict[str, tuple[Test, Reader]] = {
    "jpeg": (_starts_with(jpeg.SIGNATURE), jpeg.read_jpeg),
    "png": (_starts_with(png.SIGNATURE), png.read_png),
    "tiff": (_starts_with(*tiff.SIGNATURES), tiff.read_tiff),
    "webp": (webp.is_webp, webp.read_webp),
    "bmp": (_starts_with(rasters.BMP), rasters.read_bmp),
    "gif": (_starts_with(*gif.SIGNATURES), gif.read_gif),
    "jp2": (_starts_with(jpeg2000.BOX_SIGNATURE, jpeg2000.STREAM_SIGNATURE), jpeg2000.read_jpeg2000),
    "avif": (avif.is_avif, avif.read_avif),
    "netpbm": (rasters.NETPBM.match, rasters.read_netpbm),
    "pam": (rasters.PAM.match, rasters.read_pam),
    "pfm": (rasters.PFM.match, rasters.read_pfm),
    "hdr": (_starts_with(*rasters.RADIANCE), rasters.read_radiance),
    "sun raster": (_starts_with(rasters.SUN), rasters.read_sun_raster),
}
"""By name of the format: its test and its reader."""
FORMATS = tuple(READERS)
"""Formats of image files."""
CAMERA_FORMATS = ("jpeg", "png", "tiff")
"""Formats of compressed image messages."""


def find_format(data: bytes) -> str | None:
    """Return the name of the format that the first bytes tell, or None."""
    return next((name for name, (is_format, _) in READERS.items() if is_format(data)), None)


def read_header(data: bytes, formats: tuple[str, ...] = FORMATS) -> ImageHeader:
    """Read the header of an image without decoding it.

    Args:
        data: Encoded image.
        formats: Accepted formats.

    Raises:
        ValueError: If the format is not accepted, or the data are damaged or truncated.
    """
    name = find_format(data)
    if name not in formats:
        if not data:
            raise ValueError("expected a complete image, got 0 bytes")
        raise ValueError(
            f"expected a complete image, got {len(data)} bytes that start with {data[:8]!r}; use "
            f"{', '.join(formats[:-1])} or {formats[-1]}"
        )
    try:
        header = READERS[name][1](data)
    except BrokenHeaderError as error:
        raise ValueError(f"expected a complete image, got {len(data)} bytes with a broken header: {error}") from error
    except (struct.error, IndexError) as error:
        raise ValueError(
            f"expected a complete image, got {len(data)} bytes with a broken header, damaged or truncated"
        ) from error
    _check(header, len(data))
    return header


def _check(header: ImageHeader, length: int) -> None:
    width, height = header.size_wh
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise ValueError(f"expected sides of 1 to {MAX_SIDE_PX} px, got {width} x {height}")
    if header.data_bytes > length:
        raise ValueError(
            f"expected a complete image, got {length} bytes, where {width} x {height} px of {header.format} need at "
            f"least {header.data_bytes}; damaged or truncated"
        )
