"""Draw PersonLab's fields: disks around keypoints, and offsets from their cells to keypoints.

References:
    Papandreou et al., PersonLab, arXiv:1803.08225: section 3.1 (heatmaps: disks of 32 px; short-range offsets in them;
    mid-range offsets along edges), section 3.2 (segmentation, long-range offsets in the mask of a person).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.decoder.jit import jit
from pose_ros.skeleton import Limb
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.grid import GridLabels
from pose_ros.training.targets.heatmaps import Target, heatmap_weights, with_background

NO_PERSON = -1
"""Index of cells without a person."""


def disks(labels: GridLabels, config: TargetConfig) -> Target:
    """Draw heatmaps that are 1 in a disk around each keypoint: (K, H, W), or (K + 1, H, W) with background."""
    maps = (nearest_people(labels, config.disk_radius) != NO_PERSON).astype(np.float32)
    radii = np.full(len(labels.states), config.disk_radius / labels.stride)
    return with_background(maps, heatmap_weights(labels, config, radii), config)


def short_offsets(labels: GridLabels, config: TargetConfig) -> Target:
    """Draw (2 K, H, W): x and y from the cells of the disk of a keypoint to the keypoint, px."""
    count = labels.states.shape[1]
    return _offsets(labels, nearest_people(labels, config.disk_radius), [(k, k) for k in range(count)])


def mid_offsets(labels: GridLabels, limbs: tuple[Limb, ...], config: TargetConfig) -> Target:
    """Draw (4 E, H, W): x and y from the cells of the disk of a keypoint to its neighbour, px.

    All E edges forward come first, then all edges backward.
    """
    return _offsets(labels, nearest_people(labels, config.disk_radius), [*limbs, *((b, a) for a, b in limbs)])


def long_offsets(labels: GridLabels) -> Target:
    """Draw (2 K, H, W): x and y from the cells of the mask of a person to their keypoints, px."""
    mask = np.zeros(labels.shape_hw, np.uint8) if labels.people_map is None else labels.people_map
    return _offsets(labels, mask[None].astype(np.int16) - 1, [(0, k) for k in range(labels.states.shape[1])])


def segmentation(labels: GridLabels) -> Target:
    """Draw (1, H, W): 1 inside people. The weights are 0 if there are people but no masks."""
    if labels.people_map is not None:
        return (labels.people_map[None] > 0).astype(np.float32), labels.valid[None]
    empty = np.uint8(len(labels.states) == 0)
    return np.zeros((1, *labels.shape_hw), np.float32), labels.valid[None] * empty


def nearest_people(labels: GridLabels, radius: float) -> npt.NDArray[np.int16]:
    """Return (K, H, W): index of the person with the nearest labelled keypoint within a radius, px. -1 = none."""
    owners = np.full((labels.states.shape[1], *labels.shape_hw), NO_PERSON, np.int16)
    _fill_owners(owners, labels.keypoints_xy, labels.labelled, radius / labels.stride)
    return owners


def _offsets(labels: GridLabels, owners: npt.NDArray[np.int16], pairs: list[Limb]) -> Target:
    """Draw offsets (2 M, H, W) and weights. Pair m is a channel of owners (C, H, W), and the target keypoint."""
    fields = np.zeros((2 * len(pairs), *labels.shape_hw), np.float32)
    weights = np.zeros(fields.shape, np.uint8)
    steps = np.array(pairs, np.int64).reshape(-1, 2)
    _fill_offsets(fields, weights, owners, steps, labels.keypoints_xy, labels.labelled, float(labels.stride))
    return fields, weights


@jit
def _fill_owners(owners: Any, xy: Any, labelled: Any, radius: Any) -> None:
    """Write the index of the nearest person into the map of each keypoint."""
    rows, cols = owners.shape[1:]
    for k in range(len(owners)):
        for n in range(len(xy)):
            if not labelled[n, k]:
                continue
            x, y = xy[n, k]
            for row in range(max(0, int(y - radius)), min(rows, int(max(y, 0) + radius) + 1)):
                for col in range(max(0, int(x - radius)), min(cols, int(max(x, 0) + radius) + 1)):
                    squared, other = (col - x) ** 2 + (row - y) ** 2, owners[k, row, col]
                    if squared > radius**2:
                        continue
                    if other < 0 or squared < (col - xy[other, k, 0]) ** 2 + (row - xy[other, k, 1]) ** 2:
                        owners[k, row, col] = n


@jit
def _fill_offsets(fields: Any, weights: Any, owners: Any, pairs: Any, xy: Any, labelled: Any, stride: Any) -> None:
    """Write the offset from each cell to a keypoint of its owner, if that keypoint is labelled."""
    for m in range(len(pairs)):
        channel, k = pairs[m]
        for row in range(owners.shape[1]):
            for col in range(owners.shape[2]):
                n = owners[channel, row, col]
                if 0 <= n < len(xy) and labelled[n, k]:
                    fields[2 * m, row, col] = (xy[n, k, 0] - col) * stride
                    fields[2 * m + 1, row, col] = (xy[n, k, 1] - row) * stride
                    weights[2 * m : 2 * m + 2, row, col] = 1
