"""One affine map for everything that is known of a picture: image, keypoints, boxes, areas."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pose_ros.arrays import BoolArray, ByteArray, DoubleArray, FloatArray, Image, IndexArray
from pose_ros.datasets.labels import has_place
from pose_ros.datasets.regions import paint_box
from pose_ros.datasets.sample import ABSENT, UNKNOWN, Sample

Matrix = DoubleArray

GREY = 128
"""What lies beyond a picture."""
_MOST_PEOPLE = 255  # of a people map


def affine(scale: float, degrees: float, mirrored: bool, from_xy: npt.ArrayLike, to_xy: npt.ArrayLike) -> Matrix:
    """(2, 3) map that brings ``from_xy`` to ``to_xy``, mirrored first if wanted, turned and scaled about it."""
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        turn[:, 0] *= -1
    return np.column_stack([turn, np.asarray(to_xy) - turn @ np.asarray(from_xy)])


def warp(
    sample: Sample,
    matrix: Matrix,
    size_wh: tuple[int, int],
    flip_order: Sequence[int],
    *,
    least_px: float = 0,
    onto: Image | None = None,
) -> Sample:
    """Map a sample into another picture.

    Keypoints that leave the picture are absent, people with nothing left are dropped, and people of whom hardly
    anything is left become ignored areas. Beyond the old picture is grey, where nobody is.

    Args:
        sample: Not modified.
        matrix: (2, 3), pixels of the sample to pixels of the result; one that mirrors swaps left and right.
        size_wh: Size of the result.
        flip_order: See ``Skeleton.flip_order``.
        least_px: Longer side of what is left of a person; below that, the person becomes an ignored area.
        onto: (H, W, 3) array that the image is drawn into, possibly part of a larger one.
    """
    mirrored = np.linalg.det(matrix[:, :2]) < 0
    keypoints, states = _keypoints(sample, matrix, size_wh)
    if mirrored:
        keypoints, states = keypoints[:, flip_order], states[:, flip_order]
    boxes = _boxes(sample, matrix, size_wh)
    kept, ignored_boxes = _sorted_out(states, boxes, least_px)
    image = _image(sample.image_bgr, matrix, size_wh, onto)
    ignored = _ignored(sample.ignored, matrix, size_wh, boxes[ignored_boxes])
    people_map = None
    if sample.people_map is not None:
        numbers = np.zeros(_MOST_PEOPLE + 1, np.uint8)
        numbers[1 + kept] = 1 + np.arange(len(kept))
        people_map = cv2.LUT(_mask(sample.people_map, matrix, size_wh), numbers)
    return Sample(image, keypoints[kept], states[kept], boxes[kept], ignored, people_map)


def _keypoints(sample: Sample, matrix: Matrix, size_wh: tuple[int, int]) -> tuple[FloatArray, ByteArray]:
    placed = has_place(sample.states)
    xy = sample.keypoints @ matrix[:, :2].T + matrix[:, 2]
    inside = ((xy >= -0.5) & (xy <= np.array(size_wh) - 0.5)).all(axis=2)
    states = np.where(placed & ~inside, ABSENT, sample.states).astype(np.uint8)
    return np.where(has_place(states)[..., None], xy, 0).astype(np.float32), states


def _boxes(sample: Sample, matrix: Matrix, size_wh: tuple[int, int]) -> FloatArray:
    """Boxes around the ellipses in the old boxes, clipped: turned corners would make them too large.

    Of people of whom something is unknown it may be in the corners.
    """
    low, high = sample.boxes[:, :2].astype(np.float64), sample.boxes[:, 2:].astype(np.float64)
    centre = (low + high) / 2 @ matrix[:, :2].T + matrix[:, 2]
    of_ellipse = np.sqrt(((high - low) / 2) ** 2 @ (matrix[:, :2] ** 2).T)
    of_corners = (high - low) / 2 @ np.abs(matrix[:, :2]).T
    half = np.where((sample.states == UNKNOWN).any(axis=1, keepdims=True), of_corners, of_ellipse)
    limit = np.array(size_wh) - 0.5
    return np.hstack([np.clip(centre - half, -0.5, limit), np.clip(centre + half, -0.5, limit)]).astype(np.float32)


def _sorted_out(states: ByteArray, boxes: FloatArray, least_px: float) -> tuple[IndexArray, IndexArray]:
    """Indices of people to keep, and of those whose boxes are to be ignored."""
    extent = boxes[:, 2:] - boxes[:, :2]
    is_there = (extent > 0).all(axis=1)
    has_keypoints = has_place(states).any(axis=1)
    is_large = extent.max(axis=1, initial=0) >= least_px
    kept = is_there & has_keypoints & is_large
    dropped_in_sight = is_there & ~kept & (has_keypoints | (states == UNKNOWN).any(axis=1))
    return np.flatnonzero(kept), np.flatnonzero(dropped_in_sight)


def _image(image: Image, matrix: Matrix, size_wh: tuple[int, int], onto: Image | None) -> Image:
    """Halve by averages as long as that fits, then interpolate: no aliasing at little cost."""
    scale, matrix = np.sqrt(abs(np.linalg.det(matrix[:, :2]))), matrix.copy()
    while scale <= 0.5 and min(image.shape[:2]) >= 2:
        even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
        image = cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)
        matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5]  # x = 2 x' + 1/2: the centre of a pixel of the half-size image
        matrix[:, :2] *= 2
        scale *= 2
    canvas = onto if onto is not None else np.empty((size_wh[1], size_wh[0], 3), np.uint8)
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": [GREY] * 3}
    cv2.warpAffine(image, matrix, size_wh, dst=canvas, flags=cv2.INTER_LINEAR, **border)
    return canvas


def _mask(mask: ByteArray, matrix: Matrix, size_wh: tuple[int, int]) -> ByteArray:
    warped: ByteArray = cv2.warpAffine(mask, matrix, size_wh, flags=cv2.INTER_NEAREST)
    return warped


def _ignored(
    ignored: BoolArray | None, matrix: Matrix, size_wh: tuple[int, int], boxes: FloatArray
) -> BoolArray | None:
    if ignored is None and len(boxes) == 0:
        return None
    mask = np.zeros(size_wh[::-1], np.uint8) if ignored is None else _mask(ignored.view(np.uint8), matrix, size_wh)
    for box in boxes:
        paint_box(mask, box, 1)
    return mask.view(np.bool_)
