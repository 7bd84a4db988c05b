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
"""Pairs of peaks of a limb from which a map of the strong cells of its field saves time. The map fits into the fastest
cache."""
QUARTERS = 3
"""Points of a limb, at 1/4, 1/2 and 3/4 of its length, of which two must agree with the field."""
STRONG_SHARE = 0.999
"""Share of the squared threshold that a strong vector exceeds. The rest is room for rounding."""
_TINY = np.float32(1e-30)
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
def _copy_columns(points: Any, count: Any, columns: Any) -> None:
    """Copy the first points (M, 2) to columns (2, M). A loop, because slices compile slowly: see ``jit``."""
    for j in range(count):
        columns[0, j], columns[1, j] = points[j, 0], points[j, 1]


@jit_inline
def _fill_cells(x: Any, y: Any, ends: Any, count: Any, cols: Any, cells: Any, counts: Any) -> None:
    """Fill the cells at the quarters of all limbs that start at a point, in vectors.

    Args:
        x: Column of the first keypoint, float32.
        y: Row of the first keypoint, float32.
        ends: (2, M) float32 columns and rows of the second keypoints.
        count: Number of second keypoints.
        cols: Columns of the field.
        cells: (QUARTERS, M) int32, filled: row times columns plus column.
        counts: (M,) uint8, filled: 2 for limbs that may be shorter than RESCUE_CELLS, otherwise 0.
    """
    for quarter in range(QUARTERS):
        share = np.float32(0.25 * (quarter + 1))
        for j in range(count):
            row, col = _nearest(y, ends[1, j], share), _nearest(x, ends[0, j], share)
            cells[quarter, j] = np.int32(row * np.int32(cols) + col)
    for j in range(count):
        dx, dy = ends[0, j] - x, ends[1, j] - y
        counts[j] = 2 * np.uint8(dx * dx + dy * dy < np.float32(2 * RESCUE_CELLS * RESCUE_CELLS))


@jit_inline
def _is_strong(u: Any, v: Any, cell: Any, least: Any) -> Any:
    """Return whether the vector of a cell is longer than the threshold. Otherwise, no limb agrees with it."""
    return u[np.uint32(cell)] * u[np.uint32(cell)] + v[np.uint32(cell)] * v[np.uint32(cell)] > least


@jit_inline
def _count_strong(u: Any, v: Any, cells: Any, count: Any, least: Any, counts: Any) -> None:
    """Add to the counts of each limb how many of its three points are strong. The third is asked if it matters."""
    for j in range(count):
        strong = np.uint8(_is_strong(u, v, cells[0, j], least)) + np.uint8(_is_strong(u, v, cells[1, j], least))
        if strong == 1:
            strong += np.uint8(_is_strong(u, v, cells[2, j], least))
        counts[j] += strong


@jit_inline
def _mark_strong(u: Any, v: Any, least: Any, marks: Any) -> None:
    """Mark the strong cells of a field."""
    for cell in range(len(marks)):
        marks[cell] = u[cell] * u[cell] + v[cell] * v[cell] > least


@jit_inline
def _count_marks(marks: Any, cells: Any, count: Any, counts: Any) -> None:
    """Do the same as ``_count_strong``, from the marks of the strong cells."""
    for j in range(count):
        first, second, third = np.uint32(cells[0, j]), np.uint32(cells[1, j]), np.uint32(cells[2, j])
        counts[j] += marks[first] + marks[second] + marks[third]


@jit_inline
def _agrees(u: Any, v: Any, cells: Any, j: Any, dx: Any, dy: Any, threshold: Any) -> Any:
    """Return whether the projections of the field on the limb exceed the threshold at two of the three points."""
    least, agreeing = threshold * threshold * (dx * dx + dy * dy), 0
    for quarter in range(QUARTERS):
        cell = np.uint32(cells[quarter, j])
        along = u[cell] * dx + v[cell] * dy
        agreeing += along > 0 and along * along > least
    return agreeing >= 2


@jit_inline
def _interpolate(field: Any, cell: Any, right: Any, below: Any, fx: Any, fy: Any) -> Any:
    """Interpolate a flat field bilinearly between a cell and its neighbours to the right and below."""
    top = (1 - fx) * field[cell] + fx * field[cell + right]
    bottom = (1 - fx) * field[cell + below] + fx * field[cell + below + right]
    return (1 - fy) * top + fy * bottom


@jit_inline
def _project(u: Any, v: Any, rows: Any, cols: Any, x: Any, y: Any, dx: Any, dy: Any) -> Any:
    """Return the dot product of (dx, dy) and the field at (x, y)."""
    x0, y0 = min(int(x), cols - 1), min(int(y), rows - 1)
    right, below = np.uint64(x0 + 1 < cols), np.uint64(cols if y0 + 1 < rows else 0)
    cell, fx, fy = np.uint64(y0 * cols + x0), x - x0, y - y0
    return _interpolate(u, cell, right, below, fx, fy) * dx + _interpolate(v, cell, right, below, fx, fy) * dy


@jit_inline
def _line_integral(
    u: Any, v: Any, rows: Any, cols: Any, x: Any, y: Any, dx: Any, dy: Any, threshold: Any, fraction: Any
) -> Any:
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
        along = _project(u, v, rows, cols, x + i * step * dx, y + i * step * dy, dx, dy) / length
        if threshold < along < np.inf:
            total += along
        else:
            misses -= 1
            if misses < 0:
                return -1.0
    # A limb longer than half the image is unlikely. This is the prior of the authors' code.
    return min(total / samples, 1.0) + min(0.5 * max(rows, cols) / length - 1.0, 0.0)


@jit
def _score_pairs(pafs: Any, xy: Any, counts: Any, limbs: Any, threshold: Any, fraction: Any) -> Any:
    links, values, found = np.empty((FIRST_LINKS, 3), np.int64), np.empty(FIRST_LINKS), 0
    (_, rows, cols), most = pafs.shape, xy.shape[1]
    ends, cells, strong = (
        np.empty((2, most), np.float32),
        np.empty((QUARTERS, most), np.int32),
        np.empty(most, np.uint8),
    )
    least, marks = np.float32(STRONG_SHARE * threshold * threshold) - _TINY, np.empty(rows * cols, np.uint8)
    for limb in range(len(limbs)):
        a, b = limbs[limb, 0], limbs[limb, 1]
        u, v = pafs[2 * limb].reshape(-1), pafs[2 * limb + 1].reshape(-1)
        is_crowd = counts[a] * counts[b] >= CROWD_PAIRS
        if is_crowd:
            _mark_strong(u, v, least, marks)
        _copy_columns(xy[b], counts[b], ends)
        for i in range(counts[a]):
            x, y = np.float64(xy[a, i, 0]), np.float64(xy[a, i, 1])
            if found + counts[b] > len(values):
                links, values = _grow(links, values, found + counts[b])
            _fill_cells(xy[a, i, 0], xy[a, i, 1], ends, counts[b], cols, cells, strong)
            if is_crowd:
                _count_marks(marks, cells, counts[b], strong)
            else:
                _count_strong(u, v, cells, counts[b], least, strong)
            for j in range(counts[b]):
                if strong[j] < 2:
                    continue
                dx, dy = ends[0, j] - x, ends[1, j] - y
                is_near = dx * dx + dy * dy < RESCUE_CELLS * RESCUE_CELLS
                if is_near or _agrees(u, v, cells, j, dx, dy, threshold):
                    value = _line_integral(u, v, rows, cols, x, y, dx, dy, threshold, fraction)
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
