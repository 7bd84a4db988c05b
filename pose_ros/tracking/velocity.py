"""Compute the velocities of people in m/s with a Kalman filter of constant velocity.

The acceleration is white noise. All axes have the same uncertainty, so one 2 × 2 covariance of position and velocity
serves them all.

References:
    Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, section 6.2
    (white-noise acceleration).
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, DoubleArray, FloatArray, IndexArray, IntArray, LongArray
from pose_ros.tracking.tracker import RESTART_S

_ACCELERATION = 0.5
"""Spectral density of the acceleration, m / s^1.5."""
_START_SPEED = 2.0
"""Standard deviation of an unknown velocity, m/s."""
_KNOWN_SPEED = 0.5
"""A velocity is known once its standard deviation is below this, m/s."""
_MIN_DEVIATION_M = 0.01
_LIMIT = 3.0
"""Innovation, in standard deviations, above which a position counts less."""
_JUMP_M = 1.0
"""An innovation above the limit that is also longer than this is another place, not an error of measurement."""
_FORGET_S = 2.0
_PP, _PV, _VV = range(3)


class VelocityFilter:
    """Velocities of the people of one camera. Not thread-safe: call it from one thread at a time."""

    def __init__(self) -> None:
        """Follow nobody yet."""
        self._stamp_s: float | None = None
        self._ids: LongArray = np.zeros(0, np.int64)
        self._positions, self._velocities, self._variances = (np.zeros((0, 3)) for _ in range(3))
        self._seen_s = np.zeros(0)

    def reset(self) -> None:
        """Forget all people."""
        self.__init__()  # type: ignore[misc]

    def update(self, ids: IntArray, positions_m: AnyArray, deviations_m: AnyArray, stamp_s: float) -> FloatArray:
        """Return the velocities of the people of the next image.

        The filter starts again if the clock goes back by a second or more, or if a person jumps.

        Args:
            ids: (N,) ids, -1 = none.
            positions_m: (N, 3) positions, m. NaN = unknown.
            deviations_m: (N,) standard deviations of the positions, m.
            stamp_s: Time of the image, s. 0 = unknown.

        Returns:
            (N, 3) float32, m/s. NaN until its standard deviation is below 0.5 m/s, and without an id or a stamp.
        """
        if not stamp_s:
            return np.full((len(ids), 3), np.nan, np.float32)
        step_s = np.inf if self._stamp_s is None else stamp_s - self._stamp_s
        if step_s <= -RESTART_S:
            self.reset()
            step_s = np.inf
        if step_s > 0:
            self._predict(stamp_s, 0.0 if np.isinf(step_s) else step_s)
            self._correct(np.asarray(ids, np.int64), np.asarray(positions_m, np.float64), np.asarray(deviations_m))
        return self._known_velocities(np.asarray(ids, np.int64))

    def _predict(self, stamp_s: float, step_s: float) -> None:
        self._stamp_s = stamp_s
        self._keep(stamp_s - self._seen_s <= _FORGET_S)
        noise, variances = _ACCELERATION**2, self._variances
        self._positions += step_s * self._velocities
        pp, pv, vv = variances.T
        variances[:, _PP] = pp + step_s * (2 * pv + step_s * vv) + noise * step_s**3 / 3
        variances[:, _PV] = pv + step_s * vv + noise * step_s**2 / 2
        variances[:, _VV] = vv + noise * step_s

    def _correct(self, ids: LongArray, positions: DoubleArray, deviations: AnyArray) -> None:
        measured = np.flatnonzero((ids >= 0) & np.isfinite(positions).all(axis=1) & np.isfinite(deviations))
        positions, noise = positions[measured], np.maximum(deviations[measured], _MIN_DEVIATION_M) ** 2
        rows = self._rows(ids[measured], positions, noise)
        shift = positions - self._positions[rows]
        squared, total = (shift**2).sum(axis=1), self._variances[rows, _PP] + noise
        jumped = (squared > total * _LIMIT**2) & (squared > _JUMP_M**2)
        total = np.maximum(total, squared / _LIMIT**2)
        variances = self._variances[rows]
        gains = variances[:, [_PP, _PV]] / total[:, None]
        self._positions[rows] += gains[:, :1] * shift
        self._velocities[rows] += gains[:, 1:] * shift
        variances[:, _VV] -= gains[:, 1] * variances[:, _PV]
        variances[:, [_PP, _PV]] *= 1 - gains[:, :1]
        self._variances[rows] = variances
        self._start(rows[jumped], positions[jumped], noise[jumped])
        self._seen_s[rows] = self._stamp_s

    def _rows(self, ids: LongArray, positions: DoubleArray, noise: DoubleArray) -> IndexArray:
        """Return the row of each person. New people get new rows."""
        new = ~np.isin(ids, self._ids)
        first, count = len(self._ids), int(new.sum())
        self._ids = np.concatenate([self._ids, ids[new]])
        for name in ("_positions", "_velocities", "_variances"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros((count, 3))]))
        self._seen_s = np.concatenate([self._seen_s, np.zeros(count)])
        self._start(np.arange(first, first + count), positions[new], noise[new])
        order = np.argsort(self._ids)
        rows: IndexArray = order[np.searchsorted(self._ids, ids, sorter=order)]
        return rows

    def _start(self, rows: IndexArray, positions: DoubleArray, noise: DoubleArray) -> None:
        self._positions[rows], self._velocities[rows] = positions, 0.0
        self._variances[rows] = np.stack([noise, np.zeros_like(noise), np.full_like(noise, _START_SPEED**2)], axis=1)

    def _known_velocities(self, ids: LongArray) -> FloatArray:
        known = self._variances[:, _VV] <= _KNOWN_SPEED**2
        velocities = dict(zip(self._ids[known].tolist(), self._velocities[known], strict=True))
        unknown = np.full(3, np.nan)
        found = [velocities.get(person, unknown) for person in ids.tolist()]
        return np.array(found, np.float32).reshape(-1, 3)

    def _keep(self, mask: AnyArray) -> None:
        if not mask.all():
            for name in ("_ids", "_positions", "_velocities", "_variances", "_seen_s"):
                setattr(self, name, getattr(self, name)[mask])
