"""Make synthetic people who gesture, as a pose network and a depth camera would see them. The same seed gives the same.

The camera of a robot looks at one person: 0.4 to 1.6 m above the floor, tilted by up to 5 degrees. Keypoints are
misplaced and missing at random. Keypoints behind the body are seen as well as the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pose_ros.arrays import DoubleArray
from pose_ros.datasets.synthetic.body import make_body
from pose_ros.datasets.synthetic.motion import ANGLES, SIDES, random_motion
from pose_ros.datasets.synthetic.paint import random_wardrobe
from pose_ros.skeleton import OPENPOSE_18
from pose_ros.tracking.named_points import NamedPoints, name_points

RATE_HZ = 10.0
_FOCAL_PX, _CENTRE_PX = 600.0, 320.0
_CROUCHES = 0.8  # bend of the hips
Pose = Callable[[float], dict[str, DoubleArray]]
"""Keypoints by name at a time, m."""


@dataclass(frozen=True)
class Noise:
    """Errors of the detector.

    Attributes:
        image: Standard deviation of keypoints in the image, heights of the person.
        space_m: Standard deviation of keypoints in space, m.
        missing: Share of missing keypoints.
    """

    image: float = 0.015
    space_m: float = 0.03
    missing: float = 0.1


@dataclass
class Actor:
    """One person before the camera of a robot.

    Attributes:
        rng: Source of the person's shape and of the errors.
        noise: Errors of the detector.
    """

    rng: np.random.Generator
    noise: Noise = field(default_factory=Noise)

    def __post_init__(self) -> None:
        rng = self.rng
        self.height_m = float(np.clip(rng.normal(1.72, 0.09), 1.5, 1.95))
        self.floor_y, self.tilt = float(rng.uniform(0.4, 1.6)), float(rng.uniform(-0.09, 0.09))
        self.place = np.array([rng.uniform(-1, 1), rng.uniform(2.5, 6)])
        self.wardrobe = random_wardrobe(rng)

    def stand(self, heading: float | None = None, **angles: float) -> dict[str, DoubleArray]:
        """Return the keypoints of a person with these angles, the others are 0. Heading pi faces the camera."""
        heading = float(self.rng.uniform(-np.pi, np.pi)) if heading is None else heading
        pose = dict.fromkeys(ANGLES, 0.0) | angles
        return make_body((self.place, heading), pose, self.height_m, self.wardrobe, self.floor_y).keypoints

    def move(self) -> Pose:
        """Return a person who walks, or stands and moves the arms."""
        while (motion := random_motion(self.rng, (0.0, 0.0))).waves["left_hip"].offset >= _CROUCHES:
            continue

        def pose(time_s: float) -> dict[str, DoubleArray]:
            xz, heading = motion.position_at(time_s)
            angles, place = motion.angles_at(time_s), (xz + self.place, heading)
            return make_body(place, angles, self.height_m, self.wardrobe, self.floor_y).keypoints

        return pose

    def tip(self, keypoints: dict[str, DoubleArray], direction: float, angle: float) -> dict[str, DoubleArray]:
        """Tip a person over the feet.

        Args:
            keypoints: Keypoints of a standing person.
            direction: Direction on the floor, radians.
            angle: 0 = upright, pi / 2 = on the floor.
        """
        feet = np.array([self.place[0], self.floor_y, self.place[1]])
        ahead, up = np.array([np.sin(direction), 0, np.cos(direction)]), np.array([0.0, -1.0, 0.0])
        across = np.cross(ahead, up)
        result = {}
        for name, point in keypoints.items():
            a, b, c = (point - feet) @ ahead, (point - feet) @ up, (point - feet) @ across
            moved = a * np.cos(angle) + b * np.sin(angle), b * np.cos(angle) - a * np.sin(angle)
            result[name] = feet + moved[0] * ahead + (moved[1] + 0.12 * np.sin(angle)) * up + c * across
        return result

    def see(self, keypoints: dict[str, DoubleArray]) -> tuple[NamedPoints, NamedPoints]:
        """Return what is seen of a person: keypoints in the image, px, and in space, m."""
        rng, noise, names = self.rng, self.noise, OPENPOSE_18.keypoint_names
        space = self.turn(keypoints)
        points = np.array([space[name] for name in names])
        image = points[:, :2] / points[:, 2:] * _FOCAL_PX + _CENTRE_PX
        size = self.height_m / self.place[1] * _FOCAL_PX
        image += rng.normal(0, noise.image * size, image.shape)
        points += rng.normal(0, noise.space_m, points.shape)
        scores = 0.8 * (rng.random(len(names)) >= noise.missing)
        points[scores == 0] = np.nan
        return name_points(names, image, scores), name_points(names, points)

    def turn(self, keypoints: dict[str, DoubleArray]) -> dict[str, DoubleArray]:
        """Return keypoints in the frame of the tilted camera."""
        c, s = np.cos(self.tilt), np.sin(self.tilt)
        rotation = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        return {name: rotation @ point for name, point in keypoints.items()}


def raise_hand(actor: Actor) -> dict[str, DoubleArray]:
    """Return a person with one hand up: a long arm, or the forearm alone."""
    rng, side = actor.rng, str(actor.rng.choice(SIDES))
    if rng.random() < 0.5:
        arm = {"shoulder": rng.uniform(2.4, 3.1), "elbow": rng.uniform(0, 0.5), "raise": rng.uniform(0, 0.4)}
    else:
        arm = {"shoulder": rng.uniform(1.35, 1.7), "elbow": rng.uniform(1.4, 1.6), "raise": rng.uniform(0, 0.4)}
    return actor.stand(**{f"{side}_{name}": angle for name, angle in arm.items()})


def lower_hands(actor: Actor) -> dict[str, DoubleArray]:
    """Return a person with hanging, bent or horizontal arms."""
    rng, arms = actor.rng, {}
    for side in SIDES:
        kind = rng.integers(3)
        arms[f"{side}_shoulder"] = rng.uniform(1.1, 1.5) if kind == 0 else rng.uniform(-0.5, 0.5)
        arms[f"{side}_elbow"] = rng.uniform(0, 0.2) if kind == 0 else rng.uniform(0, 1.6) if kind == 1 else 0.2
        arms[f"{side}_raise"] = rng.uniform(0, 0.3)
    return actor.stand(**arms)


def hold_phone(actor: Actor) -> dict[str, DoubleArray]:
    """Return a person with a hand at the ear."""
    rng = actor.rng
    return actor.stand(right_shoulder=rng.uniform(0.6, 0.9), right_elbow=rng.uniform(2.2, 2.5), right_raise=0.2)


def point_somewhere(actor: Actor) -> dict[str, DoubleArray]:
    """Return a person whose right arm points."""
    rng = actor.rng
    return actor.stand(
        right_shoulder=rng.uniform(1.0, 1.9), right_raise=rng.uniform(0, 0.4), right_elbow=rng.uniform(0, 0.15)
    )


def bend_arms(actor: Actor) -> dict[str, DoubleArray]:
    """Return a person whose right arm hangs or is bent."""
    rng = actor.rng
    bent = rng.random() < 0.5
    return actor.stand(
        right_shoulder=rng.uniform(0.2, 1.2) if bent else rng.uniform(-0.4, 0.4),
        right_elbow=rng.uniform(1.0, 2.2) if bent else rng.uniform(0, 0.4),
    )


def sit(actor: Actor) -> dict[str, DoubleArray]:
    """Return a person on a chair."""
    rng, legs = actor.rng, {}
    for side in SIDES:
        legs |= {f"{side}_hip": rng.uniform(1.35, 1.65), f"{side}_knee": rng.uniform(1.1, 1.8)}
        legs[f"{side}_spread"] = rng.uniform(0, 0.3)
        legs |= {f"{side}_shoulder": rng.uniform(0, 0.8), f"{side}_elbow": rng.uniform(0.2, 1.4)}
    return actor.stand(lean=rng.uniform(-0.2, 0.3), **legs)


def lie(actor: Actor, across: bool = False) -> dict[str, DoubleArray]:
    """Return a person on the floor, in any direction, or across the image."""
    rng = actor.rng
    direction = rng.choice([-1, 1]) * (np.pi / 2 + rng.uniform(-0.7, 0.7)) if across else rng.uniform(-np.pi, np.pi)
    angles = {f"{side}_{name}": rng.uniform(0, 0.4) for side in SIDES for name in ("hip", "knee", "raise")}
    return actor.tip(actor.stand(**angles), float(direction), float(rng.uniform(1.45, 1.6)))


def bend_down(actor: Actor) -> dict[str, DoubleArray]:
    """Return a person who picks something up, with straight legs."""
    rng = actor.rng
    legs = {f"{side}_{name}": rng.uniform(0, 0.3) for side in SIDES for name in ("hip", "knee")}
    return actor.stand(lean=rng.uniform(0.9, 1.5), left_shoulder=1.4, right_shoulder=1.4, **legs)


def wave(actor: Actor) -> Pose:
    """Return a person who waves with the right hand and looks roughly at the camera."""
    rng = actor.rng
    heading = np.pi + rng.uniform(-0.8, 0.8)
    body = actor.stand(heading, right_shoulder=rng.uniform(0.8, 1.6), right_raise=rng.uniform(0, 0.8))
    left = body["left_shoulder"] - body["right_shoulder"]
    left, up = left / np.linalg.norm(left), np.array([0.0, -1.0, 0.0])
    swing, rate_hz, forearm = rng.uniform(0.4, 0.8), rng.uniform(0.8, 2.0), 0.146 * actor.height_m

    def pose(time_s: float) -> dict[str, DoubleArray]:
        angle = swing * np.sin(2 * np.pi * rate_hz * time_s)
        return {**body, "right_wrist": body["right_elbow"] + forearm * (np.sin(angle) * left + np.cos(angle) * up)}

    return pose


def hold_still(actor: Actor) -> Pose:
    """Return a person who holds one hand up."""
    body = raise_hand(actor)
    return lambda time_s: body


def fall(actor: Actor, seconds: float = 0.8) -> Pose:
    """Return a person who walks about, falls within some seconds after 1.5 s, and lies."""
    rng = actor.rng
    body, direction = actor.stand(), float(rng.choice([-1, 1]) * (np.pi / 2 + rng.uniform(-0.7, 0.7)))
    return lambda time_s: actor.tip(body, direction, float(np.clip((time_s - 1.5) / seconds, 0, 1)) * 1.52)


def sit_down(actor: Actor) -> Pose:
    """Return a person who sits down and stays on the chair."""
    heading, lean = float(actor.rng.uniform(-np.pi, np.pi)), float(actor.rng.uniform(0, 0.3))

    def pose(time_s: float) -> dict[str, DoubleArray]:
        bend = 1.5 * float(np.clip((time_s - 1.5) / 1.2, 0, 1))
        legs = {f"{side}_{name}": bend for side in SIDES for name in ("hip", "knee")}
        return actor.stand(heading, lean=lean, **legs)

    return pose


def stoop(actor: Actor) -> Pose:
    """Return a person who bends down to the floor and stays there."""
    heading = float(actor.rng.uniform(-np.pi, np.pi))
    return lambda time_s: actor.stand(heading, lean=1.4 * float(np.clip((time_s - 1.5) / 1.0, 0, 1)))
