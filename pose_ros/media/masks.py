"""Show masks of people: drawn over an image, or as an image of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, Image
from pose_ros.people import People

PERSON_COLOURS = (
    (178, 114, 0),
    (0, 94, 213),
    (167, 121, 204),
    (66, 228, 240),
    (150, 80, 120),
    (120, 200, 120),
)
"""BGR colours of people, one after another, unlike those of the sides of a body where possible."""
_OPACITY = 0.5


def label_pixels(people: People, shape_hw: tuple[int, ...]) -> AnyArray:
    """Return the person at each pixel, (H, W): 0 = no person, n = the n-th person.

    Args:
        people: People in pixels of the image. Without masks, every pixel is 0.
        shape_hw: Rows and columns of the image.

    Returns:
        uint8, or uint16 for more than 255 people.
    """
    numbers = np.zeros(shape_hw, np.uint8 if len(people) <= np.iinfo(np.uint8).max else np.uint16)
    for number, mask in enumerate(() if people.masks is None else people.masks, start=1):
        numbers[mask] = number
    return numbers


def draw_masks(canvas: Image, masks: BoolArray, numbers: Sequence[int]) -> None:
    """Colour the masks of people in place.

    Args:
        canvas: (H, W, 3) BGR image.
        masks: (N, H, W), True for pixels of each person.
        numbers: N numbers that choose the colours, such as ids. People with the same number have the same colour.

    Raises:
        ValueError: If the masks have another size than the image.
    """
    if masks.shape[1:] != canvas.shape[:2]:
        height, width = canvas.shape[:2]
        raise ValueError(
            f"masks: expected {height} x {width} px as the image, got {masks.shape[1]} x {masks.shape[2]}; "
            "convert the people of a decoder with pose_ros.to_image"
        )
    for mask, number in zip(masks, numbers, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            continue
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        part, inside, colour = canvas[window], mask[window], PERSON_COLOURS[number % len(PERSON_COLOURS)]
        part[inside] = np.rint((1 - _OPACITY) * part[inside] + _OPACITY * np.array(colour)).astype(np.uint8)
        corner = int(columns[0]), int(rows[0])
        outlines, _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=corner)
        cv2.drawContours(canvas, outlines, -1, colour, 1)
