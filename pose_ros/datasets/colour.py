"""Change colours and sharpness of an image, each in one pass over the pixels."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from pose_ros.arrays import DoubleArray, Image

_GREY_BGR = np.array([0.114, 0.587, 0.299])  # ITU-R BT.601
_NOISE_LENGTH = 1 << 20
_NOISE_SIGMA = 32.0


def colour_matrix(brightness: float, contrast: float, saturation: float, hue_degrees: float) -> DoubleArray:
    """Make a (3, 4) affine map of BGR values.

    The map first rotates the hue about the grey axis. It then changes saturation, contrast about mid-grey and
    brightness, in this order.

    Args:
        brightness: Added brightness, as a fraction of white. 0 = no change.
        contrast: Contrast factor. 1 = no change.
        saturation: Saturation factor. 1 = no change, 0 = grey.
        hue_degrees: Rotation of the hue, degrees. 0 = no change.
    """
    angle = np.deg2rad(hue_degrees)
    axis = np.full(3, 1 / np.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)
    grey = np.broadcast_to(_GREY_BGR, (3, 3))
    matrix = contrast * (saturation * np.eye(3) + (1 - saturation) * grey) @ turn
    return np.column_stack([matrix, np.full(3, 255 * brightness + 127.5 * (1 - contrast))])


def recolour(image: Image, matrix: DoubleArray) -> Image:
    """Apply a ``colour_matrix``."""
    recoloured: Image = cv2.transform(image, matrix)
    return recoloured


def apply_gamma(image: Image, exponent: float) -> Image:
    """Raise pixel values, as a fraction of white, to a power."""
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    changed: Image = cv2.LUT(image, table)
    return changed


def blur(image: Image, sigma_px: float) -> Image:
    """Blur an image with a Gaussian, as if it were out of focus."""
    blurred: Image = cv2.GaussianBlur(image, (0, 0), sigma_px)
    return blurred


def motion_blur(image: Image, length_px: float, degrees: float) -> Image:
    """Blur an image along a straight line, as if the camera had moved during the exposure."""
    radius = int(np.ceil(length_px / 2))
    half = length_px / 2 * np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.uint8)
    ends = np.rint(16 * np.array([radius - half, radius + half])).astype(int)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 255, 1, cv2.LINE_AA, 4)
    blurred: Image = cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1.0))
    return blurred


def add_noise(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Add Gaussian noise with a standard deviation in grey levels. The noise starts at a random index of a table."""
    table = _noise_table()
    if image.size > table.size // 2:
        table = np.resize(table, 2 * image.size)
    start = int(rng.integers(table.size - image.size))
    grain, share = table[start : start + image.size].reshape(image.shape), sigma / _NOISE_SIGMA
    noisy: Image = cv2.addWeighted(image, 1.0, grain, share, -128 * share)
    return noisy


def compress_jpeg(image: Image, quality: int) -> Image:
    """Compress an image as JPEG with a quality of 1 to 100, and decode it again."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded: Image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return decoded


@lru_cache(maxsize=1)
def _noise_table() -> Image:
    values = np.random.default_rng(0).normal(128, _NOISE_SIGMA, _NOISE_LENGTH)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
