"""Make the ideal PersonLab fields of a crowd. The same seed gives the same fields."""

from __future__ import annotations

import numpy as np
import scene

from pose_ros.arrays import BoolArray, FloatArray
from pose_ros.fields import Fields
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Limb, Skeleton, map_keypoints
from pose_ros.training.targets.make import confidence_maps

_EDGES = """nose-left_eye left_eye-left_ear nose-right_eye right_eye-right_ear
nose-left_shoulder left_shoulder-left_elbow left_elbow-left_wrist left_shoulder-left_hip left_hip-left_knee
left_knee-left_ankle nose-right_shoulder right_shoulder-right_elbow right_elbow-right_wrist right_shoulder-right_hip
right_hip-right_knee right_knee-right_ankle"""
_NAMES = COCO_17.keypoint_names
POSENET_17 = Skeleton(
    "posenet_17", _NAMES, tuple((_NAMES.index(a), _NAMES.index(b)) for a, b in (e.split("-") for e in _EDGES.split()))
)
"""Skeleton with the keypoint tree of PoseNet and PersonLab."""


def crowd(people: int, shape_hw: tuple[int, int], seed: int = 0) -> FloatArray:
    """Make a crowd. Returns keypoints (N, 17, 2) in cells."""
    keypoints = scene.crowd(people, shape_hw, seed)
    return map_keypoints(keypoints, np.ones(keypoints.shape[:2], np.float32), OPENPOSE_18, POSENET_17)[0]


def ideal_fields(
    keypoints: FloatArray,
    limbs: tuple[Limb, ...],
    shape_hw: tuple[int, int],
    stride: float,
    visible: BoolArray | None = None,
    sigma: float = 1.0,
) -> Fields:
    """Make fields in which each cell points to the nearest keypoint of a kind, and from there to its neighbours.

    Args:
        keypoints: Keypoints (N, K, 2), cells.
        limbs: Edges of the keypoint tree.
        shape_hw: Rows and columns of the fields.
        stride: Pixels per cell.
        visible: Visible keypoints (N, K). None = all. An invisible keypoint has no peak, but offsets
            point to it, as with real networks.
        sigma: Standard deviation of the heatmap peaks, cells.
    """
    people, count, _ = keypoints.shape
    visible = np.ones((people, count), bool) if visible is None else visible
    cells = np.stack(np.meshgrid(np.arange(shape_hw[1]), np.arange(shape_hw[0])), axis=-1)  # (H, W, 2)
    to_keypoints = keypoints[:, :, None, None] - cells  # (N, K, H, W, 2)
    owner = np.linalg.norm(to_keypoints, axis=-1).argmin(axis=0)  # (K, H, W)

    def offsets(source: int, target: int) -> FloatArray:
        chosen = np.take_along_axis(to_keypoints[:, target], owner[source][None, ..., None], axis=0)[0]
        return (chosen * stride).transpose(2, 0, 1).astype(np.float32)

    short = [offsets(k, k) for k in range(count)]
    mid = [offsets(a, b) for a, b in limbs] + [offsets(b, a) for a, b in limbs]
    heatmaps = confidence_maps(keypoints, visible, shape_hw, sigma)
    return Fields(heatmaps=heatmaps, short_offsets=np.concatenate(short), mid_offsets=np.concatenate(mid))


def fields(
    people: int, shape_hw: tuple[int, int] = (31, 41), stride: float = 16, seed: int = 0, noise: float = 0.01
) -> tuple[Fields, FloatArray]:
    """Make the fields of a crowd with slight noise.

    Args:
        people: Number of people.
        shape_hw: Rows and columns of the fields.
        stride: Pixels per cell.
        seed: Seed of crowd and noise.
        noise: Standard deviation of the heatmap noise. The offsets have ten times this noise, in px.

    Returns:
        The fields, and the true keypoints (N, 17, 2) in cells.
    """
    keypoints = crowd(people, shape_hw, seed)
    clean = ideal_fields(keypoints, POSENET_17.limbs, shape_hw, stride)
    random = np.random.default_rng(seed + 1)

    def noisy(array: FloatArray, scale: float) -> FloatArray:
        return (array + random.normal(0, scale, array.shape)).astype(np.float32)

    return Fields(
        heatmaps=np.clip(noisy(clean.heatmaps, noise), 0, 1),
        short_offsets=noisy(clean.short_offsets, 10 * noise),
        mid_offsets=noisy(clean.mid_offsets, 10 * noise),
    ), keypoints
