"""Smooth the keypoints of tracked people with a One-Euro filter.

The filter is a low-pass filter. Its cut-off frequency rises with the speed of the keypoint: resting keypoints stop
trembling, and moving keypoints hardly lag. Speeds are relative to the person's size, so that near and far people are
smoothed alike. A keypoint with a lower score than usual moves the result less.

References:
    Casiez, Roussel and Vogel, 1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems,
    2012.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from pose_ros.arrays import FloatArray, IntArray, LongArray
from pose_ros.config import SmoothingConfig
from pose_ros.decoder.jit import jit, jit_inline
from pose_ros.people import People

_SPEED_CUTOFF_HZ = 1.0
_SCORE_GAIN = 0.2
_MIN_SIZE = 1e-3


class Smoother:
    """One-Euro filters of the people of one camera. Not thread-safe: call it from one thread at a time.

    Attributes:
        config: Settings. They may be replaced between two images.
    """

    def __init__(self, keypoint_count: int, config: SmoothingConfig | None = None, dimensions: int = 2) -> None:
        """Prepare the filters.

        Args:
            keypoint_count: Number of keypoints K.
            config: Settings. None = defaults.
            dimensions: 2 for keypoints in pixels, 3 for keypoints in metres.
        """
        self.config = config or SmoothingConfig()
        shape = (0, keypoint_count, dimensions)
        self._ids: LongArray = np.zeros(0, np.int64)
        self._values, self._speeds, self._scores = np.zeros(shape), np.zeros(shape), np.zeros(shape[:2])
        self._stamps_s = np.zeros(shape[:2])

    def reset(self) -> None:
        """Forget all people."""
        self._select(np.zeros(0, np.int64))

    def smooth(self, ids: IntArray, points: FloatArray, scores: FloatArray, stamp_s: float) -> FloatArray:
        """Smooth the points of the people of the next image.

        People without an id (-1) and absent keypoints are returned unchanged. A filter starts again after ``gap_s``
        without its keypoint, or if the clock goes back.

        Args:
            ids: (N,) ids.
            points: (N, K, D) keypoints, NaN or any value where absent.
            scores: (N, K) scores, 0 where absent.
            stamp_s: Time of the image, s.

        Returns:
            (N, K, D) float32, new array.
        """
        result = np.array(points, np.float64)
        rows = self._rows(np.asarray(ids, np.int64), stamp_s)
        config = self.config
        _smooth_rows(
            *(rows, result, np.asarray(scores, np.float64), self._values, self._speeds, self._scores),
            *(self._stamps_s, stamp_s, config.cutoff_hz, config.speed_gain, config.gap_s),
        )
        return result.astype(np.float32)

    def _rows(self, ids: LongArray, stamp_s: float) -> LongArray:
        """Return the row of each person, -1 without an id. New people get new rows, old people lose theirs."""
        last_s = self._stamps_s.max(axis=1, initial=-np.inf)
        recent = (last_s <= stamp_s) & (stamp_s - last_s <= self.config.gap_s)
        if not recent.all():
            self._select(np.flatnonzero(recent))
        row_of = {int(i): row for row, i in enumerate(self._ids)}
        new = [int(i) for i in ids if i >= 0 and int(i) not in row_of]
        if new:
            self._add(new)
            row_of.update(zip(new, range(len(self._ids) - len(new), len(self._ids)), strict=True))
        return np.array([row_of.get(int(i), -1) for i in ids], np.int64)

    def _select(self, rows: Any) -> None:
        for name in ("_ids", "_values", "_speeds", "_scores", "_stamps_s"):
            setattr(self, name, getattr(self, name)[rows])

    def _add(self, ids: list[int]) -> None:
        self._ids = np.concatenate([self._ids, ids])
        for name in ("_values", "_speeds", "_scores", "_stamps_s"):
            array = getattr(self, name)
            fill = -np.inf if name == "_stamps_s" else 0.0
            setattr(self, name, np.concatenate([array, np.full((len(ids), *array.shape[1:]), fill)]))


def smooth_people(smoother: Smoother, people: People, stamp_s: float) -> People:
    """Smooth the keypoints of people in pixels. The originals stay in ``raw_keypoints``.

    Args:
        smoother: Filters of two dimensions.
        people: People with ids.
        stamp_s: Time of the image, s.
    """
    smoothed = smoother.smooth(people.ids.astype(np.int64), people.keypoints, people.scores, stamp_s)
    return replace(people, keypoints=smoothed, raw_keypoints=people.keypoints)


@jit
def _smooth_rows(
    rows: Any,
    points: Any,
    scores: Any,
    values: Any,
    speeds: Any,
    usual_scores: Any,
    stamps_s: Any,
    stamp_s: Any,
    cutoff_hz: Any,
    speed_gain: Any,
    gap_s: Any,
) -> None:
    """Smooth points (N, K, D) in place, and keep the state of each row."""
    for n in range(len(rows)):
        if rows[n] < 0:
            continue
        size = _size(points[n], scores[n])
        for k in range(points.shape[1]):
            if not (scores[n, k] > 0 and math.isfinite(points[n, k].sum())):
                continue
            row = rows[n]
            step_s = stamp_s - stamps_s[row, k]
            if not 0 <= step_s <= gap_s:
                _copy(points[n, k], values[row, k])
                speeds[row, k] = 0.0
                usual_scores[row, k] = scores[n, k]
            elif step_s > 0:
                trust = min(1.0, scores[n, k] / usual_scores[row, k])
                _filter_point(points[n, k], values[row, k], speeds[row, k], step_s, size, trust, cutoff_hz, speed_gain)
                usual_scores[row, k] += _SCORE_GAIN * (scores[n, k] - usual_scores[row, k])
            _copy(values[row, k], points[n, k])
            stamps_s[row, k] = stamp_s


@jit_inline
def _copy(source: Any, target: Any) -> None:
    for axis in range(len(source)):
        target[axis] = source[axis]


@jit_inline
def _filter_point(
    point: Any, value: Any, speed: Any, step_s: Any, size: Any, trust: Any, cutoff_hz: Any, speed_gain: Any
) -> None:
    """Filter one point (D,): first its speed, then, with a cut-off by that speed, its value. Eq. 1 to 3 and 5."""
    gain, squared = _gain(_SPEED_CUTOFF_HZ, step_s), 0.0
    for d in range(len(point)):
        speed[d] += gain * ((point[d] - value[d]) / step_s - speed[d])
        squared += speed[d] ** 2
    kept = 1 - _gain(cutoff_hz + speed_gain * math.sqrt(squared) / size, step_s)
    gain = 1 - kept**trust
    for d in range(len(point)):
        value[d] += gain * (point[d] - value[d])


@jit_inline
def _gain(cutoff_hz: Any, step_s: Any) -> Any:
    """Return the gain of a low-pass filter (eq. 2 and 4)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))


@jit_inline
def _size(points: Any, scores: Any) -> Any:
    """Return the longest side of the box of the present points."""
    size = _MIN_SIZE
    for d in range(points.shape[1]):
        low, high = np.inf, -np.inf
        for k in range(len(points)):
            if scores[k] > 0 and math.isfinite(points[k, d]):
                low, high = min(low, points[k, d]), max(high, points[k, d])
        size = max(size, high - low)
    return size
