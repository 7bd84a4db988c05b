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

CROWD_PAIRS = 900
"""Pairs of peaks of a limb from which a map of the strong cells of its field saves time."""
STRONG_SHARE = 0.999
"""Share of the squared threshold that a strong cell exceeds. The rest is room for rounding."""
HALF = np.float32(0.5)
FIRST_LINKS = 256
"""Links for which there is room at first."""


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
def _nearest(start: Any, end: Any, share: Any) -> Any:
    """Return the row or column of the cell nearest to a share of the way, float32."""
    return np.int32(start + share * (end - start) + HALF)


@jit_inline
def _may_join(pafs: Any, channel: Any, x: Any, y: Any, dx: Any, dy: Any, threshold: Any) -> Any:
    """Return whether the field agrees at two of the points at 1/4, 1/2 and 3/4 of the limb, at their nearest cells.

    Most pairs of a crowd fail here, at a tenth of the cost of the integral.
    """
    least, agreeing = threshold * threshold * (dx * dx + dy * dy), 0
    start_x, start_y, end_x, end_y = np.float32(x), np.float32(y), np.float32(x + dx), np.float32(y + dy)
    for quarter in range(1, 4):
        share = np.float32(0.25 * quarter)
        row, col = _nearest(start_y, end_y, share), _nearest(start_x, end_x, share)
        along = pafs[channel, row, col] * dx + pafs[channel + 1, row, col] * dy
        agreeing += along > 0 and along * along > least
        if agreeing + 3 - quarter < 2:
            return False
    return True


@jit_inline
def _mark_strong(pafs: Any, channel: Any, threshold: Any, strong: Any) -> None:
    """Mark the cells whose vector is longer than the threshold: elsewhere no limb agrees, in whatever direction."""
    least = np.float32(STRONG_SHARE * threshold * threshold)
    for row in range(pafs.shape[1]):
        for col in range(pafs.shape[2]):
            u, v = pafs[channel, row, col], pafs[channel + 1, row, col]
            strong[row, col] = u * u + v * v > least


@jit_inline
def _copy_columns(points: Any, count: Any, columns: Any) -> None:
    """Copy the first points (M, 2) to columns (2, M). A loop, because slices compile slowly: see ``jit``."""
    for j in range(count):
        columns[0, j], columns[1, j] = points[j, 0], points[j, 1]


@jit_inline
def _count_strong(strong: Any, x: Any, y: Any, ends: Any, count: Any, cells: Any, counts: Any) -> None:
    """Count, for the limbs from (x, y) to each end, how many of the three points of ``_may_join`` are strong.

    Two more count for ends so near that no point is asked. The cells are computed in vectors, and the map fits into the
    fastest cache.

    Args:
        strong: (H, W) uint8 marks.
        x: Column of the first keypoint, float32.
        y: Row of the first keypoint, float32.
        ends: (2, M) float32 columns and rows of the second keypoints.
        count: Number of second keypoints.
        cells: (3, M) int32 buffer.
        counts: (M,) uint8, filled.
    """
    cols = np.int32(strong.shape[1])
    for quarter in range(3):
        share = np.float32(0.25 * (quarter + 1))
        for j in range(count):
            row, col = _nearest(y, ends[1, j], share), _nearest(x, ends[0, j], share)
            cells[quarter, j] = np.int32(row * cols + col)
    for j in range(count):
        dx, dy = ends[0, j] - x, ends[1, j] - y
        counts[j] = 2 * np.uint8(dx * dx + dy * dy < np.float32(2 * RESCUE_CELLS * RESCUE_CELLS))
    flat = strong.reshape(-1)
    for j in range(count):
        first, second, third = np.uint32(cells[0, j]), np.uint32(cells[1, j]), np.uint32(cells[2, j])
        counts[j] += flat[first] + flat[second] + flat[third]


@jit_inline
def _project(pafs: Any, channel: Any, x: Any, y: Any, dx: Any, dy: Any) -> Any:
    """Return the dot product of (dx, dy) and the field at (x, y), interpolated bilinearly."""
    _, rows, cols = pafs.shape
    x0, y0 = min(int(x), cols - 1), min(int(y), rows - 1)
    x1, y1 = min(x0 + 1, cols - 1), min(y0 + 1, rows - 1)
    fx, fy = x - x0, y - y0
    top = (1 - fx) * pafs[channel, y0, x0] + fx * pafs[channel, y0, x1]
    bottom = (1 - fx) * pafs[channel, y1, x0] + fx * pafs[channel, y1, x1]
    u = (1 - fy) * top + fy * bottom
    top = (1 - fx) * pafs[channel + 1, y0, x0] + fx * pafs[channel + 1, y0, x1]
    bottom = (1 - fx) * pafs[channel + 1, y1, x0] + fx * pafs[channel + 1, y1, x1]
    return u * dx + ((1 - fy) * top + fy * bottom) * dy


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
        along = _project(pafs, channel, x + i * step * dx, y + i * step * dy, dx, dy) / length
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
    links, values, found = np.empty((FIRST_LINKS, 3), np.int64), np.empty(FIRST_LINKS), 0
    strong, most = np.empty(pafs.shape[1:], np.uint8), xy.shape[1]
    ends, cells, agreeing = np.empty((2, most), np.float32), np.empty((3, most), np.int32), np.empty(most, np.uint8)
    for limb in range(len(limbs)):
        a, b = limbs[limb, 0], limbs[limb, 1]
        is_crowd = counts[a] * counts[b] >= CROWD_PAIRS
        if is_crowd:
            _mark_strong(pafs, 2 * limb, threshold, strong)
            _copy_columns(xy[b], counts[b], ends)
        for i in range(counts[a]):
            x, y = np.float64(xy[a, i, 0]), np.float64(xy[a, i, 1])
            if found + counts[b] > len(values):
                links, values = _grow(links, values, found + counts[b])
            if is_crowd:
                _count_strong(strong, xy[a, i, 0], xy[a, i, 1], ends, counts[b], cells, agreeing)
            for j in range(counts[b]):
                if is_crowd and agreeing[j] < 2:
                    continue
                dx, dy = xy[b, j, 0] - x, xy[b, j, 1] - y
                near = dx * dx + dy * dy < RESCUE_CELLS * RESCUE_CELLS
                if near or _may_join(pafs, 2 * limb, x, y, dx, dy, threshold):
                    value = _line_integral(pafs, 2 * limb, x, y, dx, dy, threshold, fraction)
                    if value > 0:
                        links[found, 0], links[found, 1], links[found, 2] = limb, i, j
                        values[found] = value
                        found += 1
    return links[:found], values[:found]


@jit_inline
def _grow(links: Any, values: Any, least: Any) -> Any:
    """Return copies of the arrays that are at least twice as long, and as long as is asked."""
    size = max(2 * len(values), least)
    longer_links, longer_values = np.empty((size, 3), np.int64), np.empty(size)
    for n in range(len(values)):
        longer_links[n, 0], longer_links[n, 1], longer_links[n, 2] = links[n, 0], links[n, 1], links[n, 2]
        longer_values[n] = values[n]
    return longer_links, longer_values


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
    shares = np.float32(0.25) * np.arange(1, 4, dtype=np.float32)
    nearest = tuple(_nearest_all(a[..., axis, None], b[..., axis, None], shares) for axis in (1, 0))
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


def _nearest_all(start: Any, end: Any, shares: Any) -> Any:
    """Do the same as ``_nearest``, for arrays."""
    return (start + shares * (end - start) + HALF).astype(np.int64)


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
