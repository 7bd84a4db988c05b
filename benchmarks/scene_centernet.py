"""The ideal CenterNet fields of a crowd, the same for every run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scene

from pose_ros.fields import Fields
from pose_ros.training.targets.make import confidence_maps


def ideal(keypoints: npt.NDArray[np.float32], shape_hw: tuple[int, int], sigma: float = 1.0) -> Fields:
    """All fields of people (N, K, 2) in cells: drawn at the cells below the points, with the remainders as offsets."""
    count, keypoint_count, _ = keypoints.shape
    low, high = keypoints.min(axis=1), keypoints.max(axis=1)
    middles = 0.5 * (low + high)
    centres, cells = np.floor(middles), np.floor(keypoints)
    maps = {
        "centre_offsets": np.zeros((2, *shape_hw), np.float32),
        "sizes": np.zeros((2, *shape_hw), np.float32),
        "keypoint_offsets": np.zeros((2 * keypoint_count, *shape_hw), np.float32),
        "heatmap_offsets": np.zeros((2, *shape_hw), np.float32),
    }
    for n, (x, y) in enumerate(centres.astype(int)):
        maps["centre_offsets"][:, y, x] = middles[n] - centres[n]
        maps["sizes"][:, y, x] = high[n] - low[n] + 2
        maps["keypoint_offsets"][:, y, x] = (keypoints[n] - centres[n]).ravel()
        for k, (col, row) in enumerate(cells[n].astype(int)):
            maps["heatmap_offsets"][:, row, col] = keypoints[n, k] - cells[n, k]
    return Fields(
        centres=confidence_maps(centres[:, None].astype(np.float32), np.ones((count, 1), bool), shape_hw, sigma),
        heatmaps=confidence_maps(cells.astype(np.float32), np.ones((count, keypoint_count), bool), shape_hw, sigma),
        **maps,
    )


def fields(people: int, shape_hw: tuple[int, int] = (128, 128)) -> tuple[Fields, npt.NDArray[np.float32]]:
    """Fields of a crowd of COCO-17 people with slight noise, and the true keypoints in cells."""
    keypoints = scene.crowd(people, shape_hw)[:, :17]
    ideals, random = ideal(keypoints, shape_hw), np.random.default_rng(1)
    noisy = {
        name: (array + random.normal(0, 0.01, array.shape)).astype(np.float32)
        for name, array in vars(ideals).items()
        if array is not None
    }
    return Fields(**noisy), keypoints
