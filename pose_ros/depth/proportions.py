"""Proportions of a body: how deep keypoints lie below its surface, and how far apart they can be.

References:
    Drillis and Contini, Body Segment Parameters, 1966 (lengths; ``Skeleton.standing`` has them as positions).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import AnyArray, DoubleArray, IndexArray
from pose_ros.skeleton import Skeleton, without_side

# Half the thickness of an adult at each keypoint, m. The network marks the middle of a limb as it sees it, and the
# sensor measures its surface. Nose, eyes and ears are on the surface.
_BELOW_SURFACE_M = {
    "neck": 0.06,
    "upper_neck": 0.055,
    "thorax": 0.06,
    "pelvis": 0.105,
    "head_top": 0.07,
    "shoulder": 0.06,
    "elbow": 0.043,
    "wrist": 0.03,
    "hip": 0.105,
    "knee": 0.06,
    "ankle": 0.042,
    "heel": 0.04,
    "big_toe": 0.03,
    "small_toe": 0.03,
    "ear": 0.015,
}
_TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_TRUNK = (*_TORSO, "neck", "thorax", "pelvis")
_LONG = 0.1
"""Shortest limb that tells the size of a person, body heights. Shorter ones are mostly noise."""


@dataclass(frozen=True, eq=False)
class Proportions:
    """Proportions of the body of a skeleton with K keypoints.

    Attributes:
        below_surface_m: (K,) depth of each keypoint below the surface of the body, m.
        reach: (K, K) longest distance between two keypoints, body heights. Infinity = no limit known.
        limbs: (L, 2) indices of limbs that tell the size of a person.
        lengths: (L,) their lengths, body heights.
        is_trunk: (K,) whether a keypoint belongs to the trunk.
        shoulders: Indices of the shoulders.
        hips: Indices of the hips.
    """

    below_surface_m: DoubleArray
    reach: DoubleArray
    limbs: IndexArray
    lengths: DoubleArray
    is_trunk: AnyArray
    shoulders: IndexArray
    hips: IndexArray

    @classmethod
    def of(cls, skeleton: Skeleton) -> Proportions:
        """Return the proportions of a skeleton. Keypoints with unknown names lie on the surface, without limits."""
        names, limbs = skeleton.keypoint_names, np.array(skeleton.limbs, np.intp).reshape(-1, 2)
        standing = skeleton.standing.astype(np.float64)
        lengths = np.linalg.norm(standing[limbs[:, 0]] - standing[limbs[:, 1]], axis=1)
        tells_size = lengths >= _LONG  # false for NaN
        return cls(
            np.array([_BELOW_SURFACE_M.get(without_side(name), 0.0) for name in names]),
            _shortest_paths(len(names), limbs, lengths),
            limbs[tells_size],
            lengths[tells_size],
            np.array([name in _TRUNK for name in names]),
            *(np.array([names.index(n) for n in _TORSO if n in names and part in n], np.intp) for part in _PARTS),
        )

    @classmethod
    def unknown(cls, count: int) -> Proportions:
        """Return proportions without any knowledge about the keypoints: points on the surface, without limits."""
        none = np.zeros(0, np.intp)
        return cls(
            np.zeros(count),
            np.full((count, count), np.inf),
            np.zeros((0, 2), np.intp),
            np.zeros(0),
            np.zeros(count, np.bool_),
            none,
            none,
        )


_PARTS = ("shoulder", "hip")


def _shortest_paths(count: int, limbs: IndexArray, lengths: DoubleArray) -> DoubleArray:
    """Return the length (K, K) of the shortest path along limbs between each two keypoints (Floyd and Warshall)."""
    paths = np.where(np.eye(count, dtype=bool), 0.0, np.inf)
    for (a, b), length in zip(limbs, lengths, strict=True):
        if np.isfinite(length):
            paths[a, b] = paths[b, a] = min(length, paths[a, b])
    for middle in range(count):
        paths = np.minimum(paths, paths[:, middle, None] + paths[None, middle])
    return paths
