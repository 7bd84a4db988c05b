"""Convert the people of a decoder from the input of the network to the pixels of the image: keypoints and masks."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from pose_ros.arrays import BoolArray
from pose_ros.fields import ModelSpec
from pose_ros.people import People
from pose_ros.preprocess import ImageTransform


def to_image(people: People, spec: ModelSpec, transform: ImageTransform) -> People:
    """Return the people in pixels of the image.

    Args:
        people: People that a decoder found, in pixels of the network input. Their masks are on the grid of the fields.
        spec: Description of the model.
        transform: Mapping between the image and the network input.
    """
    placed = people.with_keypoints(transform.to_image(people.keypoints))
    return placed if people.masks is None else replace(placed, masks=enlarge_masks(people.masks, spec, transform))


def enlarge_masks(masks: BoolArray, spec: ModelSpec, transform: ImageTransform) -> BoolArray:
    """Convert masks from the cells of the fields to the pixels of the image.

    A pixel is in a mask if the mask, interpolated bilinearly between the cells, is above 1/2 there. Masks that share no
    cell thus share no pixel.

    Args:
        masks: (N, rows, columns), one value for each cell. Not modified.
        spec: Description of the model, which gives the position of each cell.
        transform: Mapping between the image and the network input.

    Returns:
        (N, H, W).
    """
    width, height = transform.image_wh
    enlarged = np.zeros((len(masks), height, width), np.bool_)
    cells_per_px = transform.scale_xy / spec.stride
    first_cell = (0.5 * transform.scale_xy - 0.5 - spec.origin) / spec.stride  # cell at the first pixel
    grid_wh = np.array(masks.shape[:0:-1])
    for mask, out in zip(masks, enlarged, strict=True):
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            continue
        low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]])
        low_px = np.where(low > 0, (low - 1 - first_cell) / cells_per_px, 0)  # cells at the border extend beyond it
        high_px = np.where(high < grid_wh - 1, (high + 1 - first_cell) / cells_per_px, (width, height))
        x_min, y_min = np.floor(low_px).astype(int).clip(0, (width, height)).tolist()
        x_max, y_max = np.ceil(high_px).astype(int).clip(0, (width, height)).tolist()
        if x_min >= x_max or y_min >= y_max:  # in the padding
            continue
        shift = first_cell + cells_per_px * (x_min, y_min)
        matrix = np.column_stack([np.diag(cells_per_px), shift])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (x_max - x_min, y_max - y_min)
        warped = cv2.warpAffine(mask.astype(np.float32), matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        out[y_min:y_max, x_min:x_max] = warped > 0.5
    return enlarged
