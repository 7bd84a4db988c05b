"""Make synthetic crowds and their ideal PAF fields. The same seed gives the same fields."""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.fields import Fields
from pose_ros.skeleton import OPENPOSE_18
from pose_ros.training.targets.make import confidence_maps, part_affinity_fields


def crowd(people: int, shape_hw: tuple[int, int], seed: int = 0) -> FloatArray:
    """Make people on a jittered grid, each slightly different. Returns keypoints (N, 18, 2) in cells."""
    random = np.random.default_rng(seed)
    rows, cols = shape_hw
    across = int(np.ceil(np.sqrt(people * cols / rows)))
    down = int(np.ceil(people / across))
    height = min(0.9 * rows / down, 2.0 * cols / across)
    place = np.arange(people)
    centres = np.stack([(place % across + 0.5) * cols / across, (place // across + 0.5) * rows / down], axis=1)
    bodies = (OPENPOSE_18.standing - (0, 0.5)) * height * random.uniform(0.85, 1.0, (people, 1, 1))
    bodies = bodies + random.normal(0, 0.01 * height, bodies.shape) + random.normal(0, 0.02 * height, (people, 1, 2))
    return np.clip(bodies + centres[:, None], 0, (cols - 1, rows - 1)).astype(np.float32)


def fields(people: int, shape_hw: tuple[int, int] = (92, 164), seed: int = 0) -> tuple[Fields, FloatArray]:
    """Make the fields of a crowd with a background channel and slight noise.

    Returns:
        The fields, and the true keypoints (N, 18, 2) in cells.
    """
    keypoints = crowd(people, shape_hw, seed)
    visible = np.ones(keypoints.shape[:2], bool)
    heatmaps = confidence_maps(keypoints, visible, shape_hw, sigma=1.0)
    pafs = part_affinity_fields(keypoints, visible, OPENPOSE_18.limbs, shape_hw, half_width=1.0)
    random = np.random.default_rng(seed + 1)
    heatmaps = np.concatenate([heatmaps, 1 - heatmaps.max(axis=0, keepdims=True)])
    heatmaps += random.normal(0, 0.01, heatmaps.shape)
    pafs += random.normal(0, 0.01, pafs.shape)
    return Fields(heatmaps=heatmaps.astype(np.float32), pafs=pafs.astype(np.float32)), keypoints
