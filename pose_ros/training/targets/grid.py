"""Convert the labels of a sample to the grid of the fields of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import BoolArray, ByteArray, DoubleArray, LongArray
from pose_ros.datasets.sample import LABELLED, Sample
from pose_ros.fields import ModelSpec


@dataclass(frozen=True)
class GridLabels:
    """Labels of N people with K keypoints on a grid of H x W cells.

    Attributes:
        shape_hw: Rows and columns of the grid.
        stride: Pixels per cell.
        keypoints_xy: (N, K, 2), cells. Cell centres are at integers.
        states: (N, K), keypoint states as in ``Sample``.
        boxes: (N, 4), x_min, y_min, x_max, y_max, cells.
        valid: (H, W) uint8, 0 in ignored areas and 1 elsewhere.
        people_map: (H, W), 1 + index of the person at each cell, 0 = no person. None = no masks.
    """

    shape_hw: tuple[int, int]
    stride: float
    keypoints_xy: DoubleArray
    states: ByteArray
    boxes: DoubleArray
    valid: ByteArray
    people_map: ByteArray | None = None

    @property
    def labelled(self) -> BoolArray:
        """(N, K), whether each keypoint is labelled."""
        return self.states == LABELLED

    def weights(self, channels: int) -> ByteArray:
        """Return (channels, H, W) uint8, a copy of ``valid`` for each channel."""
        return np.repeat(self.valid[None], channels, axis=0)


def to_grid(sample: Sample, spec: ModelSpec) -> GridLabels:
    """Convert a sample of the input size of the network to the grid of its fields.

    Raises:
        ValueError: If sample and network have different numbers of keypoints.
    """
    if len(spec.skeleton) != sample.keypoints.shape[1]:
        raise ValueError(
            f"sample: expected the {len(spec.skeleton)} keypoints of {spec.skeleton.name}, "
            f"got {sample.keypoints.shape[1]}; read the data with the skeleton of the network"
        )
    width, height = sample.size_wh
    shape_hw = math.ceil(height / spec.stride), math.ceil(width / spec.stride)
    rows, cols = (_nearest_pixels(n, spec, size) for n, size in zip(shape_hw, (height, width), strict=True))
    ignored = np.zeros(shape_hw, np.bool_) if sample.ignored is None else sample.ignored[np.ix_(rows, cols)]
    return GridLabels(
        shape_hw,
        spec.stride,
        (sample.keypoints.astype(np.float64) - spec.origin) / spec.stride,
        sample.states,
        (sample.boxes.astype(np.float64) - spec.origin) / spec.stride,
        (~ignored).astype(np.uint8),
        None if sample.people_map is None else sample.people_map[np.ix_(rows, cols)],
    )


def _nearest_pixels(count: int, spec: ModelSpec, size: int) -> LongArray:
    """Return the pixel row or column nearest to the centre of each cell."""
    pixels = np.floor(np.arange(count) * spec.stride + spec.origin + 0.5).astype(np.int64)
    return pixels.clip(0, size - 1)
