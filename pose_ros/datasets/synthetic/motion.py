"""How a synthetic person moves: every joint angle a sine over time, so that any instant can be asked for.

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
"""Radians, 0 for someone who stands with hanging arms. hip and shoulder swing forwards, spread and raise sideways,
knee and elbow bend; lean is of the trunk, twist of the shoulders, look and nod of the head, turn of all of it."""


@dataclass(frozen=True)
class Wave:
    """``offset + amplitude sin(2 pi rate t + phase)``."""

    offset: float = 0.0
    amplitude: float = 0.0
    rate_hz: float = 0.0
    phase: float = 0.0

    def at(self, time_s: float) -> float:
        """Value at a time."""
        return float(self.offset + self.amplitude * np.sin(2 * np.pi * self.rate_hz * time_s + self.phase))


@dataclass(frozen=True)
class Motion:
    """A person's way of moving.

    Attributes:
        waves: Of each of ANGLES.
        centre_xz: Middle of a circle on the floor, metres of the camera's frame.
        radius_m: Its radius; 0 stands still.
        speed_mps: Along it; negative is the other way round.
        heading: At time 0, radians: 0 looks away from the camera, pi at it.
    """

    waves: dict[str, Wave]
    centre_xz: tuple[float, float]
    radius_m: float
    speed_mps: float
    heading: float

    def angles(self, time_s: float) -> dict[str, float]:
        """Each of ANGLES."""
        return {name: wave.at(time_s) for name, wave in self.waves.items()}

    def place(self, time_s: float) -> tuple[Any, float]:
        """Position (x, z) on the floor and heading."""
        if self.radius_m == 0:
            return np.array(self.centre_xz), self.heading
        turned = self.heading - self.speed_mps / self.radius_m * time_s
        outwards = turned + np.sign(self.speed_mps) * np.pi / 2  # they walk with the middle on one hand
        return np.array(self.centre_xz) + self.radius_m * np.array([np.sin(outwards), np.cos(outwards)]), turned


def random_motion(rng: np.random.Generator, centre_xz: tuple[float, float]) -> Motion:
    """Someone who walks, stands and gestures, or crouches."""
    kind = rng.choice(["walk", "stand", "crouch"], p=[0.5, 0.38, 0.12])
    waves = {name: Wave() for name in ANGLES} | _head(rng)
    heading = float(rng.uniform(-np.pi, np.pi))
    if kind == "walk":
        speed = float(rng.uniform(0.8, 1.6) * rng.choice([-1, 1]))
        return Motion(waves | _walk(rng, abs(speed)), centre_xz, float(rng.uniform(0.6, 1.3)), speed, heading)
    waves |= _arms(rng) | (_crouch(rng) if kind == "crouch" else _stand(rng))
    return Motion(waves, centre_xz, 0.0, 0.0, heading)


def _walk(rng: np.random.Generator, speed: float) -> dict[str, Wave]:
    rate, swing = float(0.45 + 0.4 * speed), float(0.25 + 0.2 * speed)
    phase, arms, elbow = rng.uniform(0, 2 * np.pi), float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.2, 0.7))
    waves = {"lean": Wave(0.06), "twist": Wave(0, 0.12, rate, phase + np.pi / 2)}
    for side, shift in zip(SIDES, (0.0, np.pi), strict=True):
        waves[f"{side}_hip"] = Wave(0.1, swing, rate, phase + shift)
        waves[f"{side}_knee"] = Wave(0.45, 0.42, rate, phase + shift + 1.3)  # bent most while the leg swings forwards
        waves[f"{side}_shoulder"] = Wave(0.0, arms, rate, phase + shift + np.pi)
        waves[f"{side}_elbow"] = Wave(elbow + 0.2, 0.2, rate, phase + shift + np.pi)
        waves[f"{side}_raise"] = Wave(0.12)
    return waves


def _stand(rng: np.random.Generator) -> dict[str, Wave]:
    waves = {"lean": Wave(rng.uniform(-0.05, 0.35) ** 2, 0.02, 0.3, rng.uniform(0, 6))}
    for side in SIDES:
        bend = rng.uniform(0, 0.3)
        waves |= {
            f"{side}_hip": Wave(bend),
            f"{side}_knee": Wave(2 * bend),
            f"{side}_spread": Wave(rng.uniform(0, 0.3)),
        }
    return waves


def _crouch(rng: np.random.Generator) -> dict[str, Wave]:
    depth, sway = float(rng.uniform(0.8, 1.5)), Wave(0, 0.1, 0.25, rng.uniform(0, 6))
    waves = {"lean": Wave(0.5 * depth, 0.05, sway.rate_hz, sway.phase)}
    for side in SIDES:
        waves[f"{side}_hip"] = Wave(depth, 0.1, sway.rate_hz, sway.phase)
        waves[f"{side}_knee"] = Wave(1.5 * depth, 0.15, sway.rate_hz, sway.phase)
        waves[f"{side}_spread"] = Wave(rng.uniform(0.1, 0.4))
    return waves


def _arms(rng: np.random.Generator) -> dict[str, Wave]:
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


def _head(rng: np.random.Generator) -> dict[str, Wave]:
    look, nod = rng.normal(0, 0.35), rng.normal(0.05, 0.15)
    return {"look": Wave(look, 0.2, 0.15, rng.uniform(0, 6)), "nod": Wave(nod, 0.05, 0.4, rng.uniform(0, 6))}
