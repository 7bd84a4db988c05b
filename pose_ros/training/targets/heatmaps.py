"""Heatmaps: a peak at each keypoint.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050: eq. 5 (the mask
    W), eq. 6 and 7 (confidence maps).
    Newell et al., Associative Embedding, arXiv:1611.05424 (Gaussians at the nearest cell).
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
"""A field (C, H, W), and its weights (C or 1, H, W), 0 or 1."""

CUT = 4.0
"""Gaussians end at so many standard deviations."""
OWN = 2.0
"""Within so many standard deviations a labelled keypoint is taught, whatever else is not known there."""


def confidence_maps(
    keypoints_xy: AnyArray,
    visible: BoolArray,
    shape_hw: tuple[int, int],
    sigma: float,
    radius: float | None = None,
) -> FloatArray:
    """Gaussians around keypoints, the maximum over people (eq. 6 and 7).

    Args:
        keypoints_xy: (N, K, 2), in cells.
        visible: (N, K).
        shape_hw: Rows and columns of the field.
        sigma: Standard deviation, in cells.
        radius: Half the side of the square that a Gaussian is drawn in, in cells; 4 sigma by default.

    Returns:
        (K, H, W) in [0, 1].
    """
    maps = np.zeros((visible.shape[1], *shape_hw), np.float32)
    people, channels = visible.nonzero()
    centres = keypoints_xy[people, channels].astype(np.float64)
    reach = CUT * sigma if radius is None else radius
    draw_gaussians(maps, channels, centres, np.full(len(centres), float(sigma)), np.full(len(centres), float(reach)))
    return maps


def gaussians(scene: GridLabels, config: TargetConfig) -> Target:
    """Gaussians at the keypoints, exact or at the nearest cell; (K, H, W), with background (K + 1, H, W)."""
    sigma = config.heatmap_sigma / scene.stride
    centres = scene.keypoints_xy
    if config.heatmap_form == "rounded":
        centres = np.floor(centres + 0.5)
    maps = confidence_maps(centres, scene.labelled, scene.shape_hw, sigma)
    return with_background(maps, heatmap_weights(scene, config, np.full(len(centres), OWN * sigma)), config)


def heatmap_weights(scene: GridLabels, config: TargetConfig, own_radii: DoubleArray) -> ByteArray:
    """(K, H, W): 0 in ignored places, around uncertain keypoints, and for unknown ones in the box of the person.

    Args:
        scene: The people.
        config: Tells the radius around uncertain keypoints.
        own_radii: (N,) so near to a person's labelled keypoint, in cells, the weight is 1 in any case.
    """
    weights = scene.weights(scene.states.shape[1])
    people, channels = (scene.states == UNKNOWN).nonzero()
    fill_boxes(weights, channels, scene.boxes[people], 0)
    people, channels = (scene.states == UNCERTAIN).nonzero()
    around = np.full(len(people), config.uncertain_radius / scene.stride)
    fill_disks(weights, channels, scene.keypoints_xy[people, channels], around, 0)
    people, channels = scene.labelled.nonzero()
    fill_disks(weights, channels, scene.keypoints_xy[people, channels], own_radii[people], 1)
    return weights


def with_background(maps: FloatArray, weights: ByteArray, config: TargetConfig) -> Target:
    """The same, if configured with a last map of 1 - the highest, taught where all maps are."""
    if not config.background:
        return maps, weights
    rest, known = 1 - maps.max(axis=0, keepdims=True), weights.min(axis=0, keepdims=True)
    return np.concatenate([maps, rest]), np.concatenate([weights, known])
