"""Build a synthetic person: its keypoints, and the rounded cones that form its body.

All positions are in metres in the optical frame of the camera: x right, y down, z forwards.

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
_HALF_SHOULDERS, _HALF_HIPS, _TORSO = 0.115, 0.058, 0.288
_HEAD_RADIUS_M = 0.078
_SOLE_M = 0.04
_UP = np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class Cone:
    """Rounded cone: a cone with a ball at each end.

    Attributes:
        start: (3,) centre of the ball at the start, m.
        end: (3,) centre of the ball at the end, m.
        radii: Radius at the start and at the end, m.
        paint: Colour and pattern of the surface.
        origin: (3,) origin of the coordinates of the paint, m.
        axes: (3, 3) axes of the coordinates of the paint: rows forward, left, up.
    """

    start: Vector
    end: Vector
    radii: tuple[float, float]
    paint: Paint
    origin: Vector
    axes: DoubleArray


@dataclass(frozen=True)
class Body:
    """Person at one instant.

    Attributes:
        keypoints: (3,) position of each keypoint by name, m.
        cones: Rounded cones of the body.
        feet: (3,) point on the floor below the pelvis, m.
    """

    keypoints: dict[str, Vector]
    cones: list[Cone]
    feet: Vector


def make_body(
    place: tuple[Any, float], angles: dict[str, float], height_m: float, wardrobe: Wardrobe, floor_y: float
) -> Body:
    """Build a person.

    Args:
        place: Position (x, z) on the floor, m, and heading, see ``Motion``.
        angles: Angle of each of ``ANGLES``, radians.
        height_m: Height of the body.
        wardrobe: Clothes, skin and hair.
        floor_y: y coordinate of the floor in the frame of the camera, m.
    """
    (x, z), heading = place
    axes = _axes(heading + angles["turn"])
    keypoints = _torso_keypoints(axes, angles, height_m)
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        keypoints |= _leg_keypoints(keypoints, axes, angles, side, sign, height_m) | _arm_keypoints(
            keypoints, axes, angles, side, sign, height_m
        )
    head_axes = _head_axes(axes, angles)
    keypoints |= _head_keypoints(keypoints, head_axes)
    lowest = max(keypoints[f"{side}_{name}"][1] for side in SIDES for name in ("heel", "big_toe"))
    shift = np.array([x, floor_y - _SOLE_M - lowest, z])
    keypoints = {name: point + shift for name, point in keypoints.items()}
    cones = [*_body_cones(keypoints, axes, wardrobe), *_head_cones(keypoints, head_axes, wardrobe)]
    return Body(keypoints, cones, np.array([x, floor_y, z]))


def _axes(heading: float) -> DoubleArray:
    """Return the axes (rows forward, left, up) of an upright person. Heading 0 looks away from the camera."""
    forward = np.array([np.sin(heading), 0.0, np.cos(heading)])
    return np.stack([forward, np.cross(_UP, forward), _UP])


def _rotate_axes(axes: DoubleArray, about: int, angle: float) -> DoubleArray:
    """Rotate axes about one of them.

    Args:
        axes: (3, 3) axes, one per row.
        about: Index of the axis of rotation.
        angle: Angle, radians.
    """
    a, b = (about + 1) % 3, (about + 2) % 3
    rotated = axes.copy()
    rotated[a] = np.cos(angle) * axes[a] + np.sin(angle) * axes[b]
    rotated[b] = np.cos(angle) * axes[b] - np.sin(angle) * axes[a]
    return rotated


def _swing_direction(axes: DoubleArray, forwards: float, sideways: float) -> Vector:
    """Return a unit vector that points down, swung by angles forwards and then towards the left axis, radians."""
    direction: Vector = np.cos(sideways) * (np.sin(forwards) * axes[0] - np.cos(forwards) * axes[2])
    return direction + np.sin(sideways) * axes[1]


def _torso_keypoints(axes: DoubleArray, angles: dict[str, float], height: float) -> dict[str, Vector]:
    leaning = _rotate_axes(axes, 1, angles["lean"])
    twisted = _rotate_axes(leaning, 2, angles["twist"])
    neck = _TORSO * height * leaning[2]
    keypoints = {"pelvis": np.zeros(3), "neck": neck, "thorax": neck}
    for side, sign in zip(SIDES, (1.0, -1.0), strict=True):
        keypoints[f"{side}_hip"] = sign * _HALF_HIPS * height * axes[1]
        keypoints[f"{side}_shoulder"] = neck + sign * _HALF_SHOULDERS * height * twisted[1]
    return keypoints


def _leg_keypoints(
    keypoints: dict[str, Vector],
    axes: DoubleArray,
    angles: dict[str, float],
    side: str,
    sign: float,
    height: float,
) -> dict[str, Vector]:
    hip, spread = angles[f"{side}_hip"], sign * angles[f"{side}_spread"]
    knee = keypoints[f"{side}_hip"] + _THIGH * height * _swing_direction(axes, hip, spread)
    shank = _swing_direction(axes, hip - angles[f"{side}_knee"], spread)
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


def _arm_keypoints(
    keypoints: dict[str, Vector],
    axes: DoubleArray,
    angles: dict[str, float],
    side: str,
    sign: float,
    height: float,
) -> dict[str, Vector]:
    swing, sideways = angles[f"{side}_shoulder"], sign * angles[f"{side}_raise"]
    elbow = keypoints[f"{side}_shoulder"] + _UPPER_ARM * height * _swing_direction(axes, swing, sideways)
    bent = _swing_direction(axes, swing + angles[f"{side}_elbow"], 0.3 * sideways)
    return {f"{side}_elbow": elbow, f"{side}_wrist": elbow + _FOREARM * height * bent}


def _head_axes(axes: DoubleArray, angles: dict[str, float]) -> DoubleArray:
    return _rotate_axes(_rotate_axes(axes, 2, angles["look"]), 1, 0.5 * angles["lean"] + angles["nod"])


def _head_keypoints(keypoints: dict[str, Vector], axes: DoubleArray) -> dict[str, Vector]:
    def at(forward: float, left: float, up: float) -> Vector:
        point: Vector = keypoints["neck"] + np.array([forward + 0.02, left, up + 0.2]) @ axes
        return point

    return {
        "nose": at(0.095, 0, -0.012),
        "left_eye": at(0.07, 0.032, 0.022),
        "right_eye": at(0.07, -0.032, 0.022),
        "left_ear": at(-0.005, 0.077, 0.0),
        "right_ear": at(-0.005, -0.077, 0.0),
        "head_top": at(0.0, 0.0, 0.125),
    }


def _body_cones(keypoints: dict[str, Vector], axes: DoubleArray, wardrobe: Wardrobe) -> list[Cone]:
    """Return the cones of torso, arms and legs."""
    torso_axes = _align_axes(keypoints["neck"] - keypoints["pelvis"], axes)
    cones = [
        Cone(start, end, radii, wardrobe.shirt, keypoints["pelvis"], torso_axes)
        for start, end, radii in _torso_cones(keypoints, wardrobe)
    ]
    hips = [keypoints[f"{side}_hip"] for side in SIDES]
    cones.append(
        Cone(
            hips[0],
            hips[1],
            (0.105 * wardrobe.girth, 0.105 * wardrobe.girth),
            wardrobe.trousers,
            keypoints["pelvis"],
            axes,
        )
    )
    cones.append(_limb_cone(keypoints["neck"], keypoints["neck"] + 0.12 * axes[2], (0.055, 0.05), wardrobe.skin, axes))
    for side in SIDES:
        shoulder, elbow, wrist = (keypoints[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        hip, knee, ankle = (keypoints[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        hand = wrist + _HAND * (wrist - elbow) / np.linalg.norm(wrist - elbow) * 1.6
        width = wardrobe.girth
        cones += [
            _limb_cone(shoulder, elbow, (0.058 * width, 0.043 * width), wardrobe.shirt, axes),
            _limb_cone(elbow, wrist, (0.041 * width, 0.028), wardrobe.sleeves, axes),
            _limb_cone(wrist, hand, (0.032, 0.03), wardrobe.skin, axes),
            _limb_cone(hip, knee, (0.085 * width, 0.06 * width), wardrobe.trousers, axes),
            _limb_cone(knee, ankle, (0.057 * width, 0.04), wardrobe.shins, axes),
            _limb_cone(ankle, keypoints[f"{side}_heel"], (0.042, 0.045), wardrobe.shoes, axes),
            _limb_cone(keypoints[f"{side}_heel"], keypoints[f"{side}_big_toe"], (0.045, 0.032), wardrobe.shoes, axes),
        ]
    return cones


def _torso_cones(keypoints: dict[str, Vector], wardrobe: Wardrobe) -> list[tuple[Vector, Vector, tuple[float, float]]]:
    """Return start, end and radii of four cones.

    One runs along the spine, two from the hips to below the shoulders, and one from shoulder to shoulder.
    """
    pelvis, neck, width = keypoints["pelvis"], keypoints["neck"], wardrobe.girth
    cones = [(pelvis, neck - 0.12 * (neck - pelvis), (0.105 * width, 0.105 * width))]
    shoulders = [keypoints[f"{side}_shoulder"] for side in SIDES]
    for side, shoulder in zip(SIDES, shoulders, strict=True):
        armpit = shoulder + 0.16 * (pelvis - shoulder) + 0.1 * (neck - shoulder)
        cones.append((keypoints[f"{side}_hip"], armpit, (0.09 * width, 0.1 * width)))
    return [*cones, (shoulders[0], shoulders[1], (0.06, 0.06))]


def _align_axes(direction: Vector, axes: DoubleArray) -> DoubleArray:
    """Align the up axis with a direction, and change the left axis as little as possible."""
    up = direction / np.linalg.norm(direction)
    left = axes[1] - (axes[1] @ up) * up
    left = left / np.linalg.norm(left) if np.linalg.norm(left) > 0.1 else axes[0]
    return np.stack([np.cross(left, up), left, up])


def _limb_cone(start: Vector, end: Vector, radii: tuple[float, float], paint: Paint, axes: DoubleArray) -> Cone:
    return Cone(start, end, radii, paint, start, _align_axes(end - start, axes))


def _head_cones(keypoints: dict[str, Vector], axes: DoubleArray, wardrobe: Wardrobe) -> list[Cone]:
    centre = (keypoints["left_ear"] + keypoints["right_ear"]) / 2 + 0.005 * axes[0]
    low, high = centre - 0.05 * axes[2], centre + 0.042 * axes[2]
    cones = [
        Cone(low, high, (0.066, _HEAD_RADIUS_M), wardrobe.face, centre, axes),
        Cone(
            keypoints["nose"] - 0.02 * axes[0],
            keypoints["nose"] - 0.008 * axes[0],
            (0.018, 0.011),
            wardrobe.skin,
            centre,
            axes,
        ),
    ]
    for side in SIDES:
        ear = keypoints[f"{side}_ear"]
        cones.append(Cone(ear - 0.012 * axes[2], ear + 0.014 * axes[2], (0.014, 0.018), wardrobe.skin, centre, axes))
    if wardrobe.long_hair:
        back = centre - 0.045 * axes[0]
        cones.append(Cone(back, back - 0.17 * axes[2], (0.068, 0.055), wardrobe.hair, centre, axes))
    return cones
