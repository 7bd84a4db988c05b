"""Regions of an image as data sets store them: boxes, polygons, run lengths.

References:
    Lin et al., Microsoft COCO: Common Objects in Context, arXiv:1405.0312 (segmentations of people and crowds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pose_ros.arrays import BoolArray, ByteArray, FloatArray
from pose_ros.datasets.numbers import read_numbers

Mask = ByteArray

_MOST_PIXELS = 1e12  # of any image
_SHIFT = 4  # fractional bits of the coordinates that OpenCV gets


@dataclass(frozen=True)
class Region:
    """Region of an image. The box replaces an outline that is missing or cannot be read.

    Attributes:
        box: (4,) x_min, y_min, x_max, y_max, px.
        polygons: (P, 2) corners of each polygon, px.
        run_lengths: COCO's ``{"size": [H, W], "counts": …}``. Compressed counts need pycocotools.
    """

    box: FloatArray
    polygons: tuple[FloatArray, ...] = ()
    run_lengths: Mapping[str, Any] | None = None

    @property
    def has_outline(self) -> bool:
        """Whether the region has polygons or run lengths, not only a box."""
        return bool(self.polygons) or self.run_lengths is not None

    def paint(self, mask: Mask, value: int) -> None:
        """Set the pixels of the region in a mask (H, W) to a value."""
        inside = _decode_run_lengths(self.run_lengths, mask.shape) if self.run_lengths is not None else None
        if inside is not None:
            mask[inside] = value
        elif self.polygons:
            fixed = [np.rint(polygon * (1 << _SHIFT)).astype(np.int32) for polygon in self.polygons]
            cv2.fillPoly(mask, fixed, value, cv2.LINE_8, _SHIFT)
        else:
            paint_box(mask, self.box, value)


def make_region(box: FloatArray, segmentation: Any = None) -> Region:
    """Make a region from a box and a COCO ``segmentation``, which may be polygons or run lengths.

    Raises:
        ValueError: If the polygons have no finite positions, or the run lengths have no size and counts.
    """
    if isinstance(segmentation, Mapping) and {"size", "counts"} <= segmentation.keys():
        return Region(box, run_lengths=_check_run_lengths(segmentation))
    if isinstance(segmentation, list):  # COCO's origin is the corner of the first pixel, ours is its centre
        corners = [
            read_numbers(part, "segmentation: x and y of each corner", ((np.size(part) + 1) // 2, 2))
            for part in segmentation
            if np.size(part) >= 6
        ]
        return Region(box, tuple(part.astype(np.float32) - np.float32(0.5) for part in corners))
    return Region(box)


def paint_box(mask: Mask, box: FloatArray, value: int) -> None:
    """Set the pixels of a mask (H, W) whose centres lie in a box to a value."""
    limits = np.array([mask.shape[1], mask.shape[0]] * 2)
    x_min, y_min, x_max, y_max = np.clip(np.ceil(box), 0, limits).astype(int)
    x_max, y_max = np.clip(np.floor(box[2:]) + 1, 0, limits[2:]).astype(int)
    mask[y_min:y_max, x_min:x_max] = value


def enlarge_boxes(boxes: FloatArray, fraction: float) -> FloatArray:
    """Enlarge (N, 4) boxes by a margin on each side, as a fraction of their longer side."""
    margin = fraction * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)
    return np.concatenate([boxes[:, :2] - margin[:, None], boxes[:, 2:] + margin[:, None]], axis=1).astype(np.float32)


def _check_run_lengths(run_lengths: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check that the size is two numbers, and that the counts are whole numbers or a text."""
    size, counts = read_numbers(run_lengths["size"], "segmentation: size", (2,), 0.0), run_lengths["counts"]
    if not isinstance(counts, (str, bytes)):
        runs = read_numbers(counts, "segmentation: counts", (np.size(counts),), 0.0, _MOST_PIXELS)
        counts = runs.astype(np.int64).tolist()
    return {"size": size.astype(int).tolist(), "counts": counts}


def _decode_run_lengths(run_lengths: Mapping[str, Any], shape_hw: tuple[int, ...]) -> BoolArray | None:
    """Decode run lengths to (H, W) bool. None if they cannot be decoded or have another image size."""
    if tuple(run_lengths["size"]) != tuple(shape_hw):
        return None
    counts = run_lengths["counts"]
    if isinstance(counts, list):  # alternating runs outside and inside, column by column
        if sum(counts) != np.prod(shape_hw):
            return None
        inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return inside.reshape(shape_hw[::-1]).T
    try:
        from pycocotools import mask
    except ImportError:
        return None
    decoded: ByteArray = mask.decode(dict(run_lengths))
    return decoded.astype(bool)
