"""Draw CenterNet's fields: a peak at the centre of each person, and the values read there.

A point p is drawn at the cell floor(p), or at the nearest cell if heatmaps are not of the form ``centernet``. Offset
fields hold the remainder.

References:
    Zhou et al., Objects as Points, arXiv:1904.07850: section 3 (peaks, offsets, sizes), section 5.2 (keypoints).
    Law and Deng, CornerNet, arXiv:1808.01244, section 3.2 (the radius of a peak by the overlap of boxes).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pose_ros.arrays import DoubleArray, LongArray
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.drawing import draw_gaussians, fill_disks
from pose_ros.training.targets.grid import GridLabels
from pose_ros.training.targets.heatmaps import Target, heatmap_weights, with_background


def gaussian_radius(size_wh: DoubleArray, overlap: float) -> DoubleArray:
    """Compute the radii (N,) that box corners may move by, from box sizes (N, 2), in cells.

    The result is the published root of the limiting case, a box inside the true one:
    4 t r^2 - 2 t (w + h) r - (1 - t) w h = 0. The publishers divide by 2 instead of 8 t.
    """
    around = overlap * size_wh.sum(axis=1)
    return np.sqrt(around**2 + 4 * overlap * (1 - overlap) * size_wh.prod(axis=1)) - around


def centres(labels: GridLabels, config: TargetConfig) -> Target:
    """Draw (1, H, W): Gaussians at the cells of the centres."""
    people, cells = _centre_cells(labels, config)
    radii = _radii(labels, config)[people]
    maps, weights = np.zeros((1, *labels.shape_hw), np.float32), labels.weights(1)
    channels = np.zeros(len(people), np.int64)
    draw_gaussians(maps, channels, cells.astype(np.float64), _sigmas(radii), radii)
    fill_disks(weights, channels, cells.astype(np.float64), radii, 1)
    return maps, weights


def centre_offsets(labels: GridLabels, config: TargetConfig) -> Target:
    """Draw (2, H, W): x and y from the cell of a centre to the centre, cells."""
    people, cells = _centre_cells(labels, config)
    return _place_values(labels, cells, _centres(labels)[people] - cells, np.ones((len(people), 1)))


def sizes(labels: GridLabels, config: TargetConfig) -> Target:
    """Draw (2, H, W): width and height at the cell of a centre, cells."""
    people, cells = _centre_cells(labels, config)
    return _place_values(labels, cells, _sizes(labels)[people], np.ones((len(people), 1)))


def keypoint_offsets(labels: GridLabels, config: TargetConfig) -> Target:
    """Draw (2 K, H, W): x and y from the cell of a centre to the labelled keypoints, cells."""
    people, cells = _centre_cells(labels, config)
    known = np.repeat(labels.labelled[people], 2, axis=1)
    offsets = (labels.keypoints_xy[people] - cells[:, None]).reshape(known.shape)
    return _place_values(labels, cells, np.where(known, offsets, 0), known)


def peaks(labels: GridLabels, config: TargetConfig) -> Target:
    """Draw heatmaps (K, H, W) or (K + 1, H, W): Gaussians at the keypoint cells, as wide as those of the centres."""
    maps, radii = np.zeros((labels.states.shape[1], *labels.shape_hw), np.float32), _radii(labels, config)
    people, channels = labels.labelled.nonzero()
    cells = np.floor(labels.keypoints_xy[people, channels])
    draw_gaussians(maps, channels, cells, _sigmas(radii)[people], radii[people])
    return with_background(maps, heatmap_weights(labels, config, radii), config)


def heatmap_offsets(labels: GridLabels, config: TargetConfig) -> Target:
    """Draw (2, H, W) or (2 K, H, W): x and y from the peak cell of a labelled keypoint to the keypoint, cells.

    If two keypoints of one field have the same cell, the later person wins, then the later keypoint.
    """
    points, keypoints = labels.keypoints_xy[labels.labelled], labels.labelled.nonzero()[1]
    chosen, cells = _cells_on_map(points + _to_cell(config), labels.shape_hw)
    values, known = points[chosen] - cells, np.ones((len(cells), 1))
    if config.offset_form == "shared":
        return _place_values(labels, cells, values, known)
    field = np.zeros((2 * labels.states.shape[1], *labels.shape_hw), np.float32)
    weights = np.zeros(field.shape, np.uint8)
    for axis in range(2):
        channels = 2 * keypoints[chosen] + axis
        field[channels, cells[:, 1], cells[:, 0]] = values[:, axis]
        weights[channels, cells[:, 1], cells[:, 0]] = 1
    return field, weights


def _centres(labels: GridLabels) -> DoubleArray:
    return (labels.boxes[:, :2] + labels.boxes[:, 2:]) / 2


def _sizes(labels: GridLabels) -> DoubleArray:
    return labels.boxes[:, 2:] - labels.boxes[:, :2]


def _radii(labels: GridLabels, config: TargetConfig) -> DoubleArray:
    """Compute the radii (N,) of the peaks, in whole cells."""
    return np.floor(gaussian_radius(np.ceil(_sizes(labels)).clip(min=0), config.centre_overlap)).clip(min=0)


def _sigmas(radii: DoubleArray) -> DoubleArray:
    return (2 * radii + 1) / 6


def _centre_cells(labels: GridLabels, config: TargetConfig) -> tuple[LongArray, LongArray]:
    return _cells_on_map(_centres(labels) + _to_cell(config), labels.shape_hw)


def _to_cell(config: TargetConfig) -> float:
    """Return what to add to a point before rounding down: 0 for CenterNet's form, 0.5 for the nearest cell."""
    return 0.0 if config.heatmap_form == "centernet" else 0.5


def _cells_on_map(points: DoubleArray, shape_hw: tuple[int, int]) -> tuple[LongArray, LongArray]:
    """Return indices (M,) and cells (M, 2), column and row, of the points (N, 2) that are on the map."""
    cells = np.floor(points).astype(np.int64)
    chosen = np.flatnonzero(((cells >= 0) & (cells < shape_hw[::-1])).all(axis=1))
    return chosen, cells[chosen]


def _place_values(labels: GridLabels, cells: LongArray, values: DoubleArray, known: npt.NDArray[np.generic]) -> Target:
    """Make a field with values (M, C) at cells (M, 2), and weights ``known`` (M, C or 1) there. 0 elsewhere."""
    field = np.zeros((values.shape[1], *labels.shape_hw), np.float32)
    weights = np.zeros((known.shape[1], *labels.shape_hw), np.uint8)
    field[:, cells[:, 1], cells[:, 0]] = values.T
    weights[:, cells[:, 1], cells[:, 0]] = known.T
    return field, weights
