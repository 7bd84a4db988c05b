"""A synthetic person: where the keypoints are, and the rounded cones that the body is made of.

Everything is in metres of the camera's optical frame: x right, y down, z forwards.

References:
    Drillis and Contini, Body Segment Parameters, 1966; in Winter, Biomechanics and Motor Control of Human Movement,
    4th ed. 2009, fig. 4.1 (lengths of segments as fractions of the body height).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pose_ros.arrays import DoubleArray
from pose_ros.datasets.synthetic.motion import SIDES
from pose_ros.datasets.synthetic.paint import Paint, Wardrobe

Vector = DoubleArray

_THIGH, _SHANK, _FOOT_HEIGHT = 0.245, 0.246, 0.039
_UPPER_ARM, _FOREARM, _HAND = 0.186, 0.146, 0.07
_HALF_SHOULDERS, _HALF_HIPS, _TRUNK = 0.115, 0.058, 0.288
_HEAD_RADIUS_M = 0.078
_SOLE_M = 0.04
_UP = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class Part:
    """A rounded cone.

    Attributes:
        start: (3,) centre of one end.
        end: (3,) centre of the other.
        radii: At either end.
        paint: What it looks like.
        origin: (3,) of the paint's coordinates.
        axes: (3, 3) rows forward, left, up of the paint's coordinates.
    """

    start: Vector
    end: Vector
    radii: tuple[float, float]
    paint: Paint
    origin: Vector
    axes: DoubleArray


@dataclass(frozen=True)
class Body:
    """A person at one instant.

    Attributes:
        joints: (3,) of each keypoint by name.
        parts: What is to be seen.
        feet: (3,) point on the floor below the middle of the body.
    """

    joints: dict[str, Vector]
    parts: list[Part]
    feet: Vector


def body_at(
    place: tuple[Any, float], angles: dict[str, float], height_m: float, look: Wardrobe, floor_y: float
) -> Body:
    """Build a person.

    Args:
        place: Position (x, z) on the floor and heading, see ``Motion``.
        angles: See ``ANGLES``.
        height_m: Of the body.
        look: Clothes, skin and hair.
        floor_y: Height of the floor in the camera's frame.
    """
    (x, z), heading = place
    axes = _axes(heading + angles["turn"])
    joints = _trunk(axes, angles, height_m)
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        joints |= _leg(joints, axes, angles, side, sign, height_m) | _arm(joints, axes, angles, side, sign, height_m)
    head_axes = _head_axes(axes, angles)
    joints |= _head(joints, head_axes)
    lowest = max(joints[f"{side}_{part}"][1] for side in SIDES for part in ("heel", "big_toe"))
    shift = np.array([x, floor_y - _SOLE_M - lowest, z])
    joints = {name: point + shift for name, point in joints.items()}
    parts = [*_clothed(joints, axes, look), *_head_parts(joints, head_axes, look)]
    return Body(joints, parts, np.array([x, floor_y, z]))


def _axes(heading: float) -> DoubleArray:
    """Rows forward, left, up of someone upright; heading 0 looks away from the camera."""
    forward = np.array([np.sin(heading), 0.0, np.cos(heading)])
    return np.stack([forward, np.cross(_UP, forward), _UP])


def _turned(axes: DoubleArray, about: int, angle: float) -> DoubleArray:
    """Axes turned about one of themselves."""
    a, b = (about + 1) % 3, (about + 2) % 3
    turned = axes.copy()
    turned[a] = np.cos(angle) * axes[a] + np.sin(angle) * axes[b]
    turned[b] = np.cos(angle) * axes[b] - np.sin(angle) * axes[a]
    return turned


def _hanging(axes: DoubleArray, forwards: float, sideways: float) -> Vector:
    """Unit vector that hangs down at 0, swung forwards, and then along the left axis."""
    direction: Vector = np.cos(sideways) * (np.sin(forwards) * axes[0] - np.cos(forwards) * axes[2])
    return direction + np.sin(sideways) * axes[1]


def _trunk(axes: DoubleArray, angles: dict[str, float], height: float) -> dict[str, Vector]:
    leaning = _turned(axes, 1, angles["lean"])
    twisted = _turned(leaning, 2, angles["twist"])
    neck = _TRUNK * height * leaning[2]
    joints = {"pelvis": np.zeros(3), "neck": neck, "thorax": neck}
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        joints[f"{side}_hip"] = sign * _HALF_HIPS * height * axes[1]
        joints[f"{side}_shoulder"] = neck + sign * _HALF_SHOULDERS * height * twisted[1]
    return joints


def _leg(
    joints: dict[str, Vector],
    axes: DoubleArray,
    angles: dict[str, float],
    side: str,
    sign: float,
    height: float,
) -> dict[str, Vector]:
    hip, spread = angles[f"{side}_hip"], sign * angles[f"{side}_spread"]
    knee = joints[f"{side}_hip"] + _THIGH * height * _hanging(axes, hip, spread)
    shank = _hanging(axes, hip - angles[f"{side}_knee"], spread)
    ankle = knee + _SHANK * height * shank
    forwards = axes[0] - (axes[0] @ shank) * shank
    toes = forwards / max(float(np.linalg.norm(forwards)), 1e-6)
    heel = ankle + _FOOT_HEIGHT * height * shank - 0.03 * toes
    return {
        f"{side}_knee": knee,
        f"{side}_ankle": ankle,
        f"{side}_heel": heel,
        f"{side}_big_toe": heel + 0.125 * height * toes - 0.02 * sign * axes[1],
        f"{side}_small_toe": heel + 0.11 * height * toes + 0.03 * sign * axes[1],
    }


def _arm(
    joints: dict[str, Vector],
    axes: DoubleArray,
    angles: dict[str, float],
    side: str,
    sign: float,
    height: float,
) -> dict[str, Vector]:
    swing, sideways = angles[f"{side}_shoulder"], sign * angles[f"{side}_raise"]
    elbow = joints[f"{side}_shoulder"] + _UPPER_ARM * height * _hanging(axes, swing, sideways)
    bent = _hanging(axes, swing + angles[f"{side}_elbow"], 0.3 * sideways)
    return {f"{side}_elbow": elbow, f"{side}_wrist": elbow + _FOREARM * height * bent}


def _head_axes(axes: DoubleArray, angles: dict[str, float]) -> DoubleArray:
    return _turned(_turned(axes, 2, angles["look"]), 1, 0.5 * angles["lean"] + angles["nod"])


def _head(joints: dict[str, Vector], axes: DoubleArray) -> dict[str, Vector]:
    def at(forward: float, left: float, up: float) -> Vector:
        point: Vector = joints["neck"] + np.array([forward + 0.02, left, up + 0.2]) @ axes
        return point

    return {
        "nose": at(0.095, 0, -0.012),
        "left_eye": at(0.07, 0.032, 0.022),
        "right_eye": at(0.07, -0.032, 0.022),
        "left_ear": at(-0.005, 0.077, 0.0),
        "right_ear": at(-0.005, -0.077, 0.0),
        "head_top": at(0.0, 0.0, 0.125),
    }


def _clothed(joints: dict[str, Vector], axes: DoubleArray, look: Wardrobe) -> list[Part]:
    """Trunk, arms and legs."""
    trunk_axes = _along(joints["neck"] - joints["pelvis"], axes)
    parts = [
        Part(start, end, radii, look.shirt, joints["pelvis"], trunk_axes) for start, end, radii in _torso(joints, look)
    ]
    hips = [joints[f"{side}_hip"] for side in SIDES]
    parts.append(
        Part(hips[0], hips[1], (0.105 * look.girth, 0.105 * look.girth), look.trousers, joints["pelvis"], axes)
    )
    parts.append(_limb(joints["neck"], joints["neck"] + 0.12 * axes[2], (0.055, 0.05), look.skin, axes))
    for side in SIDES:
        shoulder, elbow, wrist = (joints[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        hip, knee, ankle = (joints[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        hand = wrist + _HAND * (wrist - elbow) / np.linalg.norm(wrist - elbow) * 1.6
        width = look.girth
        parts += [
            _limb(shoulder, elbow, (0.058 * width, 0.043 * width), look.shirt, axes),
            _limb(elbow, wrist, (0.041 * width, 0.028), look.sleeves, axes),
            _limb(wrist, hand, (0.032, 0.03), look.skin, axes),
            _limb(hip, knee, (0.085 * width, 0.06 * width), look.trousers, axes),
            _limb(knee, ankle, (0.057 * width, 0.04), look.shins, axes),
            _limb(ankle, joints[f"{side}_heel"], (0.042, 0.045), look.shoes, axes),
            _limb(joints[f"{side}_heel"], joints[f"{side}_big_toe"], (0.045, 0.032), look.shoes, axes),
        ]
    return parts


def _torso(joints: dict[str, Vector], look: Wardrobe) -> list[tuple[Vector, Vector, tuple[float, float]]]:
    """Two cones from the hips to below the shoulders, one along the spine, one from shoulder to shoulder."""
    pelvis, neck, width = joints["pelvis"], joints["neck"], look.girth
    cones = [(pelvis, neck - 0.12 * (neck - pelvis), (0.105 * width, 0.105 * width))]
    shoulders = [joints[f"{side}_shoulder"] for side in SIDES]
    for side, shoulder in zip(SIDES, shoulders, strict=True):
        armpit = shoulder + 0.16 * (pelvis - shoulder) + 0.1 * (neck - shoulder)
        cones.append((joints[f"{side}_hip"], armpit, (0.09 * width, 0.1 * width)))
    return [*cones, (shoulders[0], shoulders[1], (0.06, 0.06))]


def _along(direction: Vector, axes: DoubleArray) -> DoubleArray:
    """Axes with up along a direction, left as far as possible as it was."""
    up = direction / np.linalg.norm(direction)
    left = axes[1] - (axes[1] @ up) * up
    left = left / np.linalg.norm(left) if np.linalg.norm(left) > 0.1 else axes[0]
    return np.stack([np.cross(left, up), left, up])


def _limb(start: Vector, end: Vector, radii: tuple[float, float], paint: Paint, axes: DoubleArray) -> Part:
    return Part(start, end, radii, paint, start, _along(end - start, axes))


def _head_parts(joints: dict[str, Vector], axes: DoubleArray, look: Wardrobe) -> list[Part]:
    centre = (joints["left_ear"] + joints["right_ear"]) / 2 + 0.005 * axes[0]
    low, high = centre - 0.05 * axes[2], centre + 0.042 * axes[2]
    parts = [
        Part(low, high, (0.066, _HEAD_RADIUS_M), look.face, centre, axes),
        Part(
            joints["nose"] - 0.02 * axes[0], joints["nose"] - 0.008 * axes[0], (0.018, 0.011), look.skin, centre, axes
        ),
    ]
    for side in SIDES:
        ear = joints[f"{side}_ear"]
        parts.append(Part(ear - 0.012 * axes[2], ear + 0.014 * axes[2], (0.014, 0.018), look.skin, centre, axes))
    if look.long_hair:
        back = centre - 0.045 * axes[0]
        parts.append(Part(back, back - 0.17 * axes[2], (0.068, 0.055), look.hair, centre, axes))
    return parts
