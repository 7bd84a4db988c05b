"""Convert images with floating-point values to 8 bits, which OpenCV does not do."""

from __future__ import annotations

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, Image

_RANGES = (1.0, 255.0, 65535.0)


def convert_floats(stored: AnyArray) -> Image:
    """Convert an image with floating-point values to (H, W, 3) BGR.

    The white level is 1, 255 or 65535: the lowest of them that no value exceeds.

    Args:
        stored: (H, W) or (H, W, C) float32 or float64, BGR.

    Raises:
        ValueError: If values are negative, not finite, or above 65535, as in depth images.
    """
    values: AnyArray = stored[..., :3] if stored.ndim == 3 else stored
    low, high = float(values.min()), float(values.max())
    white = next((white for white in _RANGES if high <= white), None)
    if not low >= 0 or white is None:
        raise ValueError(f"expected values from 0 to 1, 255 or 65535, got {low:g} to {high:g}; convert it to 8 bits")
    image = cv2.convertScaleAbs(np.ascontiguousarray(values, np.float32), alpha=255 / white)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 or image.shape[2] == 1 else np.asarray(image)
