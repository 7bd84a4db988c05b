"""Refine the positions of peaks to a fraction of a cell.

    none       on the cell
    quarter    a quarter of a cell towards the higher neighbour, in x and in y
    centroid   mean of the cells within a distance of two, weighted by their values
    quadratic  maximum of a parabola through the neighbours, in x and in y
    dark       maximum of the Gaussian that fits slope and curvature of the logarithm of the blurred map
    offsets    offset that the network predicts at the cell

References:
    Newell et al., Stacked Hourglass Networks, arXiv:1603.06937 (quarter shift).
    Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation (DARK), arXiv:1910.06278:
    eq. 3 to 9 (Taylor expansion of the log-likelihood), eq. 10 (modulation by a Gaussian kernel).
    Papandreou et al., Towards Accurate Multi-person Pose Estimation in the Wild, arXiv:1701.01779, section 3.2
    (offsets).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray
from pose_ros.decoder.jit import jit, jit_inline
from pose_ros.fields import field_array

METHODS = ("none", "quarter", "centroid", "quadratic", "dark")
NONE, QUARTER, CENTROID, QUADRATIC, DARK = range(5)

CENTROID_REACH = 2
"""Largest distance of a cell of the centroid, cells."""
MAX_SHIFT = 1.0
"""Longest DARK step, cells. If the step is longer, the map is not Gaussian there, and the parabola is used."""
_TINY = 1e-10


@dataclass(frozen=True)
class Refinement:
    """How positions are refined.

    Attributes:
        method: One of METHODS, or ``"offsets"``.
        dark_kernel: Width of the blur of ``"dark"``, cells, odd. 1 = no blur.
        offsets: (2, H, W) or (2 K, H, W) of ``"offsets"``: x and y, for all keypoints or for each.
    """

    method: str = "quadratic"
    dark_kernel: int = 11
    offsets: FloatArray | None = None


DEFAULT = Refinement()


def read_offsets(offsets: AnyArray | None, heatmaps: FloatArray) -> FloatArray:
    """Return the field ``heatmap_offsets``, after checking it against the heatmaps (K, H, W).

    Raises:
        ValueError: If it is missing, or does not have 2 or 2 K channels on the grid of the heatmaps.
    """
    array = field_array("heatmap_offsets", offsets, 2, 2 * len(heatmaps))
    if array.shape[1:] != heatmaps.shape[1:]:
        raise ValueError(
            f"heatmap_offsets: expected the grid of the heatmaps, {heatmaps.shape[1:]}, got {array.shape[1:]}"
        )
    return array


def refine_peaks(heatmaps: Any, xy: Any, scores: Any, counts: Any, refinement: Refinement) -> None:
    """Refine all peaks in place. The centre of a plateau stays, except across a plateau of a single row or column.

    Args:
        heatmaps: (K, H, W) float32. NaN and Inf count as missing.
        xy: (K, M, 2) column and row of each peak.
        scores: (K, M) value of each peak, at most 1.
        counts: (K,) number of peaks of each channel.
        refinement: Method. Its offsets are read at the cell of a peak, also for the centre of a plateau.
    """
    method = refinement.method
    if method == "offsets":
        k, m = np.nonzero(np.arange(xy.shape[1]) < counts[:, None])
        cols, rows = np.rint(xy[k, m]).astype(np.int64).T
        xy[k, m] = _move_by_offsets(refinement.offsets, k, rows, cols)
    elif method != "none":
        _refine(heatmaps, xy, scores, counts, METHODS.index(method), gaussian_kernel(refinement.dark_kernel))


def refine_cells(heatmaps: Any, channels: Any, rows: Any, cols: Any, refinement: Refinement) -> FloatArray:
    """Return column and row (N, 2) of the maxima at cells, given by channel, row and column (N,) each."""
    if refinement.method == "offsets":
        return _move_by_offsets(refinement.offsets, channels, rows, cols)
    xy, method = np.empty((len(rows), 2), np.float32), METHODS.index(refinement.method)
    _refine_cells(heatmaps, channels, rows, cols, method, gaussian_kernel(refinement.dark_kernel), xy)
    return xy


def _move_by_offsets(offsets: Any, channels: Any, rows: Any, cols: Any) -> FloatArray:
    """Return the cells (N, 2) moved by their offsets, inside the map. Offsets longer than the map are ignored."""
    vectors = offsets.reshape(-1, 2, *offsets.shape[1:])
    moves = vectors[channels if len(vectors) > 1 else 0, :, rows, cols]
    usable = (np.abs(moves) <= max(offsets.shape[1:])).all(axis=1, keepdims=True)  # false for NaN
    moved = np.stack([cols, rows], axis=1) + np.where(usable, moves, 0)
    return np.clip(moved, 0, np.array(offsets.shape[:0:-1]) - 1).astype(np.float32)


@jit
def _refine_cells(heatmaps: Any, channels: Any, rows: Any, cols: Any, method: Any, blur: Any, xy: Any) -> None:
    for n in range(len(rows)):
        xy[n, 0], xy[n, 1] = refine(heatmaps, channels[n], rows[n], cols[n], method, blur)


@jit_inline
def refine_quadratic(heatmaps: Any, k: Any, xy: Any, scores: Any, counts: Any) -> None:
    """Refine the peaks of channel k by parabolas, as ``refine_peaks`` does.

    The default is separate: compiling all methods takes three times as long.
    """
    for m in range(counts[k]):
        col, row = int(xy[k, m, 0]), int(xy[k, m, 1])
        if min(heatmaps[k, row, col], np.float32(1)) == scores[k, m]:
            x, y = _quadratic(heatmaps, k, row, col)
            _move_peak(xy, k, m, x, y)


@jit
def _refine(heatmaps: Any, xy: Any, scores: Any, counts: Any, method: Any, blur: Any) -> None:
    for k in range(len(counts)):
        for m in range(counts[k]):
            col, row = int(xy[k, m, 0]), int(xy[k, m, 1])
            if min(heatmaps[k, row, col], np.float32(1)) == scores[k, m]:
                x, y = refine(heatmaps, k, row, col, method, blur)
                _move_peak(xy, k, m, x, y)


@jit
def refine(heatmaps: Any, k: Any, row: Any, col: Any, method: Any, blur: Any) -> Any:
    """Return column and row of the maximum at a cell. Never NaN, never outside the map.

    Args:
        heatmaps: (K, H, W). NaN and Inf count as missing.
        k: Channel.
        row: Row of the highest cell.
        col: Column of the highest cell.
        method: Index into METHODS.
        blur: (n,) weights of the Gaussian kernel of DARK, n odd, sum 1. n = 1: no blur.
    """
    x, y = np.float64(col), np.float64(row)
    if method == QUARTER:
        x += 0.25 * _higher_side(_cell_value(heatmaps, k, row, col - 1), _cell_value(heatmaps, k, row, col + 1))
        y += 0.25 * _higher_side(_cell_value(heatmaps, k, row - 1, col), _cell_value(heatmaps, k, row + 1, col))
    elif method == CENTROID:
        x, y = _centroid(heatmaps, k, row, col)
    elif method == QUADRATIC:
        x, y = _quadratic(heatmaps, k, row, col)
    elif method == DARK:
        x, y = _dark(heatmaps, k, row, col, blur)
    return min(max(x, 0.0), heatmaps.shape[2] - 1.0), min(max(y, 0.0), heatmaps.shape[1] - 1.0)


@jit_inline
def _move_peak(xy: Any, k: Any, m: Any, x: Any, y: Any) -> None:
    """Move a peak in the directions in which it lies on a cell. In the others it is the centre of a plateau."""
    if xy[k, m, 0] == int(xy[k, m, 0]):
        xy[k, m, 0] = x
    if xy[k, m, 1] == int(xy[k, m, 1]):
        xy[k, m, 1] = y


@jit_inline
def _cell_value(heatmaps: Any, k: Any, row: Any, col: Any) -> Any:
    """Return the value of a cell. NaN if the cell is outside the map or not finite."""
    if 0 <= row < heatmaps.shape[1] and 0 <= col < heatmaps.shape[2]:
        value = np.float64(heatmaps[k, row, col])
        if -np.inf < value < np.inf:
            return value
    return np.nan


@jit
def _higher_side(low: Any, high: Any) -> Any:
    """Return the direction of the higher of two neighbours. 0 if they are equal or one is missing."""
    return 1.0 if high > low else -1.0 if high < low else 0.0


@jit_inline
def _vertex(low: Any, middle: Any, high: Any) -> Any:
    """Return the maximum of the parabola through three values, from -0.5 to 0.5. 0 if a value is missing."""
    bend = low - 2.0 * middle + high
    if not bend < 0:
        return 0.0
    return min(max(0.5 * (low - high) / bend, -0.5), 0.5)


@jit_inline
def _quadratic(heatmaps: Any, k: Any, row: Any, col: Any) -> Any:
    middle = np.float64(heatmaps[k, row, col])
    x = col + _vertex(_cell_value(heatmaps, k, row, col - 1), middle, _cell_value(heatmaps, k, row, col + 1))
    y = row + _vertex(_cell_value(heatmaps, k, row - 1, col), middle, _cell_value(heatmaps, k, row + 1, col))
    return x, y


@jit
def _centroid(heatmaps: Any, k: Any, row: Any, col: Any) -> Any:
    """Return the centroid of a window. It is symmetric about the cell, so that a border does not shift it."""
    reach_x = min(CENTROID_REACH, col, heatmaps.shape[2] - 1 - col)
    reach_y = min(CENTROID_REACH, row, heatmaps.shape[1] - 1 - row)
    weight, x, y = 0.0, 0.0, 0.0
    for r in range(row - reach_y, row + reach_y + 1):
        for c in range(col - reach_x, col + reach_x + 1):
            value = _cell_value(heatmaps, k, r, c)
            if value > 0:
                weight, x, y = weight + value, x + value * c, y + value * r
    return (x / weight, y / weight) if weight > 0 else (np.float64(col), np.float64(row))


@jit
def _dark(heatmaps: Any, k: Any, row: Any, col: Any, blur: Any) -> Any:
    """Do one Newton step on the logarithm of the blurred map, eq. 9: m - D''(m)^-1 D'(m)."""
    if not (1 < col < heatmaps.shape[2] - 2 and 1 < row < heatmaps.shape[1] - 2):
        return _quadratic(heatmaps, k, row, col)
    lines = _blur_lines(heatmaps, k, row, col, blur)
    logs = np.empty((5, 5))
    for r in range(5):
        for c in range(5):
            total = 0.0
            for offset in range(len(blur)):
                total += blur[offset] * lines[r + offset, c]
            logs[r, c] = math.log(max(total, _TINY))
    dx, dy = 0.5 * (logs[2, 3] - logs[2, 1]), 0.5 * (logs[3, 2] - logs[1, 2])
    dxx = 0.25 * (logs[2, 4] - 2 * logs[2, 2] + logs[2, 0])
    dyy = 0.25 * (logs[4, 2] - 2 * logs[2, 2] + logs[0, 2])
    dxy = 0.25 * (logs[3, 3] - logs[1, 3] - logs[3, 1] + logs[1, 1])
    determinant = dxx * dyy - dxy * dxy
    if not (dxx < 0 and determinant > _TINY):
        return _quadratic(heatmaps, k, row, col)
    step_x, step_y = (dxy * dy - dyy * dx) / determinant, (dxy * dx - dxx * dy) / determinant
    if not (abs(step_x) <= MAX_SHIFT and abs(step_y) <= MAX_SHIFT):
        return _quadratic(heatmaps, k, row, col)
    return col + step_x, row + step_y


@jit
def _blur_lines(heatmaps: Any, k: Any, row: Any, col: Any, blur: Any) -> Any:
    """Blur along x around a cell: the rows that the blur along y needs for 5 x 5 cells. Missing values count 0."""
    reach = len(blur) // 2
    lines = np.zeros((len(blur) + 4, 5))
    for r in range(max(row - 2 - reach, 0), min(row + 3 + reach, heatmaps.shape[1])):
        for c in range(5):
            middle, line = col + c - 2, 0.0
            for x in range(max(middle - reach, 0), min(middle + reach + 1, heatmaps.shape[2])):
                value = np.float64(heatmaps[k, r, x])
                if -np.inf < value < np.inf:
                    line += blur[x - middle + reach] * value
            lines[r - row + 2 + reach, c] = line
    return lines


def gaussian_kernel(size: int) -> Any:
    """Return the weights (size,) of a Gaussian, as wide as that of OpenCV for this kernel size. Size 1 = no blur."""
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    weights = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    return weights / weights.sum()
