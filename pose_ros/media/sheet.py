"""Draw contact sheets: images of one size in rows, with titles."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pose_ros.arrays import Image

GAP_PX = 4
BAR_PX = 22
_FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.45)
_WHITE = (255, 255, 255)


def arrange(images: Sequence[Image], columns: int) -> Image:
    """Arrange images of one size row by row, with white gaps.

    Args:
        images: At least one image, (H, W, 3) each.
        columns: Images per row.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = images[0].shape[0] + GAP_PX, images[0].shape[1] + GAP_PX
    canvas = np.full((rows * height - GAP_PX, columns * width - GAP_PX, 3), 255, np.uint8)
    for n, image in enumerate(images):
        y, x = n // columns * height, n % columns * width
        canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
    return canvas


def add_title(image: Image, text: str) -> Image:
    """Add a dark bar with a line of text above an image."""
    barred: Image = cv2.copyMakeBorder(image, BAR_PX, 0, 0, 0, cv2.BORDER_CONSTANT, value=(32, 32, 32))
    cv2.putText(barred, text, (4, BAR_PX - 6), *_FONT, _WHITE, 1, cv2.LINE_AA)
    return barred


def write_caption(image: Image, text: str) -> None:
    """Write a line of text on the darkened lower left corner of an image, in place."""
    (width, height), _ = cv2.getTextSize(text, *_FONT, 1)
    image[-height - 12 :, : width + 12] //= 3
    cv2.putText(image, text, (6, image.shape[0] - 7), *_FONT, _WHITE, 1, cv2.LINE_AA)
