"""Move a synthetic person: every body angle is a sine over time, so that any instant can be computed.

References:
    Winter, Biomechanics and Motor Control of Human Movement, 4th ed. 2009, ch. 4 and 5 (angles of walking).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SIDES = ("left", "right")
ANGLES = (
    *(f"{side}_{angle}" for side in SIDES for angle in ("hip", "spread", "knee", "shoulder", "raise", "elbow")),
    *("lean", "twist", "look", "nod", "turn"),
)
"""Names of the angles of a body, radians. All angles are 0 for a person who stands with hanging arms.

hip, shoulder: swing of leg and arm forwards.
spread, raise: swing of leg and arm sideways.
knee, elbow: bend.
lean: lean of the torso.
twist: rotation of the shoulders.
look, nod: rotation of the head.
turn: rotation of the whole body.
"""


@dataclass(frozen=True)
class Wave:
    """Sine over time: ``offset + amplitude sin(2 pi rate t + phase)``."""

    offset: float = 0.0
    amplitude: float = 0.0
    rate_hz: float = 0.0
    phase: float = 0.0

    def value_at(self, time_s: float) -> float:
        """Return the value at a time."""
        return float(self.offset + self.amplitude * np.sin(2 * np.pi * self.rate_hz * time_s + self.phase))


@dataclass(frozen=True)
class Motion:
    """Motion of a person along a circle on the floor.

    Attributes:
        waves: Wave of each of ``ANGLES``.
        centre_xz: Centre of the circle in the frame of the camera, m.
        radius_m: Radius of the circle. 0 = the person stands still at the centre.
        speed_mps: Speed along the circle. Negative = opposite direction.
        heading: Heading at time 0, radians. 0 looks away from the camera, pi looks at it.
    """

    waves: dict[str, Wave]
    centre_xz: tuple[float, float]
    radius_m: float
    speed_mps: float
    heading: float

    def angles_at(self, time_s: float) -> dict[str, float]:
        """Return the value of each of ``ANGLES`` at a time, radians."""
        return {name: wave.value_at(time_s) for name, wave in self.waves.items()}

    def position_at(self, time_s: float) -> tuple[Any, float]:
        """Return position (x, z) on the floor, m, and heading, radians, at a time."""
        if self.radius_m == 0:
            return np.array(self.centre_xz), self.heading
        heading = self.heading - self.speed_mps / self.radius_m * time_s
        outwards = heading + np.sign(self.speed_mps) * np.pi / 2  # the centre of the circle is at the person's side
        return np.array(self.centre_xz) + self.radius_m * np.array([np.sin(outwards), np.cos(outwards)]), heading


def random_motion(rng: np.random.Generator, centre_xz: tuple[float, float]) -> Motion:
    """Make a random motion: walking, standing with moving arms, or crouching with moving arms."""
    kind = rng.choice(["walk", "stand", "crouch"], p=[0.5, 0.38, 0.12])
    waves = {name: Wave() for name in ANGLES} | _head_waves(rng)
    heading = float(rng.uniform(-np.pi, np.pi))
    if kind == "walk":
        speed = float(rng.uniform(0.8, 1.6) * rng.choice([-1, 1]))
        return Motion(waves | _walk_waves(rng, abs(speed)), centre_xz, float(rng.uniform(0.6, 1.3)), speed, heading)
    waves |= _arm_waves(rng) | (_crouch_waves(rng) if kind == "crouch" else _stand_waves(rng))
    return Motion(waves, centre_xz, 0.0, 0.0, heading)


def _walk_waves(rng: np.random.Generator, speed: float) -> dict[str, Wave]:
    rate, swing = float(0.45 + 0.4 * speed), float(0.25 + 0.2 * speed)
    phase, arms, elbow = rng.uniform(0, 2 * np.pi), float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.2, 0.7))
    waves = {"lean": Wave(0.06), "twist": Wave(0, 0.12, rate, phase + np.pi / 2)}
    for side, shift in zip(SIDES, (0.0, np.pi), strict=True):
        waves[f"{side}_hip"] = Wave(0.1, swing, rate, phase + shift)
        waves[f"{side}_knee"] = Wave(0.45, 0.42, rate, phase + shift + 1.3)  # largest bend in the forward swing
        waves[f"{side}_shoulder"] = Wave(0.0, arms, rate, phase + shift + np.pi)
        waves[f"{side}_elbow"] = Wave(elbow + 0.2, 0.2, rate, phase + shift + np.pi)
        waves[f"{side}_raise"] = Wave(0.12)
    return waves


def _stand_waves(rng: np.random.Generator) -> dict[str, Wave]:
    waves = {"lean": Wave(rng.uniform(-0.05, 0.35) ** 2, 0.02, 0.3, rng.uniform(0, 6))}
    for side in SIDES:
        bend = rng.uniform(0, 0.3)
        waves |= {
            f"{side}_hip": Wave(bend),
            f"{side}_knee": Wave(2 * bend),
            f"{side}_spread": Wave(rng.uniform(0, 0.3)),
        }
    return waves


def _crouch_waves(rng: np.random.Generator) -> dict[str, Wave]:
    depth, sway = float(rng.uniform(0.8, 1.5)), Wave(0, 0.1, 0.25, rng.uniform(0, 6))
    waves = {"lean": Wave(0.5 * depth, 0.05, sway.rate_hz, sway.phase)}
    for side in SIDES:
        waves[f"{side}_hip"] = Wave(depth, 0.1, sway.rate_hz, sway.phase)
        waves[f"{side}_knee"] = Wave(1.5 * depth, 0.15, sway.rate_hz, sway.phase)
        waves[f"{side}_spread"] = Wave(rng.uniform(0.1, 0.4))
    return waves


def _arm_waves(rng: np.random.Generator) -> dict[str, Wave]:
    waves = {}
    for side in SIDES:
        rate, phase, lively = rng.uniform(0.2, 0.8), rng.uniform(0, 6), rng.uniform(0, 0.4)
        raised = rng.random() < 0.5
        waves[f"{side}_shoulder"] = Wave(
            rng.uniform(0.2, 2.6) if raised else rng.uniform(-0.3, 0.3), lively, rate, phase
        )
        waves[f"{side}_raise"] = Wave(rng.uniform(0, 1.2) if raised else 0.1, lively / 2, rate, phase + 1)
        waves[f"{side}_elbow"] = Wave(rng.uniform(0.3, 1.9), lively / 2, rate, phase + 2)
    return waves


def _head_waves(rng: np.random.Generator) -> dict[str, Wave]:
    look, nod = rng.normal(0, 0.35), rng.normal(0.05, 0.15)
    return {"look": Wave(look, 0.2, 0.15, rng.uniform(0, 6)), "nod": Wave(nod, 0.05, 0.4, rng.uniform(0, 6))}
