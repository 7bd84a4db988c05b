"""PersonLab's fields: disks around keypoints, and offsets from their cells to keypoints.

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

NOBODY = -1


def disks(scene: GridLabels, config: TargetConfig) -> Target:
    """Heatmaps that are 1 in a disk around each keypoint; (K, H, W), with background (K + 1, H, W)."""
    maps = (nearest_people(scene, config.disk_radius) != NOBODY).astype(np.float32)
    radii = np.full(len(scene.states), config.disk_radius / scene.stride)
    return with_background(maps, heatmap_weights(scene, config, radii), config)


def short_offsets(scene: GridLabels, config: TargetConfig) -> Target:
    """(2 K, H, W) x and y from the cells of a keypoint's disk to the keypoint, px."""
    count = scene.states.shape[1]
    return _offsets(scene, nearest_people(scene, config.disk_radius), [(k, k) for k in range(count)])


def mid_offsets(scene: GridLabels, limbs: tuple[Limb, ...], config: TargetConfig) -> Target:
    """(4 E, H, W) from the cells of a keypoint's disk to its neighbour, px: all edges forward, then all backward."""
    return _offsets(scene, nearest_people(scene, config.disk_radius), [*limbs, *((b, a) for a, b in limbs)])


def long_offsets(scene: GridLabels) -> Target:
    """(2 K, H, W) x and y from the cells of a person's mask to their keypoints, px."""
    mask = np.zeros(scene.shape_hw, np.uint8) if scene.people_map is None else scene.people_map
    return _offsets(scene, mask[None].astype(np.int16) - 1, [(0, k) for k in range(scene.states.shape[1])])


def segmentation(scene: GridLabels) -> Target:
    """(1, H, W) 1 where a person is; not taught where there are people, but no masks of them."""
    if scene.people_map is not None:
        return (scene.people_map[None] > 0).astype(np.float32), scene.taught[None]
    nobody = np.uint8(len(scene.states) == 0)
    return np.zeros((1, *scene.shape_hw), np.float32), scene.taught[None] * nobody


def nearest_people(scene: GridLabels, radius: float) -> npt.NDArray[np.int16]:
    """(K, H, W), of those whose labelled keypoint is within a radius, px, the nearest; -1 where there is nobody."""
    owners = np.full((scene.states.shape[1], *scene.shape_hw), NOBODY, np.int16)
    _fill_owners(owners, scene.keypoints_xy, scene.labelled, radius / scene.stride)
    return owners


def _offsets(scene: GridLabels, owners: npt.NDArray[np.int16], pairs: list[Limb]) -> Target:
    """Offsets (2 M, H, W) and weights; pair m is a channel of owners (C, H, W), and the keypoint to point at."""
    fields = np.zeros((2 * len(pairs), *scene.shape_hw), np.float32)
    weights = np.zeros(fields.shape, np.uint8)
    steps = np.array(pairs, np.int64).reshape(-1, 2)
    _fill_offsets(fields, weights, owners, steps, scene.keypoints_xy, scene.labelled, float(scene.stride))
    return fields, weights


@jit
def _fill_owners(owners: Any, xy: Any, labelled: Any, radius: Any) -> None:
    """Write, into a map per keypoint, who is nearest."""
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
    """Point from each cell to a keypoint of its owner, where that is labelled."""
    for m in range(len(pairs)):
        channel, k = pairs[m]
        for row in range(owners.shape[1]):
            for col in range(owners.shape[2]):
                n = owners[channel, row, col]
                if 0 <= n < len(xy) and labelled[n, k]:
                    fields[2 * m, row, col] = (xy[n, k, 0] - col) * stride
                    fields[2 * m + 1, row, col] = (xy[n, k, 1] - row) * stride
                    weights[2 * m : 2 * m + 2, row, col] = 1
