"""Proportions of a body: how deep keypoints lie below its surface, and how far apart they can be.

References:
    Drillis and Contini, Body Segment Parameters, 1966; in Winter, Biomechanics and Motor Control of Human Movement,
    4th ed. 2009, fig. 4.1 (lengths of limbs as fractions of the body height).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, IndexArray
from pose_ros.decoder.jit import jit
from pose_ros.people import People
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
_LENGTHS = {
    ("shoulder", "elbow"): 0.186,
    ("elbow", "wrist"): 0.146,
    ("hip", "knee"): 0.245,
    ("knee", "ankle"): 0.246,
    ("shoulder", "hip"): 0.294,
    ("neck", "hip"): 0.294,
    ("shoulder", "shoulder"): 0.23,
    ("hip", "hip"): 0.116,
}
"""Length of limbs between joints, body heights. Those of other limbs come from ``Skeleton.standing``."""
_CORNERS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_TRUNK = (*_CORNERS, "neck", "thorax", "pelvis")
_LONG = 0.13
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
        is_corner: (K,) whether a keypoint is a shoulder or a hip.
    """

    below_surface_m: DoubleArray
    reach: DoubleArray
    limbs: IndexArray
    lengths: DoubleArray
    is_trunk: BoolArray
    is_corner: BoolArray

    @classmethod
    def of(cls, skeleton: Skeleton) -> Proportions:
        """Return the proportions of a skeleton. Keypoints with unknown names lie on the surface, without limits."""
        names, limbs = skeleton.keypoint_names, np.array(skeleton.limbs, np.intp).reshape(-1, 2)
        lengths = np.array([_length(skeleton, a, b) for a, b in skeleton.limbs])
        tells_size = lengths >= _LONG  # false for NaN
        return cls(
            np.array([_BELOW_SURFACE_M.get(without_side(name), 0.0) for name in names]),
            _shortest_paths(len(names), limbs, lengths),
            limbs[tells_size],
            lengths[tells_size],
            np.array([name in _TRUNK for name in names]),
            np.array([name in _CORNERS for name in names]),
        )

    @classmethod
    def unknown(cls, count: int) -> Proportions:
        """Return proportions without any knowledge about the keypoints: points on the surface, without limits."""
        none = np.zeros(count, np.bool_)
        reach = np.full((count, count), np.inf)
        return cls(np.zeros(count), reach, np.zeros((0, 2), np.intp), np.zeros(0), none, none)

    def check_keypoints(self, people: People) -> None:
        """Check that people have the keypoints of the skeleton.

        Raises:
            ValueError: If their number differs.
        """
        if people.keypoints.shape[1] != len(self.below_surface_m):
            raise ValueError(f"people: expected {len(self.below_surface_m)} keypoints, got {people.keypoints.shape[1]}")


def _length(skeleton: Skeleton, a: int, b: int) -> float:
    """Return the length of a limb, body heights. NaN = unknown."""
    ends = without_side(skeleton.keypoint_names[a]), without_side(skeleton.keypoint_names[b])
    drawn = float(np.linalg.norm(skeleton.standing[a] - skeleton.standing[b]))
    return _LENGTHS.get(ends, _LENGTHS.get(ends[::-1], drawn))


def _shortest_paths(count: int, limbs: IndexArray, lengths: DoubleArray) -> DoubleArray:
    """Return the length (K, K) of the shortest path along limbs between each two keypoints (Floyd and Warshall)."""
    paths = np.where(np.eye(count, dtype=bool), 0.0, np.inf)
    for (a, b), length in zip(limbs, lengths, strict=True):
        if np.isfinite(length):
            paths[a, b] = paths[b, a] = min(length, paths[a, b])
    for middle in range(count):
        paths = np.minimum(paths, paths[:, middle, None] + paths[None, middle])
    return paths


def find_positions(points: DoubleArray, sigmas: DoubleArray, body: Proportions) -> tuple[DoubleArray, DoubleArray]:
    """Return the positions (N, 3) of people, and their standard deviations (N,).

    Args:
        points: (N, K, 3) points of the keypoints, NaN = unknown.
        sigmas: (N, K) their standard deviations.
        body: Proportions of the body. See ``LiftedPeople`` for the keypoints that count.
    """
    known = np.isfinite(points.sum(axis=2))
    has_corners = (known | ~body.is_corner).all(axis=1, keepdims=True) & (body.is_corner.sum() == len(_CORNERS))
    trunk = known & body.is_trunk
    used = np.where(has_corners, body.is_corner, np.where(trunk.any(axis=1, keepdims=True), trunk, known))
    count = used.sum(axis=1)
    with np.errstate(invalid="ignore"):
        weights = used / np.where(count > 0, count, np.nan)[:, None]
    positions = (np.where(used[..., None], points, 0) * weights[..., None]).sum(axis=1)
    return positions, (np.where(used, sigmas, 0) * weights).sum(axis=1)  # errors of neighbours are not independent


def measure_heights(rays: DoubleArray, visible: BoolArray, body: Proportions) -> DoubleArray:
    """Return the height (N,) that each person would have if it stood upright at distance 1.

    Foreshortening makes limbs shorter, so the second largest of the heights that the limbs tell counts. The largest may
    be an error. Without limbs, it is the longer side of the box.

    Args:
        rays: (N, K, 3) directions of the keypoints, with z = 1.
        visible: (N, K) keypoints that are present.
        body: Proportions of the body.
    """
    heights = np.zeros(len(rays))
    _fill_heights(rays, visible, body.limbs, body.lengths, heights)
    return heights


@jit
def _fill_heights(keypoints: Any, visible: Any, limbs: Any, lengths: Any, heights: Any) -> None:
    """Fill the heights. Points that are NaN are skipped."""
    for n in range(keypoints.shape[0]):
        first, second = 0.0, 0.0
        for limb in range(len(limbs)):
            a, b = limbs[limb, 0], limbs[limb, 1]
            if visible[n, a] and visible[n, b]:
                x, y = keypoints[n, a, 0] - keypoints[n, b, 0], keypoints[n, a, 1] - keypoints[n, b, 1]
                height = np.sqrt(x * x + y * y) / lengths[limb]
                if height > first:
                    first, second = height, first
                elif height > second:
                    second = height
        heights[n] = second if second > 0 else first
        if heights[n] == 0:
            left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
            for k in range(keypoints.shape[1]):
                if visible[n, k]:
                    left, right = min(left, keypoints[n, k, 0]), max(right, keypoints[n, k, 0])
                    top, bottom = min(top, keypoints[n, k, 1]), max(bottom, keypoints[n, k, 1])
            heights[n] = max(right - left, bottom - top, 0.0)
