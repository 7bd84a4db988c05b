"""Find the frame of each person's body: its origin between the hips, and the direction that the body faces.

References:
    REP-155, Body Frames: origin, axes and the names of the links, https://ros.org/reps/rep-0155.html
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import AnyArray, DoubleArray
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

OPTICAL_UP = (0.0, -1.0, 0.0)
"""Direction up of an upright camera in its optical frame."""
LINKS = {
    f"{side[0]}_{link}": f"{side}_{link}"
    for side in ("left", "right")
    for link in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}
"""Keypoint of each link of REP-155, by the name of the link. The head is added by ``link_positions``."""
HEAD = "head"
_LEAST_M = 1e-3  # of two points that are closer, the direction is unknown


@dataclass(frozen=True, eq=False)
class BodyFrames:
    """Frames of N bodies, in the frame of ``People.keypoints_3d``.

    Attributes:
        origins: (N, 3) middle of the hips, m. The position of the person if a hip is unknown. NaN = unknown.
        rotations: (N, 3, 3). The columns are the axes x (forwards, out of the body), y (to its left) and z (to its
            head). Directions that are unknown are those of an upright person who faces the camera.
    """

    origins: DoubleArray
    rotations: DoubleArray


def find_body_frames(people: People, skeleton: Skeleton, up: tuple[float, float, float] = OPTICAL_UP) -> BodyFrames:
    """Find the frame of each person.

    Args:
        people: People with ``keypoints_3d`` or ``positions_3d``.
        skeleton: Skeleton of the people.
        up: Direction up, for people whose shoulders or hips are unknown.
    """
    left_shoulder, right_shoulder, left_hip, right_hip = (
        _find(people, skeleton, f"{side}_{name}") for name in ("shoulder", "hip") for side in ("left", "right")
    )
    hips, shoulders = (left_hip + right_hip) / 2, (left_shoulder + right_shoulder) / 2
    origins = _first_known(hips, positions_of(people))
    z = _first_known(_normalise(shoulders - hips), np.broadcast_to(np.array(up), hips.shape))
    across = np.nan_to_num(left_shoulder - right_shoulder) + np.nan_to_num(left_hip - right_hip)
    facing_camera = _first_known(_forwards(np.cross(z, -origins), z), _forwards(np.cross(z, (0.0, 0.0, -1.0)), z))
    x = _first_known(_forwards(across, z), facing_camera, np.broadcast_to((1.0, 0.0, 0.0), z.shape))
    x = _normalise(x - (x * z).sum(axis=1, keepdims=True) * z)
    return BodyFrames(origins, np.stack([x, np.cross(z, x), z], axis=2))


def link_positions(people: People, skeleton: Skeleton, frames: BodyFrames) -> dict[str, DoubleArray]:
    """Return the position of each link of REP-155 in the frame of its body, (N, 3), m, by the name of the link.

    NaN = unknown. The head is the middle of the ears, or the nose if an ear is unknown.
    """
    ears = (_find(people, skeleton, "left_ear") + _find(people, skeleton, "right_ear")) / 2
    points = {HEAD: _first_known(ears, _find(people, skeleton, "nose"))}
    points |= {link: _find(people, skeleton, keypoint) for link, keypoint in LINKS.items()}
    return {
        link: np.einsum("nji,nj->ni", frames.rotations, xyz - frames.origins)  # the inverse of a rotation: transposed
        for link, xyz in points.items()
    }


def positions_of(people: People) -> DoubleArray:
    """Return the positions of the people, (N, 3), m. NaN = unknown."""
    if people.positions_3d is None:
        return np.full((len(people), 3), np.nan)
    return _unknown_as_nan(people.positions_3d)


def _find(people: People, skeleton: Skeleton, name: str) -> DoubleArray:
    """Return a keypoint of each person, (N, 3), m. NaN = unknown."""
    if people.keypoints_3d is None or name not in skeleton.keypoint_names:
        return np.full((len(people), 3), np.nan)
    return _unknown_as_nan(people.keypoints_3d[:, skeleton.index(name)])


def _unknown_as_nan(xyz: AnyArray) -> DoubleArray:
    """Make every coordinate of a point NaN if one of them is not finite."""
    return np.where(np.isfinite(xyz).all(axis=1, keepdims=True), xyz.astype(np.float64), np.nan)


def _normalise(vectors: DoubleArray) -> DoubleArray:
    """Return unit vectors, NaN if the direction is unknown."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > _LEAST_M, lengths, np.nan)


def _forwards(left: AnyArray, up: DoubleArray) -> DoubleArray:
    """Return the direction forwards, if one to the left and the one up are known. NaN = unknown."""
    return _normalise(np.cross(left, up))


def _first_known(*choices: AnyArray) -> DoubleArray:
    """Return the first vector that is known, for each person."""
    result = np.array(choices[-1], np.float64)
    for choice in reversed(choices[:-1]):
        result = np.where(np.isfinite(choice).all(axis=1, keepdims=True), choice, result)
    return result
