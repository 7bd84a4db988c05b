"""Apply one affine map to a whole sample: image, keypoints, boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pose_ros.arrays import BoolArray, ByteArray, DoubleArray, FloatArray, Image, IndexArray
from pose_ros.datasets.labels import has_position
from pose_ros.datasets.regions import paint_box
from pose_ros.datasets.sample import ABSENT, UNKNOWN, Sample

Matrix = DoubleArray

GREY = 128
"""Value of the pixels outside the source image."""
_MAX_PEOPLE = 255  # people in a people map of uint8


def affine(scale: float, degrees: float, mirrored: bool, from_xy: npt.ArrayLike, to_xy: npt.ArrayLike) -> Matrix:
    """Make a (2, 3) map that mirrors if requested, then rotates and scales, and moves ``from_xy`` to ``to_xy``."""
    angle = np.deg2rad(degrees)
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        rotation[:, 0] *= -1
    return np.column_stack([rotation, np.asarray(to_xy) - rotation @ np.asarray(from_xy)])


def warp(
    sample: Sample,
    matrix: Matrix,
    size_wh: tuple[int, int],
    flip_order: Sequence[int],
    *,
    min_size_px: float = 0,
    out: Image | None = None,
) -> Sample:
    """Map a sample into an image of another size and position.

    Keypoints that leave the image become ABSENT. People without a keypoint in the image are dropped. A person whose
    visible part is too small, or who has only UNKNOWN keypoints in the image, becomes an ignored area. Pixels outside
    the source image are grey and contain no people.

    Args:
        sample: Sample to map, not modified.
        matrix: (2, 3) map from pixels of the sample to pixels of the result. A map that mirrors swaps left and right.
        size_wh: Width and height of the result, px.
        flip_order: See ``Skeleton.flip_order``.
        min_size_px: Smallest longer side of the visible box of a person, px. A person below it is ignored.
        out: (H, W, 3) array for the image of the result, may be a view into a larger array. None = a new array.
    """
    mirrored = np.linalg.det(matrix[:, :2]) < 0
    keypoints, states = _warp_keypoints(sample, matrix, size_wh)
    if mirrored:
        keypoints, states = keypoints[:, flip_order], states[:, flip_order]
    boxes = _warp_boxes(sample, matrix, size_wh)
    kept, ignored_boxes = _select_people(states, boxes, min_size_px)
    image = _warp_image(sample.image_bgr, matrix, size_wh, out)
    ignored = _warp_ignored(sample.ignored, matrix, size_wh, boxes[ignored_boxes])
    people_map = None
    if sample.people_map is not None:
        numbers = np.zeros(_MAX_PEOPLE + 1, np.uint8)
        numbers[1 + kept] = 1 + np.arange(len(kept))
        people_map = cv2.LUT(_warp_mask(sample.people_map, matrix, size_wh), numbers)
    return Sample(image, keypoints[kept], states[kept], boxes[kept], ignored, people_map)


def _warp_keypoints(sample: Sample, matrix: Matrix, size_wh: tuple[int, int]) -> tuple[FloatArray, ByteArray]:
    placed = has_position(sample.states)
    xy = sample.keypoints @ matrix[:, :2].T + matrix[:, 2]
    inside = ((xy >= -0.5) & (xy <= np.array(size_wh) - 0.5)).all(axis=2)
    states = np.where(placed & ~inside, ABSENT, sample.states).astype(np.uint8)
    return np.where(has_position(states)[..., None], xy, 0).astype(np.float32), states


def _warp_boxes(sample: Sample, matrix: Matrix, size_wh: tuple[int, int]) -> FloatArray:
    """Return clipped boxes around the mapped inner ellipses of the old boxes.

    Boxes around the mapped corners would be too large. They are used only for people with unknown keypoints, which may
    be in the corners.
    """
    low, high = sample.boxes[:, :2].astype(np.float64), sample.boxes[:, 2:].astype(np.float64)
    centre = (low + high) / 2 @ matrix[:, :2].T + matrix[:, 2]
    of_ellipse = np.sqrt(((high - low) / 2) ** 2 @ (matrix[:, :2] ** 2).T)
    of_corners = (high - low) / 2 @ np.abs(matrix[:, :2]).T
    half = np.where((sample.states == UNKNOWN).any(axis=1, keepdims=True), of_corners, of_ellipse)
    limit = np.array(size_wh) - 0.5
    return np.hstack([np.clip(centre - half, -0.5, limit), np.clip(centre + half, -0.5, limit)]).astype(np.float32)


def _select_people(states: ByteArray, boxes: FloatArray, min_size_px: float) -> tuple[IndexArray, IndexArray]:
    """Return the indices of people to keep, and of people whose boxes become ignored areas."""
    extent = boxes[:, 2:] - boxes[:, :2]
    is_inside = (extent > 0).all(axis=1)
    has_keypoints = has_position(states).any(axis=1)
    is_large = extent.max(axis=1) >= min_size_px
    kept = is_inside & has_keypoints & is_large
    ignored = is_inside & ~kept & (has_keypoints | (states == UNKNOWN).any(axis=1))
    return np.flatnonzero(kept), np.flatnonzero(ignored)


def _warp_image(image: Image, matrix: Matrix, size_wh: tuple[int, int], out: Image | None) -> Image:
    """Halve the image by averaging while the scale is at most 0.5, then interpolate. This avoids aliasing cheaply."""
    scale, matrix = np.sqrt(abs(np.linalg.det(matrix[:, :2]))), matrix.copy()
    while scale <= 0.5 and min(image.shape[:2]) >= 2:
        even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        image = cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5]  # x = 2 x' + 1/2: pixel centre x' of the half-size image
        matrix[:, :2] *= 2
        scale *= 2
    canvas = out if out is not None else np.empty((size_wh[1], size_wh[0], 3), np.uint8)
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": [GREY] * 3}
    cv2.warpAffine(image, matrix, size_wh, dst=canvas, flags=cv2.INTER_LINEAR, **border)
    return canvas


def _warp_mask(mask: ByteArray, matrix: Matrix, size_wh: tuple[int, int]) -> ByteArray:
    warped: ByteArray = cv2.warpAffine(mask, matrix, size_wh, flags=cv2.INTER_NEAREST)
    return warped


def _warp_ignored(
    ignored: BoolArray | None, matrix: Matrix, size_wh: tuple[int, int], boxes: FloatArray
) -> BoolArray | None:
    if ignored is None and len(boxes) == 0:
        return None
    mask = np.zeros(size_wh[::-1], np.uint8) if ignored is None else _warp_mask(ignored.view(np.uint8), matrix, size_wh)
    for box in boxes:
        paint_box(mask, box, 1)
    return mask.view(np.bool_)
