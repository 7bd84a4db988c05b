"""Draw heatmaps with a peak at each keypoint, and their weights.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050: eq. 5 (the mask
    W), eq. 6 and 7 (confidence maps).
    Newell et al., Associative Embedding, arXiv:1611.05424 (Gaussians at the nearest cell).
    Moon et al., PoseFix, arXiv:1812.03595, section 4.2 (a distribution over the cells).
    Zhang et al., Distribution-Aware Coordinate Representation (DARK), arXiv:1910.06278, section 3.2 (not rounded).
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, ByteArray, DoubleArray, FloatArray
from pose_ros.datasets.sample import UNCERTAIN, UNKNOWN
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.drawing import draw_gaussians, fill_boxes, fill_disks
from pose_ros.training.targets.grid import GridLabels

Target = tuple[FloatArray, ByteArray]
"""Field (C, H, W), and its weights (C or 1, H, W), 0 or 1."""

CUT_SIGMAS = 4.0
"""Cut-off of the Gaussians, standard deviations."""
OWN_SIGMAS = 2.0
"""Radius around a labelled keypoint in which the weight is always 1, standard deviations."""


def confidence_maps(
    keypoints_xy: AnyArray,
    visible: BoolArray,
    shape_hw: tuple[int, int],
    sigma: float,
    radius: float | None = None,
) -> FloatArray:
    """Draw Gaussians around keypoints, with the maximum over people (eq. 6 and 7).

    Args:
        keypoints_xy: (N, K, 2), cells.
        visible: (N, K), keypoints to draw.
        shape_hw: Rows and columns of the field.
        sigma: Standard deviation, cells.
        radius: Half the side of the square in which a Gaussian is drawn, cells. Default: 4 sigma.

    Returns:
        (K, H, W) in [0, 1].
    """
    maps = np.zeros((visible.shape[1], *shape_hw), np.float32)
    people, channels = visible.nonzero()
    centres = keypoints_xy[people, channels].astype(np.float64)
    reach = CUT_SIGMAS * sigma if radius is None else radius
    draw_gaussians(maps, channels, centres, np.full(len(centres), float(sigma)), np.full(len(centres), float(reach)))
    return maps


def gaussians(labels: GridLabels, config: TargetConfig) -> Target:
    """Draw Gaussians at the keypoints or their nearest cells: (K, H, W), or (K + 1, H, W) with background."""
    sigma = config.heatmap_sigma / labels.stride
    centres = labels.keypoints_xy
    if config.heatmap_form == "rounded":
        centres = np.floor(centres + 0.5)
    maps = confidence_maps(centres, labels.labelled, labels.shape_hw, sigma)
    return with_background(maps, heatmap_weights(labels, config, np.full(len(centres), OWN_SIGMAS * sigma)), config)


def bilinear(labels: GridLabels, config: TargetConfig) -> Target:
    """Share 1 between the four cells around each keypoint, so that their mean position is the keypoint: (K, H, W).

    Of several people, each cell has the maximum.
    """
    maps = np.zeros((labels.states.shape[1], *labels.shape_hw), np.float32)
    people, channels = labels.labelled.nonzero()
    xy = labels.keypoints_xy[people, channels].clip(0, np.array(labels.shape_hw[::-1]) - 1)
    first = np.floor(xy).astype(np.int64)
    for corner in ((0, 0), (1, 0), (0, 1), (1, 1)):
        cols, rows = np.minimum(first + corner, np.array(labels.shape_hw[::-1]) - 1).T
        shares = np.abs(1 - np.array(corner) - (xy - first)).prod(axis=1)
        np.maximum.at(maps, (channels, rows, cols), shares.astype(np.float32))
    return maps, heatmap_weights(labels, config, np.full(len(labels.boxes), 1.0))


def heatmap_weights(labels: GridLabels, config: TargetConfig, own_radii: DoubleArray) -> ByteArray:
    """Compute the weights (K, H, W) of heatmaps.

    They are 0 in ignored areas, around uncertain keypoints, and in the box of a person for unknown keypoints.

    Args:
        labels: Labels on the grid.
        config: Settings with the radius around uncertain keypoints.
        own_radii: (N,), radius around the labelled keypoints of each person in which the weight is always 1, cells.
    """
    weights = labels.weights(labels.states.shape[1])
    people, channels = (labels.states == UNKNOWN).nonzero()
    fill_boxes(weights, channels, labels.boxes[people], 0)
    people, channels = (labels.states == UNCERTAIN).nonzero()
    around = np.full(len(people), config.uncertain_radius / labels.stride)
    fill_disks(weights, channels, labels.keypoints_xy[people, channels], around, 0)
    people, channels = labels.labelled.nonzero()
    fill_disks(weights, channels, labels.keypoints_xy[people, channels], own_radii[people], 1)
    return weights


def with_background(maps: FloatArray, weights: ByteArray, config: TargetConfig) -> Target:
    """Add a background map if configured: 1 - the maximum, with weight 1 where all maps have weight 1."""
    if not config.background:
        return maps, weights
    rest, known = 1 - maps.max(axis=0, keepdims=True), weights.min(axis=0, keepdims=True)
    return np.concatenate([maps, rest]), np.concatenate([weights, known])
