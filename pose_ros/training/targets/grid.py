"""A sample on the grid of a network's fields."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import BoolArray, ByteArray, DoubleArray, LongArray
from pose_ros.datasets.sample import LABELLED, Sample
from pose_ros.fields import ModelSpec


@dataclass(frozen=True)
class GridLabels:
    """N people of K keypoints on H x W cells.

    Attributes:
        shape_hw: Rows and columns.
        stride: Pixels per cell.
        keypoints_xy: (N, K, 2), cells; cell centres at integers.
        states: (N, K), as in Sample.
        boxes: (N, 4), cells.
        taught: (H, W) uint8, 0 in the ignored places and 1 elsewhere.
        people_map: (H, W), 1 + the index of the person at each cell; None where there are no masks.
    """

    shape_hw: tuple[int, int]
    stride: float
    keypoints_xy: DoubleArray
    states: ByteArray
    boxes: DoubleArray
    taught: ByteArray
    people_map: ByteArray | None = None

    @property
    def labelled(self) -> BoolArray:
        """(N, K), the keypoints that are taught."""
        return self.states == LABELLED

    def weights(self, channels: int) -> ByteArray:
        """(channels, H, W) uint8, a copy of ``taught`` for each channel."""
        return np.repeat(self.taught[None], channels, axis=0)


def on_cells(sample: Sample, spec: ModelSpec) -> GridLabels:
    """The sample, of the size of the network's input, on the grid of its fields.

    Raises:
        ValueError: If the sample has other keypoints than the network.
    """
    if len(spec.skeleton) != sample.keypoints.shape[1]:
        raise ValueError(
            f"sample: expected the {len(spec.skeleton)} keypoints of {spec.skeleton.name}, "
            f"got {sample.keypoints.shape[1]}; read the data on the network's skeleton"
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
    """The pixel, row or column, at the centre of each cell."""
    pixels = np.floor(np.arange(count) * spec.stride + spec.origin + 0.5).astype(np.int64)
    return pixels.clip(0, size - 1)
