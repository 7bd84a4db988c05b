"""Make the ideal heatmaps and tags of a crowd. The same seed gives the same fields."""

from __future__ import annotations

import numpy as np
import scene

from pose_ros.arrays import FloatArray, LongArray
from pose_ros.fields import Fields
from pose_ros.skeleton import COCO_17, OPENPOSE_18
from pose_ros.training.targets.make import confidence_maps

TAG_GAP = 2.0
_COCO = [OPENPOSE_18.index(name) for name in COCO_17.keypoint_names]


def fields(
    people: int,
    shape_hw: tuple[int, int] = (128, 128),
    sigma: float = 2.0,
    dims: int = 1,
    missing: float = 0.0,
    seed: int = 0,
) -> tuple[Fields, FloatArray]:
    """Make the fields of a crowd with slight noise.

    Every cell has the tag of the person with the nearest keypoint. The tags of two people differ by at least TAG_GAP.

    Args:
        people: Number of people.
        shape_hw: Rows and columns of the fields.
        sigma: Standard deviation of the heatmap peaks, cells.
        dims: Dimensions of a tag.
        missing: Share of the keypoints without a peak, 0 to 1.
        seed: Seed of crowd, tags and noise.

    Returns:
        The fields, and the true keypoints (N, 17, 2) in cells.
    """
    keypoints = scene.crowd(people, shape_hw, seed)[:, _COCO]
    random = np.random.default_rng(seed + 1)
    heatmaps = confidence_maps(keypoints, random.random(keypoints.shape[:2]) >= missing, shape_hw, sigma)
    person_tags = np.stack([TAG_GAP * random.permutation(people) for _ in range(dims)], axis=1)  # (N, D)
    tags = np.concatenate([person_tags[_nearest(keypoints[:, k], shape_hw)] for k in range(17)], axis=2)  # (H, W, K D)
    heatmaps += random.normal(0, 0.01, heatmaps.shape)
    noisy = tags.transpose(2, 0, 1) + random.normal(0, 0.05, (17 * dims, *shape_hw))
    return Fields(heatmaps=heatmaps.astype(np.float32), tags=np.ascontiguousarray(noisy, np.float32)), keypoints


def _nearest(points: FloatArray, shape_hw: tuple[int, int]) -> LongArray:
    """Index of the point nearest to each cell, (H, W)."""
    rows, cols = np.arange(shape_hw[0])[:, None], np.arange(shape_hw[1])[None, :]
    return np.argmin([(cols - x) ** 2 + (rows - y) ** 2 for x, y in points], axis=0)
