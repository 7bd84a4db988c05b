"""PersonLab's ideal fields of the synthetic crowds, the same for every run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scene

from pose_ros.fields import Fields
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Limb, Skeleton, map_keypoints
from pose_ros.training.targets.make import confidence_maps

FloatArray = npt.NDArray[np.float32]

_EDGES = """nose-left_eye left_eye-left_ear nose-right_eye right_eye-right_ear
nose-left_shoulder left_shoulder-left_elbow left_elbow-left_wrist left_shoulder-left_hip left_hip-left_knee
left_knee-left_ankle nose-right_shoulder right_shoulder-right_elbow right_elbow-right_wrist right_shoulder-right_hip
right_hip-right_knee right_knee-right_ankle"""
_NAMES = COCO_17.keypoint_names
POSENET_17 = Skeleton(
    "posenet_17", _NAMES, tuple((_NAMES.index(a), _NAMES.index(b)) for a, b in (e.split("-") for e in _EDGES.split()))
)
"""The tree that PoseNet and PersonLab walk along."""


def crowd(people: int, shape_hw: tuple[int, int], seed: int = 0) -> FloatArray:
    """(N, 17, 2) keypoints in cells."""
    keypoints = scene.crowd(people, shape_hw, seed)
    return map_keypoints(keypoints, np.ones(keypoints.shape[:2], np.float32), OPENPOSE_18, POSENET_17)[0]


def ideal(
    keypoints: FloatArray,
    limbs: tuple[Limb, ...],
    shape_hw: tuple[int, int],
    stride: float,
    visible: npt.NDArray[np.bool_] | None = None,
    sigma: float = 1.0,
) -> Fields:
    """Fields in which each cell points at the nearest keypoint of a kind, and from there at its neighbours.

    Args:
        keypoints: (N, K, 2), cells.
        limbs: E edges.
        shape_hw: Rows and columns of the fields.
        stride: Pixels per cell.
        visible: (N, K); an invisible keypoint has no peak, but is pointed at as by real networks.
        sigma: Of the heatmaps, cells.
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
    """Fields of a crowd with slight noise, and the true keypoints in cells.

    Args:
        people: How many.
        shape_hw: Rows and columns of the fields.
        stride: Pixels per cell.
        seed: Of crowd and noise.
        noise: Of the heatmaps; that of the offsets is so many px, times ten.
    """
    keypoints = crowd(people, shape_hw, seed)
    clean = ideal(keypoints, POSENET_17.limbs, shape_hw, stride)
    random = np.random.default_rng(seed + 1)

    def noisy(array: FloatArray, scale: float) -> FloatArray:
        return (array + random.normal(0, scale, array.shape)).astype(np.float32)

    return Fields(
        heatmaps=np.clip(noisy(clean.heatmaps, noise), 0, 1),
        short_offsets=noisy(clean.short_offsets, 10 * noise),
        mid_offsets=noisy(clean.mid_offsets, 10 * noise),
    ), keypoints
