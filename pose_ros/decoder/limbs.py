"""Score pairs of peaks by the part affinity field between them.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050:
    eq. 10 and 11 (line integral).
    Cao et al., OpenPose, arXiv:1812.08008, section 5 (short limbs).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray, LongArray
from pose_ros.decoder.jit import COMPILED, jit, jit_inline
from pose_ros.decoder.peaks import Peaks

MIN_SAMPLES, MAX_SAMPLES = 5, 25
"""Fewest and most samples along a limb."""
RESCUE_CELLS = 1.0
"""Peaks closer than this have no direction to test. The value of their limb is the threshold."""


def score_limbs(
    pafs: FloatArray, peaks: Peaks, limbs: LongArray, threshold: float, fraction: float
) -> tuple[LongArray, DoubleArray]:
    """Score all pairs of peaks that a limb could connect.

    Args:
        pafs: (2 L, H, W) C-contiguous, x and y of each limb. Not modified.
        peaks: Peaks of the K keypoints.
        limbs: (L, 2) from and to keypoints of each limb.
        threshold: Lowest projection of the field on the limb at a sample that agrees.
        fraction: Share of samples that must agree.

    Returns:
        Links (n, 3) and their values (n,) in (0, 1], limb by limb. A link is a limb, a peak of its first keypoint and a
        peak of its second keypoint. Pairs that the field does not connect are missing.
    """
    score = _score_pairs if COMPILED else _score_pairs_numpy
    links, values = score(pafs, peaks.xy, peaks.counts, limbs, threshold, fraction)
    return links, values


@jit_inline
def _may_join(pafs: Any, channel: Any, x: Any, y: Any, dx: Any, dy: Any, threshold: Any) -> Any:
    """Return whether the field agrees at two of the points at 1/4, 1/2 and 3/4 of the limb, at their nearest cells.

    Most pairs of a crowd fail here, at a tenth of the cost of the integral.
    """
    least, agreeing = threshold * threshold * (dx * dx + dy * dy), 0
    for quarter in range(1, 4):
        row, col = int(y + 0.25 * quarter * dy + 0.5), int(x + 0.25 * quarter * dx + 0.5)
        along = pafs[channel, row, col] * dx + pafs[channel + 1, row, col] * dy
        agreeing += along > 0 and along * along > least
        if agreeing + 3 - quarter < 2:
            return False
    return True


@jit
def _sample(pafs: Any, channel: Any, x: Any, y: Any) -> Any:
    """Interpolate a channel bilinearly."""
    _, rows, cols = pafs.shape
    x0, y0 = min(int(x), cols - 1), min(int(y), rows - 1)
    x1, y1 = min(x0 + 1, cols - 1), min(y0 + 1, rows - 1)
    fx, fy = x - x0, y - y0
    top = (1 - fx) * pafs[channel, y0, x0] + fx * pafs[channel, y0, x1]
    bottom = (1 - fx) * pafs[channel, y1, x0] + fx * pafs[channel, y1, x1]
    return (1 - fy) * top + fy * bottom


@jit_inline
def _line_integral(pafs: Any, channel: Any, x: Any, y: Any, dx: Any, dy: Any, threshold: Any, fraction: Any) -> Any:
    """Return the confidence of a limb from (x, y) to (x + dx, y + dy), eq. 10 and 11.

    It is -1 if too few samples agree.
    """
    length = math.sqrt(dx * dx + dy * dy)
    if length < RESCUE_CELLS:
        return threshold
    samples = min(max(int(math.ceil(length)) + 1, MIN_SAMPLES), MAX_SAMPLES)
    misses = samples - int(math.ceil(fraction * samples - 1e-9))
    total, step = 0.0, 1.0 / (samples - 1)
    for i in range(samples):
        at_x, at_y = x + i * step * dx, y + i * step * dy
        along = (_sample(pafs, channel, at_x, at_y) * dx + _sample(pafs, channel + 1, at_x, at_y) * dy) / length
        if threshold < along < np.inf:
            total += along
        else:
            misses -= 1
            if misses < 0:
                return -1.0
    # A limb longer than half the image is unlikely. This is the prior of the authors' code.
    return min(total / samples, 1.0) + min(0.5 * max(pafs.shape[1], pafs.shape[2]) / length - 1.0, 0.0)


@jit
def _score_pairs(pafs: Any, xy: Any, counts: Any, limbs: Any, threshold: Any, fraction: Any) -> Any:
    most = 0
    for limb in range(len(limbs)):
        most += counts[limbs[limb, 0]] * counts[limbs[limb, 1]]
    links, values, found = np.empty((most, 3), np.int64), np.empty(most), 0
    for limb in range(len(limbs)):
        a, b = limbs[limb, 0], limbs[limb, 1]
        for i in range(counts[a]):
            x, y = np.float64(xy[a, i, 0]), np.float64(xy[a, i, 1])
            for j in range(counts[b]):
                dx, dy = xy[b, j, 0] - x, xy[b, j, 1] - y
                near = dx * dx + dy * dy < RESCUE_CELLS * RESCUE_CELLS
                if near or _may_join(pafs, 2 * limb, x, y, dx, dy, threshold):
                    value = _line_integral(pafs, 2 * limb, x, y, dx, dy, threshold, fraction)
                    if value > 0:
                        links[found, 0], links[found, 1], links[found, 2] = limb, i, j
                        values[found] = value
                        found += 1
    return links[:found], values[:found]


def _score_pairs_numpy(pafs: Any, xy: Any, counts: Any, limbs: Any, threshold: float, fraction: float) -> Any:
    """Do the same as ``_score_pairs``, without a compiler: all pairs of a limb at once."""
    links, values = [np.empty((0, 3), np.int64)], [np.empty(0)]
    for limb, (a, b) in enumerate(limbs):
        if counts[a] == 0 or counts[b] == 0:
            continue
        ends = xy[a, : counts[a], None, :], xy[b, None, : counts[b], :]
        scores = _line_integrals(pafs[2 * limb : 2 * limb + 2], *ends, threshold, fraction)
        i, j = np.nonzero(scores > 0)
        links.append(np.stack([np.full(len(i), limb), i, j], axis=1))
        values.append(scores[i, j])
    return np.concatenate(links), np.concatenate(values)


def _line_integrals(field: Any, a: Any, b: Any, threshold: float, fraction: float) -> Any:
    """Return the values (A, B) of all pairs of points (A, 1, 2) and (1, B, 2). -1 = not connected by the field."""
    _, rows, cols = field.shape
    x, y = a[..., 0, None].astype(np.float64), a[..., 1, None].astype(np.float64)
    dx, dy = b[..., 0, None] - x, b[..., 1, None] - y
    length = np.sqrt(dx * dx + dy * dy)
    near = length < RESCUE_CELLS
    length = np.where(near, RESCUE_CELLS, length)
    quarters = 0.25 * np.arange(1, 4)
    nearest = (y + quarters * dy + 0.5).astype(np.int64), (x + quarters * dx + 0.5).astype(np.int64)
    with np.errstate(invalid="ignore"):
        along = field[0][nearest] * dx + field[1][nearest] * dy
        may_join = ((along > 0) & (along * along > threshold * threshold * (dx * dx + dy * dy))).sum(axis=2) >= 2
    samples = np.clip(np.ceil(length).astype(np.int64) + 1, MIN_SAMPLES, MAX_SAMPLES)
    i, step = np.arange(samples.max()), 1.0 / (samples - 1)
    parts = np.minimum(i * step, 1)  # samples beyond the last one are ignored below
    along = _projections(field, x + parts * dx, y + parts * dy, dx, dy) / length
    agrees = (threshold < along) & (along < np.inf) & (i < samples)
    mean = np.where(agrees, along, 0).sum(axis=2) / samples[..., 0]
    value = np.minimum(mean, 1.0) + np.minimum(0.5 * max(rows, cols) / length[..., 0] - 1.0, 0.0)
    enough = agrees.sum(axis=2) >= np.ceil(fraction * samples[..., 0] - 1e-9)
    return np.where(near[..., 0], threshold, np.where(may_join & enough, value, -1.0))


def _projections(field: Any, x: Any, y: Any, dx: Any, dy: Any) -> Any:
    """Return the dot products of the interpolated field at (x, y) and (dx, dy). NaN and Inf of the field remain."""
    _, rows, cols = field.shape
    x0, y0 = np.minimum(x.astype(np.int64), cols - 1), np.minimum(y.astype(np.int64), rows - 1)
    x1, y1 = np.minimum(x0 + 1, cols - 1), np.minimum(y0 + 1, rows - 1)
    fx, fy = x - x0, y - y0
    with np.errstate(invalid="ignore"):
        top = (1 - fx) * field[:, y0, x0] + fx * field[:, y0, x1]
        bottom = (1 - fx) * field[:, y1, x0] + fx * field[:, y1, x1]
        u, v = (1 - fy) * top + fy * bottom
        return u * dx + v * dy
