"""Colour synthetic surfaces: patterns in three dimensions, faces, random clothes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray

Colours = FloatArray
Points = AnyArray

PATTERNS = ("plain", "rings", "stripes", "checks", "blotches", "face")

_SKINS_BGR = ((176, 204, 235), (140, 175, 220), (105, 145, 198), (70, 105, 160), (50, 78, 120), (38, 55, 85))
_HAIRS_BGR = ((25, 25, 30), (35, 50, 75), (60, 95, 140), (110, 165, 205), (150, 150, 150), (40, 60, 130))


@dataclass(frozen=True)
class Paint:
    """Colour and pattern of a surface.

    Attributes:
        first: First colour, BGR, 0 to 255.
        second: Second colour of the pattern, BGR, 0 to 255. For a face, colour of the hair.
        pattern: One of ``PATTERNS``.
        per_m: Repeats of the pattern per metre.
        phase: Shift of the pattern, radians. For a face, shift of the hairline, m.
    """

    first: tuple[float, float, float]
    second: tuple[float, float, float] = (0, 0, 0)
    pattern: str = "plain"
    per_m: float = 10.0
    phase: float = 0.0

    def colours_at(self, points: Points) -> Colours:
        """Return (M, 3) BGR colours of points (M, 3): forward, left, up, m."""
        if self.pattern == "face":
            return _face_colours(points, self)
        share = _second_share(self.pattern, points, np.sin(2 * np.pi * self.per_m * points + self.phase))
        first, second = np.array(self.first, np.float32), np.array(self.second, np.float32)
        return first + (second - first) * share.astype(np.float32)[:, None]


@dataclass(frozen=True)
class Wardrobe:
    """Appearance of a person. ``girth`` is a factor of the width of the body."""

    skin: Paint
    face: Paint
    hair: Paint
    shirt: Paint
    sleeves: Paint
    trousers: Paint
    shins: Paint
    shoes: Paint
    long_hair: bool
    girth: float


def random_wardrobe(rng: np.random.Generator) -> Wardrobe:
    """Make random clothes, skin and hair."""
    tone, hair = _SKINS_BGR[rng.integers(len(_SKINS_BGR))], _HAIRS_BGR[rng.integers(len(_HAIRS_BGR))]
    skin, shirt, trousers = Paint(tone, tone), random_cloth(rng), random_cloth(rng)
    return Wardrobe(
        skin=skin,
        face=Paint(tone, hair, "face", phase=float(rng.uniform(-0.01, 0.01))),
        hair=Paint(hair, (0, 0, 0), "stripes", 120.0) if rng.random() < 0.5 else Paint(hair),
        shirt=shirt,
        sleeves=shirt if rng.random() < 0.5 else skin,
        trousers=trousers,
        shins=trousers if rng.random() < 0.7 else skin,
        shoes=Paint(_random_colour(rng)),
        long_hair=bool(rng.random() < 0.4),
        girth=float(rng.uniform(0.85, 1.2)),
    )


def random_cloth(rng: np.random.Generator) -> Paint:
    """Make a random cloth, plain or with a pattern."""
    pattern = str(rng.choice(PATTERNS[:5], p=[0.4, 0.2, 0.15, 0.15, 0.1]))
    return Paint(_random_colour(rng), _random_colour(rng), pattern, float(rng.uniform(4, 16)), float(rng.uniform(0, 6)))


def _random_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """Make a random BGR colour of any brightness, mostly with low saturation."""
    grey, vivid = rng.uniform(20, 235), rng.normal(0, 35, 3)
    blue, green, red = np.clip(grey + vivid, 5, 250).tolist()
    return blue, green, red


def _second_share(pattern: str, points: Points, waves: Points) -> Points:
    """Return the (M,) fraction of the second colour. ``waves`` are sines along each axis."""
    if pattern == "rings":
        return waves[:, 2] > 0
    if pattern == "stripes":
        return waves[:, 1] > 0
    if pattern == "checks":
        return 0.5 * (waves[:, 1] > 0) + 0.5 * (waves[:, 2] > 0)
    if pattern == "blotches":
        return waves[:, 0] + waves[:, 1] + np.sin(1.7 * waves[:, 2] + 31 * points[:, 1]) > 0.4
    return 0.1 + 0.1 * waves.mean(axis=1)


def _face_colours(points: Points, paint: Paint) -> Colours:
    """Colour a head: eyes, brows and mouth in front, hair on top and behind. Points are relative to the head centre."""
    forward, left, up = points.T
    colours = np.tile(np.array(paint.first, np.float32), (len(points), 1))
    in_front, aside = forward > 0.02, np.abs(left)
    colours[in_front & (aside < 0.026) & (np.abs(up + 0.055) < 0.007)] = (80, 70, 170)
    colours[in_front & (np.abs(aside - 0.032) < 0.017) & (np.abs(up - 0.042) < 0.005)] = paint.second
    colours[in_front & (((aside - 0.032) / 0.016) ** 2 + ((up - 0.022) / 0.010) ** 2 < 1)] = (235, 235, 235)
    colours[in_front & (((aside - 0.032) / 0.007) ** 2 + ((up - 0.022) / 0.009) ** 2 < 1)] = (30, 25, 25)
    hairline = up > 0.062 + paint.phase
    behind = (forward < -0.012) & (up > -0.05)
    colours[hairline | behind] = paint.second
    return colours
