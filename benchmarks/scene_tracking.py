"""Make sequences of walking people with known ids, as a pose network would see them. The same seed gives the same one.

People walk on a floor before a camera: they turn, stop, cross, hide each other, leave and enter. The detector misses
people, invents people, and misplaces keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, FloatArray, IntArray
from pose_ros.people import People
from pose_ros.skeleton import OPENPOSE_18

SIZE_WH = (1280, 720)
_FOCAL_PX, _CAMERA_M, _PERSON_M = 900.0, 2.6, 1.72
_NEAR_M, _FAR_M = 4.0, 14.0
_STEP_S = 1 / 120
_LEGS = [OPENPOSE_18.index(f"{side}_{name}") for side in ("left", "right") for name in ("knee", "ankle")]
_WRISTS = [OPENPOSE_18.index(f"{side}_{name}") for side in ("left", "right") for name in ("elbow", "wrist")]


@dataclass(frozen=True)
class Sequence:
    """What the detector sees.

    Attributes:
        people: Number of people in the scene.
        rate_hz: Rate of the images.
        frames: Number of images.
        seed: Seed.
        missed: Share of people that the detector misses, besides the hidden ones.
        jitter: Standard deviation of keypoints, in heights of the person.
        shift: Standard deviation of the whole person, in heights of the person.
        false_people: False people per image.
        dropped: Share of images that are dropped.
        speed_mps: Mean speed of walking.
        pan_px: Amplitude of the camera's pan, px.
    """

    people: int = 5
    rate_hz: float = 30.0
    frames: int = 300
    seed: int = 0
    missed: float = 0.1
    jitter: float = 0.05
    shift: float = 0.0
    false_people: float = 0.3
    dropped: float = 0.0
    speed_mps: float = 1.0
    pan_px: float = 0.0


@dataclass(frozen=True)
class Frame:
    """One image.

    Attributes:
        stamp_s: Time of the image.
        people: Detections, without ids, in random order.
        owners: True id of each detection. -1 = false person.
        ids: (N,) true ids of the people in the image.
        boxes: (N, 4) true boxes.
        keypoints: (N, K, 2) true keypoints.
        hidden: (N,) whether a nearer person hides the person.
        pan_px: Position of the camera's pan.
    """

    stamp_s: float
    people: People
    owners: IntArray
    ids: IntArray
    boxes: DoubleArray
    keypoints: DoubleArray
    hidden: BoolArray
    pan_px: float = 0.0


@dataclass
class _Walkers:
    rng: np.random.Generator
    count: int
    speed_mps: float
    next_id: int = 0
    ids: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = self.count
        self.x, self.z, self.heading = np.zeros(n), np.zeros(n), np.zeros(n)
        self.speed, self.turn, self.phase = np.zeros(n), np.zeros(n), self.rng.uniform(0, 6.28, n)
        self.height = self.rng.normal(_PERSON_M, 0.09, n)
        self.absent_s = np.zeros(n)
        self.ids = [0] * n
        for i in range(n):
            self._enter(i, anywhere=True)

    def _enter(self, i: int, anywhere: bool = False) -> None:
        rng = self.rng
        self.z[i] = rng.uniform(_NEAR_M, _FAR_M)
        edge = 0.72 * self.z[i]
        side = rng.choice([-1, 1])
        self.x[i] = rng.uniform(-edge, edge) if anywhere else side * (edge + 0.3)
        self.heading[i] = rng.uniform(-np.pi, np.pi) if anywhere else rng.normal(0 if side < 0 else np.pi, 0.5)
        self.speed[i] = max(0.3, rng.normal(self.speed_mps, 0.3))
        self.turn[i] = 0.0
        self.ids[i], self.next_id = self.next_id, self.next_id + 1

    def step(self, dt: float) -> None:
        rng, n = self.rng, self.count
        self.turn += -self.turn * dt / 0.8 + rng.normal(0, 0.5 * np.sqrt(dt), n)
        changes = rng.random(n) < dt / 4  # each four seconds another speed, at times a stop
        wanted = np.where(rng.random(n) < 0.2, 0.0, np.maximum(0.3, rng.normal(self.speed_mps, 0.3, n)))
        self.speed = np.where(changes, wanted, self.speed)
        self.heading += self.turn * dt
        self.x += np.cos(self.heading) * self.speed * dt
        self.z += np.sin(self.heading) * self.speed * dt
        self.phase += dt * 2 * np.pi * 0.9 * np.sqrt(np.maximum(self.speed, 0) / 1.2)
        far, near = self.z > _FAR_M, self.z < _NEAR_M
        turned = (far & (np.sin(self.heading) > 0)) | (near & (np.sin(self.heading) < 0))
        self.heading = np.where(turned, -self.heading, self.heading)
        for i in np.flatnonzero(np.abs(self.x) > 0.72 * self.z + 0.6):
            self._enter(int(i))

    def keypoints(self) -> tuple[DoubleArray, DoubleArray]:
        """Return keypoints (N, K, 2) and heights (N,), px."""
        scale = _FOCAL_PX / self.z
        body = np.repeat(OPENPOSE_18.standing[None].astype(float), self.count, axis=0)
        width = 0.45 + 0.55 * np.abs(np.sin(self.heading))
        body[:, :, 0] *= width[:, None]
        swing = 0.12 * np.sin(self.phase) * np.clip(self.speed, 0, 1) * np.cos(self.heading)
        body[:, _LEGS, 0] += swing[:, None] * np.array([0.4, 1.0, -0.4, -1.0])
        body[:, _WRISTS, 0] -= swing[:, None] * np.array([0.4, 0.8, -0.4, -0.8])
        heights = self.height * scale
        feet_y = SIZE_WH[1] * 0.12 + _CAMERA_M * scale
        x = SIZE_WH[0] / 2 + self.x * scale
        keypoints = body * heights[:, None, None]
        keypoints += np.stack([x, feet_y - heights], axis=1)[:, None]
        return keypoints, heights


def play(sequence: Sequence) -> Iterator[Frame]:
    """Play a sequence, image by image."""
    rng = np.random.default_rng(sequence.seed)
    walkers = _Walkers(np.random.default_rng(sequence.seed + 1000), sequence.people, sequence.speed_mps)
    time_s = stamp_s = 0.0
    for _ in range(sequence.frames):
        while time_s < stamp_s:
            walkers.step(_STEP_S)
            time_s += _STEP_S
        if rng.random() >= sequence.dropped:
            pan = sequence.pan_px * np.sin(2 * np.pi * 0.25 * stamp_s)
            yield _see(sequence, walkers, rng, 100.0 + stamp_s, pan)
        stamp_s += 1 / sequence.rate_hz


def _see(sequence: Sequence, walkers: _Walkers, rng: np.random.Generator, stamp_s: float, pan: float) -> Frame:
    keypoints, heights = walkers.keypoints()
    keypoints[..., 0] += pan
    inside = ((keypoints >= 0) & (keypoints < SIZE_WH)).all(axis=2)
    present = np.flatnonzero(inside.sum(axis=1) >= 6)
    order = present[np.argsort(walkers.z[present])]  # the nearest first
    keypoints, heights, inside = keypoints[order], heights[order], inside[order]
    covered = inside & _cover(keypoints, heights)
    seen = inside & ~covered
    hidden = seen.sum(axis=1) < 5
    found = ~hidden & (rng.random(len(order)) >= sequence.missed)
    noise = rng.normal(0, sequence.jitter, keypoints.shape) + rng.normal(0, sequence.shift, (len(order), 1, 2))
    measured = (keypoints + noise * heights[:, None, None])[found]
    scores = np.where(seen, rng.uniform(0.6, 1.0, seen.shape), 0)[found]
    ids = np.array(walkers.ids)[order] if len(order) else np.zeros(0, int)
    people, owners = _add_false_people(rng, measured, scores, ids[found], rng.poisson(sequence.false_people))
    low, high = np.maximum(keypoints.min(axis=1), 0), np.minimum(keypoints.max(axis=1), np.array(SIZE_WH) - 1.0)
    return Frame(stamp_s, people, owners, ids, np.concatenate([low, high], axis=1), keypoints, hidden, pan)


def _cover(keypoints: DoubleArray, heights: DoubleArray) -> BoolArray:
    """Return which keypoints are behind a nearer person. People are sorted, the nearest first."""
    covered = np.zeros(keypoints.shape[:2], bool)
    for i in range(1, len(keypoints)):
        for j in range(i):
            middle = keypoints[j].mean(axis=0)[0]
            top, bottom = keypoints[j][:, 1].min(), keypoints[j][:, 1].max()
            x, y = keypoints[i][:, 0], keypoints[i][:, 1]
            covered[i] |= (np.abs(x - middle) < 0.12 * heights[j]) & (y > top) & (y < bottom)
    return covered


def _add_false_people(
    rng: np.random.Generator, keypoints: DoubleArray, scores: DoubleArray, owners: IntArray, count: int
) -> tuple[People, IntArray]:
    """Add false people of some keypoints and low scores, and shuffle all."""
    false = (OPENPOSE_18.standing - (0, 0.5)) * rng.uniform(60, 350, (count, 1, 1)) + rng.uniform(
        (0, 150), (SIZE_WH[0], 600), (count, 1, 2)
    )
    false = false + rng.normal(0, 8, false.shape)
    false_scores = rng.uniform(0.1, 0.5, false.shape[:2]) * (rng.random(false.shape[:2]) < 0.6)
    xy, all_scores = np.concatenate([keypoints, false]), np.concatenate([scores, false_scores])
    xy = np.where(all_scores[..., None] > 0, xy, 0)
    order = rng.permutation(len(xy))
    sums, counts = all_scores.sum(axis=1), np.maximum((all_scores > 0).sum(axis=1), 1)
    person_scores: FloatArray = (sums / counts).astype(np.float32)
    people = People(xy[order].astype(np.float32), all_scores[order].astype(np.float32), person_scores[order])
    return people, np.concatenate([owners, np.full(count, -1)])[order]
