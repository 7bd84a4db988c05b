"""Synthetic crowds and their ideal heatmaps and tags, the same for every run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scene

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
) -> tuple[Fields, npt.NDArray[np.float32]]:
    """Fields of a crowd of COCO-17 with slight noise, and the true keypoints (N, 17, 2) in cells.

    Every cell has the tag of the person whose keypoint is nearest; the tags of two people are TAG_GAP or more apart.
    A share of the keypoints, ``missing``, is not in the heatmaps.
    """
    keypoints = scene.crowd(people, shape_hw, seed)[:, _COCO]
    random = np.random.default_rng(seed + 1)
    heatmaps = confidence_maps(keypoints, random.random(keypoints.shape[:2]) >= missing, shape_hw, sigma)
    person_tags = np.stack([TAG_GAP * random.permutation(people) for _ in range(dims)], axis=1)  # (N, D)
    tags = np.concatenate([person_tags[_nearest(keypoints[:, k], shape_hw)] for k in range(17)], axis=2)  # (H, W, K D)
    heatmaps += random.normal(0, 0.01, heatmaps.shape)
    noisy = tags.transpose(2, 0, 1) + random.normal(0, 0.05, (17 * dims, *shape_hw))
    return Fields(heatmaps=heatmaps.astype(np.float32), tags=np.ascontiguousarray(noisy, np.float32)), keypoints


def _nearest(points: npt.NDArray[np.float32], shape_hw: tuple[int, int]) -> npt.NDArray[np.int64]:
    """(H, W) index of the point nearest to each cell."""
    rows, cols = np.arange(shape_hw[0])[:, None], np.arange(shape_hw[1])[None, :]
    return np.argmin([(cols - x) ** 2 + (rows - y) ** 2 for x, y in points], axis=0)
