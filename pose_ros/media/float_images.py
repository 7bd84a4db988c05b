"""Read TIFF images with floating-point values, which OpenCV does not convert to 8 bits."""

from __future__ import annotations

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, Image

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_RANGES = (1.0, 255.0, 65535.0)


def read_float_tiff(data: bytes) -> Image | None:
    """Read a TIFF with floating-point values as (H, W, 3) BGR.

    The white level is 1, 255 or 65535: the lowest of them that no value exceeds.

    Args:
        data: Content of the file.

    Returns:
        The image, or None if the data are no complete TIFF of this kind.

    Raises:
        ValueError: If values are negative, not finite, or above 65535, as in depth images.
    """
    if not data.startswith(TIFF_STARTS):
        return None
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if stored is None or stored.dtype not in (np.float32, np.float64):
        return None
    values: AnyArray = stored[..., :3] if stored.ndim == 3 else stored
    low, high = float(values.min()), float(values.max())
    white = next((white for white in _RANGES if high <= white), None)
    if not low >= 0 or white is None:
        raise ValueError(f"expected values from 0 to 1, 255 or 65535, got {low:g} to {high:g}; convert it to 8 bits")
    image = cv2.convertScaleAbs(np.ascontiguousarray(values, np.float32), alpha=255 / white)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 or image.shape[2] == 1 else np.asarray(image)
