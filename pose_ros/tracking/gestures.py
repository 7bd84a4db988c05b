"""Recognise gestures and postures of one person in one image: pure functions of named keypoints.

Each function takes keypoints in the image (px) or in space (m), see ``named_points``. If a keypoint that it needs is
unknown, the result is unknown too: None or NaN. Gestures over time are in ``gesture_memory``.

References:
    Nickel and Stiefelhagen, Visual recognition of pointing gestures for human-robot interaction, 2007 (people point
    along the line from the head to the hand).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from pose_ros.arrays import AnyArray, DoubleArray
from pose_ros.tracking.named_points import SIDES, NamedPoints, head, middle, torso_length, up_direction

Up = Iterable[float] | None
"""Direction that is up, in the coordinates of the points. None = against y."""

# Lengths are in torso lengths, angles in radians
_RAISED = 0.25
_FACING_WIDTH = 0.80  # distance of the shoulders of a person who faces the camera
_CLEARLY_FACING = 0.9  # of that distance
_STRETCHED, _HANGING, _UPWARDS = math.radians(40), math.radians(40), math.radians(145)
_TILTED = math.radians(55)
_FORESHORTENED = 0.6
_THIGH_STANDS, _THIGH_SITS, _SHANK_STANDS, _LEG_LIES = 0.55, 0.42, 0.3, 0.6


class Posture(Enum):
    """Posture of a person."""

    STANDING = "standing"
    """Upright legs: also walking, and bending down."""
    SITTING = "sitting"
    """Upright torso and bent legs: also crouching."""
    LYING = "lying"
    """Torso and legs near the floor."""


@dataclass(frozen=True)
class Ray:
    """Line from a point in one direction.

    Attributes:
        origin: (3,) head of the person, m.
        direction: (3,) unit vector.
    """

    origin: DoubleArray
    direction: DoubleArray


def facing_angle(points: NamedPoints, up: Up = None) -> float:
    """Return how far the torso is turned away from the camera, radians.

    0 = it faces the camera, positive = it is turned to the right of the image, ±pi = it faces away. Points in space
    give the angle to the origin of their frame. Points in an image give a coarse angle from the width of the shoulders,
    with the side from the face.

    Args:
        points: Keypoints.
        up: Direction that is up.

    Returns:
        Angle in [-pi, pi]. NaN = unknown.
    """
    if not all(f"{side}_shoulder" in points for side in SIDES):
        return math.nan
    across = points["left_shoulder"] - points["right_shoulder"]
    return _facing_in_image(points, across) if len(across) == 2 else _facing_in_space(points, across, up)


def _facing_in_image(points: NamedPoints, across: DoubleArray) -> float:
    shoulders, length = middle(points, "shoulder"), torso_length(points)
    if shoulders is None or length is None or middle(points, "hip") is None:
        return math.nan  # without hips, the length depends on the width
    cosine = float(np.clip(across[0] / (_FACING_WIDTH * length), -1, 1))
    face = points.get("nose", middle(points, "eye"))
    if face is None:
        return math.acos(cosine) if cosine < -_CLEARLY_FACING else math.nan
    return math.copysign(math.acos(cosine), face[0] - shoulders[0])


def _facing_in_space(points: NamedPoints, across: DoubleArray, up: Up) -> float:
    vertical = up_direction(points, up)
    if all(f"{side}_hip" in points for side in SIDES):
        across = across + points["left_hip"] - points["right_hip"]
    forward = np.cross(across, vertical)
    to_camera = -(points["left_shoulder"] + points["right_shoulder"]) / 2
    to_camera = to_camera - (to_camera @ vertical) * vertical
    right = np.cross(vertical, to_camera)
    if min(np.linalg.norm(forward), np.linalg.norm(to_camera)) < 1e-6:
        return math.nan
    return math.atan2(forward @ right, forward @ to_camera)


def is_hand_raised(points: NamedPoints, side: str, up: Up = None) -> bool | None:
    """Return whether a hand is clearly above the shoulder, for an upright person. None = unknown.

    Args:
        points: Keypoints.
        side: ``"left"`` or ``"right"``, of the person.
        up: Direction that is up.
    """
    wrist, shoulder, length = points.get(f"{side}_wrist"), points.get(f"{side}_shoulder"), torso_length(points)
    if wrist is None or shoulder is None or length is None:
        return None
    arm = wrist - shoulder
    is_above = bool(arm @ up_direction(points, up) > _RAISED * length)
    spine = _spine(points)  # of a person who lies, a hand on the floor may be above the shoulder in the image
    return is_above and (spine is None or bool(arm @ spine > _RAISED * length * np.linalg.norm(spine)))


def has_raised_hand(points: NamedPoints, up: Up = None) -> bool | None:
    """Return whether a hand is raised. None = no hand is known to be raised, and one is unknown."""
    hands = [is_hand_raised(points, side, up) for side in SIDES]
    return True if True in hands else None if None in hands else False


def is_pointing(points: NamedPoints, side: str, up: Up = None) -> bool | None:
    """Return whether an arm is stretched out, neither hanging nor straight up. None = unknown.

    Only for points in space: in an image, an arm that points at the camera cannot be seen.

    Args:
        points: Keypoints in space.
        side: ``"left"`` or ``"right"``, of the person.
        up: Direction that is up.
    """
    names = (f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist")
    if not all(name in points and len(points[name]) == 3 for name in names):
        return None
    shoulder, elbow, wrist = (points[name] for name in names)
    from_down = _angle(wrist - shoulder, -up_direction(points, up))
    return _angle(elbow - shoulder, wrist - elbow) < _STRETCHED and _HANGING < from_down < _UPWARDS


def pointing_ray(points: NamedPoints, side: str, up: Up = None) -> Ray | None:
    """Return the ray from the head through the wrist of an arm that points. None = it does not point, or unknown."""
    origin = head(points)
    if origin is None or not is_pointing(points, side, up):
        return None
    line = points[f"{side}_wrist"] - origin
    length = float(np.linalg.norm(line))
    return Ray(origin, line / length) if length > 0 else None


def posture(points: NamedPoints, up: Up = None) -> Posture | None:
    """Return the posture of a person. None = unknown, or between two postures.

    The image of a level camera does not show a person who lies towards the camera or sits behind a table.

    Args:
        points: Keypoints.
        up: Direction that is up.
    """
    spine, length = _spine(points), torso_length(points)
    hips, knees = middle(points, "hip"), [points[f"{side}_knee"] for side in SIDES if f"{side}_knee" in points]
    if spine is None or length is None or hips is None or not knees:
        return None
    if np.linalg.norm(spine) < _FORESHORTENED * length:
        return None  # the torso points towards the camera
    vertical = up_direction(points, up)
    knee = np.mean(knees, axis=0)
    thigh = float((hips - knee) @ vertical) / length
    ankles = [points[f"{side}_ankle"] for side in SIDES if f"{side}_ankle" in points]
    shank = float((knee - np.mean(ankles, axis=0)) @ vertical) / length if ankles else None
    if thigh > _THIGH_STANDS:
        return Posture.STANDING if shank is None or shank > _SHANK_STANDS else None
    if _angle(spine, vertical) <= _TILTED:
        return Posture.SITTING if thigh < _THIGH_SITS else None
    return Posture.LYING if shank is not None and thigh < _THIGH_SITS and thigh + shank < _LEG_LIES else None


def distance_m(position: AnyArray) -> float:
    """Return the distance of a position (3,) from the camera, m. NaN = unknown."""
    return float(np.linalg.norm(np.asarray(position, np.float64)))


def approach_speed_mps(position: AnyArray, velocity: AnyArray) -> float:
    """Return the speed at which a person comes nearer, m/s. Negative = goes away. NaN = unknown.

    Args:
        position: (3,) position, m, from the camera.
        velocity: (3,) velocity, m/s, relative to the camera.
    """
    position, velocity = np.asarray(position, np.float64), np.asarray(velocity, np.float64)
    distance = float(np.linalg.norm(position))
    return float(-(position @ velocity) / distance) if distance > 0 else math.nan


def _spine(points: NamedPoints) -> DoubleArray | None:
    shoulders, hips = middle(points, "shoulder"), middle(points, "hip")
    return None if shoulders is None or hips is None else shoulders - hips


def _angle(a: DoubleArray, b: DoubleArray) -> float:
    """Return the angle between two vectors, radians. A vector without length is at a right angle to all."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return math.acos(max(-1.0, min(1.0, float(a @ b) / lengths))) if lengths > 0 else math.pi / 2
