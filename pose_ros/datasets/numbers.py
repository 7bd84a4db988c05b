"""Read the numbers of labels and results, and check that they are finite and have the right sign and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray

_MOST_PX = 1e6
"""Largest position and size of any image, px."""
_FRACTION = 2.0
"""Positions up to this number are fractions of the image size, not px."""
_MIN_FRACTIONS = 3  # fewest keypoints of a person that show the unit


def read_numbers(
    values: Any, name: str, shape: tuple[int, ...], low: float = -_MOST_PX, high: float = _MOST_PX
) -> DoubleArray:
    """Read finite numbers.

    Args:
        values: Numbers of a file, in any nesting.
        name: What the numbers are, for messages.
        shape: Shape to return.
        low: Smallest number.
        high: Largest number.

    Raises:
        ValueError: If these are not as many numbers as expected, or one is not finite, too small or too large.
    """
    count = int(np.prod(shape))
    numbers = _to_array(values, name)
    if numbers.size != count:
        raise ValueError(f"{name}: expected {count} numbers, got {numbers.size}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    if (numbers < low).any() or (numbers > high).any():
        raise ValueError(f"{name}: expected numbers from {low:g} to {high:g}, got {numbers.tolist()!s:.80}")
    return numbers.reshape(shape)


def read_keypoints(
    entry: Mapping[str, Any], count: int, where: str, size_wh: Sequence[int] | None = None
) -> DoubleArray:
    """Read the keypoints of a COCO annotation or result.

    Args:
        entry: Annotation. One without ``keypoints`` has none.
        count: Number of keypoints, K.
        where: Name of the annotation, for messages.
        size_wh: See ``check_keypoints``.

    Returns:
        (K, 3) x and y in px, and the third number. Keypoints whose third number is not above 0 are at (0, 0).

    Raises:
        ValueError: If the numbers are not K keypoints, not finite, or have another unit.
    """
    values = _to_array(_value_of(entry, "keypoints", ()), f"{where}: keypoints")
    if values.size not in (0, 3 * count):
        raise ValueError(f"{where}: expected {count} keypoints of x, y, v ({3 * count} numbers), got {values.size}")
    triples = values.reshape(-1, 3) if values.size else np.zeros((count, 3))
    if not np.isfinite(triples[:, 2]).all():
        raise ValueError(f"{where}: keypoints: expected finite numbers, got NaN or infinity")
    present = triples[:, 2] > 0
    try:
        check_keypoints(triples[:, :2], present, size_wh)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return np.where(present[:, None], triples, 0.0)


def read_scores(entry: Mapping[str, Any], count: int, where: str) -> DoubleArray:
    """Read ``keypoint_scores`` (K,) of a network.

    Raises:
        ValueError: If these are not K numbers from 0 to 1.
    """
    scores = read_numbers(entry["keypoint_scores"], f"{where}: keypoint_scores", (count,), 0.0)
    if (scores > 1).any():
        raise ValueError(f"{where}: expected finite positions and scores of at most 1, got {scores.tolist()}")
    return scores


def read_box(entry: Mapping[str, Any], where: str, size_wh: Sequence[int] | None = None) -> DoubleArray | None:
    """Read ``bbox``.

    Returns:
        (4,) x, y, width, height, px. None for a box that is missing or has no size.

    Raises:
        ValueError: If these are not four finite numbers with sizes of at least 0, or the box is far outside the image.
    """
    values = _value_of(entry, "bbox", ())
    if np.size(values) == 0:
        return None
    box = _to_array(values, f"{where}: bbox")
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] < 0).any() or (np.abs(box) > _MOST_PX).any():
        raise ValueError(f"{where}: expected bbox [x, y, width, height] with sizes >= 0, got {values}")
    if size_wh is not None and _is_far_outside(np.stack([box[:2], box[:2] + box[2:]]), size_wh):
        raise ValueError(
            f"{where}: expected bbox [x, y, width, height] in an image of {size_wh[0]} x {size_wh[1]} px, "
            f"got {box.tolist()}; check the unit"
        )
    return box if (box[2:] > 0).all() else None


def read_area(entry: Mapping[str, Any], where: str, size_wh: Sequence[int] | None = None) -> float | None:
    """Read ``area``.

    Returns:
        Area, px². None for an area that is missing or 0.

    Raises:
        ValueError: If it is not a number from 1 to twice the area of the image. Boxes may leave the image.
    """
    value = _value_of(entry, "area", 0)
    area = float(_to_array(value, f"{where}: area").sum()) if np.size(value) == 1 else np.nan
    largest = 2.0 * size_wh[0] * size_wh[1] if size_wh is not None else _MOST_PX**2
    if area == 0:
        return None
    if not 1 <= area <= largest:
        raise ValueError(f"{where}: expected an area from 1 to {largest:g} px², got {value}; check the unit")
    return area


def read_size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    """Read ``width`` and ``height`` of an image, px. None if one is missing.

    Raises:
        ValueError: If one is not a number of pixels.
    """
    sides = entry.get("width"), entry.get("height")
    if None in sides:
        return None
    width, height = read_numbers(sides, f"image {entry.get('id')}: width and height", (2,), 1.0)
    return int(width), int(height)


def check_keypoints(keypoints: AnyArray, labelled: BoolArray, size_wh: Sequence[int] | None) -> None:
    """Check labelled positions against the image size.

    Positions a few pixels outside the image are common and allowed. ``AnnotatedImage.to_sample`` makes them ABSENT.
    Positions further outside than one image size belong to another image or have another unit.

    Args:
        keypoints: (N, K, 2) or (K, 2) positions.
        labelled: (N, K) or (K,) keypoints to check.
        size_wh: Width and height of the image, in the unit of the positions. (1, 1) = the positions are fractions.
            None = unknown.

    Raises:
        ValueError: If a position is not a finite number, is far outside the image, or is a fraction instead of px.
    """
    xy = keypoints[labelled]
    if not np.isfinite(xy).all() or (np.abs(xy) > _MOST_PX).any():
        raise ValueError(f"keypoints: expected finite numbers up to {_MOST_PX:g}, got NaN, infinity or a larger number")
    if size_wh is not None and _is_far_outside(xy, size_wh):
        raise ValueError(
            f"keypoints: expected x in 0 to {size_wh[0]} and y in 0 to {size_wh[1]}, got {_shorten(xy)}; check the unit"
        )
    if (size_wh is None or max(size_wh) > 1) and are_fractions(keypoints, labelled):
        raise ValueError(
            f"keypoints: expected positions in px, got fractions of the image size: {_shorten(xy)}; "
            "multiply x by the width and y by the height"
        )


def are_fractions(keypoints: AnyArray, present: BoolArray) -> bool:
    """Check whether the positions (..., K, 2) of people are fractions of the image size instead of px."""
    xy = keypoints[present]
    return len(xy) >= _MIN_FRACTIONS and bool((np.abs(xy) <= _FRACTION).all())


def check_image_size(file: Path, labelled_wh: tuple[int, int] | None, size_wh: tuple[int, int]) -> None:
    """Compare the size of an image with the size in its labels. None = the labels have no size.

    Raises:
        ValueError: If they differ.
    """
    if labelled_wh in (None, size_wh):
        return
    rotated = labelled_wh == size_wh[::-1]
    hint = "; the labels are those of the image before its EXIF rotation: label the rotated image" if rotated else ""
    raise ValueError(f"image {file}: expected width and height {labelled_wh} as in the labels, got {size_wh}{hint}")


def _is_far_outside(xy: AnyArray, size_wh: Sequence[int]) -> bool:
    return bool(((xy < -np.array(size_wh)) | (xy > 2 * np.array(size_wh))).any())


def _shorten(xy: AnyArray) -> str:
    """Return the outermost positions as text."""
    return ", ".join(str(np.round(each, 3).tolist()) for each in (xy.min(axis=0), xy.max(axis=0)))


def _value_of(entry: Mapping[str, Any], key: str, missing: Any) -> Any:
    """Return a value of an entry. ``null`` is a missing value."""
    value = entry.get(key)
    return missing if value is None else value


def _to_array(values: Any, name: str) -> DoubleArray:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name}: expected numbers, got {values!r:.80} ({error!s:.100})") from error
