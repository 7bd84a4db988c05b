"""CenterNet's fields: a peak at the centre of each person, and what is read there.

Points are drawn at the cell below them, floor(p); offset fields hold the remainders.

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
    """How far the corners of boxes may be off: (N,), of sizes (N, 2), in cells.

    It is the root, as published, of the case that bounds it, a box within the true one:
    4 t r^2 - 2 t (w + h) r - (1 - t) w h = 0, where the publishers divide by 2 instead of 8 t.
    """
    around = overlap * size_wh.sum(axis=1)
    return np.sqrt(around**2 + 4 * overlap * (1 - overlap) * size_wh.prod(axis=1)) - around


def centres(scene: GridLabels, config: TargetConfig) -> Target:
    """(1, H, W) Gaussians at the cells of the centres."""
    people, cells = _centre_cells(scene)
    radii = _radii(scene, config)[people]
    maps, weights = np.zeros((1, *scene.shape_hw), np.float32), scene.weights(1)
    channels = np.zeros(len(people), np.int64)
    draw_gaussians(maps, channels, cells.astype(np.float64), _sigmas(radii), radii)
    fill_disks(weights, channels, cells.astype(np.float64), radii, 1)
    return maps, weights


def centre_offsets(scene: GridLabels) -> Target:
    """(2, H, W) x and y from the cell of a centre to the centre, cells."""
    people, cells = _centre_cells(scene)
    return _placed(scene, cells, _centres(scene)[people] - cells, np.ones((len(people), 1)))


def sizes(scene: GridLabels) -> Target:
    """(2, H, W) width and height at the cell of a centre, cells."""
    people, cells = _centre_cells(scene)
    return _placed(scene, cells, _sizes(scene)[people], np.ones((len(people), 1)))


def keypoint_offsets(scene: GridLabels) -> Target:
    """(2 K, H, W) x and y from the cell of a centre to the labelled keypoints, cells."""
    people, cells = _centre_cells(scene)
    known = np.repeat(scene.labelled[people], 2, axis=1)
    offsets = (scene.keypoints_xy[people] - cells[:, None]).reshape(known.shape)
    return _placed(scene, cells, np.where(known, offsets, 0), known)


def peaks(scene: GridLabels, config: TargetConfig) -> Target:
    """Heatmaps: Gaussians at the cells of the keypoints, wide as those of the centres; (K, H, W) or (K + 1, H, W)."""
    maps, radii = np.zeros((scene.states.shape[1], *scene.shape_hw), np.float32), _radii(scene, config)
    people, channels = scene.labelled.nonzero()
    cells = np.floor(scene.keypoints_xy[people, channels])
    draw_gaussians(maps, channels, cells, _sigmas(radii)[people], radii[people])
    return with_background(maps, heatmap_weights(scene, config, radii), config)


def heatmap_offsets(scene: GridLabels, config: TargetConfig) -> Target:
    """(2, H, W) x and y from the cell of a labelled keypoint's peak to the keypoint, cells.

    All keypoints share the field: of two in one cell, it holds that of the later person or, of one, the later keypoint.
    """
    points = scene.keypoints_xy[scene.labelled]
    to_peak = 0.0 if config.heatmap_form == "centernet" else 0.5
    chosen, cells = _on_map(points + to_peak, scene.shape_hw)
    return _placed(scene, cells, points[chosen] - cells, np.ones((len(cells), 1)))


def _centres(scene: GridLabels) -> DoubleArray:
    return (scene.boxes[:, :2] + scene.boxes[:, 2:]) / 2


def _sizes(scene: GridLabels) -> DoubleArray:
    return scene.boxes[:, 2:] - scene.boxes[:, :2]


def _radii(scene: GridLabels, config: TargetConfig) -> DoubleArray:
    """(N,) whole cells."""
    return np.floor(gaussian_radius(np.ceil(_sizes(scene)).clip(min=0), config.centre_overlap)).clip(min=0)


def _sigmas(radii: DoubleArray) -> DoubleArray:
    return (2 * radii + 1) / 6


def _centre_cells(scene: GridLabels) -> tuple[LongArray, LongArray]:
    return _on_map(_centres(scene), scene.shape_hw)


def _on_map(points: DoubleArray, shape_hw: tuple[int, int]) -> tuple[LongArray, LongArray]:
    """Indices (M,) and cells (M, 2), column and row, of those points (N, 2) that are on the map."""
    cells = np.floor(points).astype(np.int64)
    chosen = np.flatnonzero(((cells >= 0) & (cells < shape_hw[::-1])).all(axis=1))
    return chosen, cells[chosen]


def _placed(scene: GridLabels, cells: LongArray, values: DoubleArray, known: npt.NDArray[np.generic]) -> Target:
    """A field with values (M, C) at cells (M, 2), and weights known (M, C or 1) there; 0 elsewhere."""
    field = np.zeros((values.shape[1], *scene.shape_hw), np.float32)
    weights = np.zeros((known.shape[1], *scene.shape_hw), np.uint8)
    field[:, cells[:, 1], cells[:, 0]] = values.T
    weights[:, cells[:, 1], cells[:, 0]] = known.T
    return field, weights
