"""Make the ideal CenterNet fields of a crowd. The same arguments give the same fields."""

from __future__ import annotations

import numpy as np
import scene

from pose_ros.arrays import FloatArray
from pose_ros.fields import Fields
from pose_ros.training.targets.make import confidence_maps


def ideal_fields(keypoints: FloatArray, shape_hw: tuple[int, int], sigma: float = 1.0) -> Fields:
    """Make all fields of people (N, K, 2) in cells. Peaks are at the rounded-down cells, the remainders are offsets."""
    count, keypoint_count, _ = keypoints.shape
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    box_centres = 0.5 * (low + high)
    centres, cells = np.floor(box_centres), np.floor(keypoints)
    maps = {
        "centre_offsets": np.zeros((2, *shape_hw), np.float32),
        "sizes": np.zeros((2, *shape_hw), np.float32),
        "keypoint_offsets": np.zeros((2 * keypoint_count, *shape_hw), np.float32),
        "heatmap_offsets": np.zeros((2, *shape_hw), np.float32),
    }
    for n, (x, y) in enumerate(centres.astype(int)):
        maps["centre_offsets"][:, y, x] = box_centres[n] - centres[n]
        maps["sizes"][:, y, x] = high[n] - low[n] + 2
        maps["keypoint_offsets"][:, y, x] = (keypoints[n] - centres[n]).ravel()
        for k, (col, row) in enumerate(cells[n].astype(int)):
            maps["heatmap_offsets"][:, row, col] = keypoints[n, k] - cells[n, k]
    return Fields(
        centres=confidence_maps(centres[:, None].astype(np.float32), np.ones((count, 1), bool), shape_hw, sigma),
        heatmaps=confidence_maps(cells.astype(np.float32), np.ones((count, keypoint_count), bool), shape_hw, sigma),
        **maps,
    )


def fields(people: int, shape_hw: tuple[int, int] = (128, 128)) -> tuple[Fields, FloatArray]:
    """Make the fields of a crowd with slight noise.

    Returns:
        The fields, and the true keypoints (N, 17, 2) in cells.
    """
    keypoints = scene.crowd(people, shape_hw)[:, :17]
    clean, random = ideal_fields(keypoints, shape_hw), np.random.default_rng(1)
    noisy = {
        name: (array + random.normal(0, 0.01, array.shape)).astype(np.float32)
        for name, array in vars(clean).items()
        if array is not None
    }
    return Fields(**noisy), keypoints
