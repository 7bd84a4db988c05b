"""Peaks: the local maxima of heatmaps, at native field resolution, refined below a cell.

A peak is a cell above the threshold that no neighbour (of 8) exceeds. Equal neighbours form a plateau, which gives
exactly one peak, at its centre, or none if it touches a higher cell. NaN and Inf are never peaks and count as lower
than everything. Of more than M peaks in a channel the strongest M are kept; equal ones in raster order.

References:
    Cao et al., OpenPose, arXiv:1812.08008, section 3.2 (non-maximum suppression on the confidence maps).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.decoder.jit import COMPILED, jit

FloatArray = npt.NDArray[np.float32]

BLOCK = 32
"""Cells that are skipped together when none of them is above the threshold."""


@dataclass(frozen=True)
class Peaks:
    """The peaks of K heatmaps, the strongest first; rows at or beyond ``counts[k]`` are unused.

    Attributes:
        xy: (K, M, 2) float32 column and row, in cells.
        scores: (K, M) float32 heatmap values, at most 1.
        counts: (K,) int64 number of peaks of each channel.
    """

    xy: FloatArray
    scores: FloatArray
    counts: npt.NDArray[np.int64]


def find_peaks(heatmaps: FloatArray, threshold: float, max_peaks: int, subpixel: str = "quadratic") -> Peaks:
    """Find the peaks of every channel.

    Args:
        heatmaps: (K, H, W) C-contiguous float32; not modified.
        threshold: A peak is strictly above it.
        max_peaks: Most peaks per channel (M).
        subpixel: ``"none"`` or ``"quadratic"``, a parabola through the neighbours in x and in y.
    """
    channels = len(heatmaps)
    xy = np.zeros((channels, max_peaks, 2), np.float32)
    scores = np.zeros((channels, max_peaks), np.float32)
    counts = np.zeros(channels, np.int64)
    scan = _scan if COMPILED else _scan_numpy
    scan(heatmaps, np.float32(threshold), subpixel == "quadratic", xy, scores, counts)
    return Peaks(xy, scores, counts)


@jit
def _scan(heatmaps: Any, threshold: Any, refine: Any, xy: Any, scores: Any, counts: Any) -> None:
    """Visit the cells above the threshold, block by block, and keep the peaks among them."""
    channels, rows, cols = heatmaps.shape
    for k in range(channels):
        heat = heatmaps[k]
        seen = np.empty((0, 0), np.bool_)
        for row in range(rows):
            line = heat[row]
            for start in range(0, cols, BLOCK):
                stop = min(start + BLOCK, cols)
                above = 0
                for col in range(start, stop):
                    above += line[col] > threshold
                if above == 0:
                    continue
                for col in range(start, stop):
                    if line[col] > threshold and _is_highest(heat, row, col):
                        seen = _keep(heat, row, col, refine, seen, xy[k], scores[k], counts[k : k + 1])


def _scan_numpy(heatmaps: Any, threshold: Any, refine: Any, xy: Any, scores: Any, counts: Any) -> None:
    """The same as ``_scan`` where there is no compiler: whole-array comparisons first."""
    valid = np.where(np.isfinite(heatmaps), heatmaps, -np.inf)
    padded = np.pad(valid, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    _, rows, cols = heatmaps.shape
    highest = valid > threshold
    for dy in range(3):
        for dx in range(3):
            highest &= valid >= padded[:, dy : dy + rows, dx : dx + cols]
    seen = [np.empty((0, 0), np.bool_)] * len(heatmaps)
    for k, row, col in np.argwhere(highest):
        seen[k] = _keep(heatmaps[k], row, col, refine, seen[k], xy[k], scores[k], counts[k : k + 1])


@jit
def _is_highest(heat: Any, row: Any, col: Any) -> Any:
    """Whether a cell is finite and no finite neighbour exceeds it."""
    value = heat[row, col]
    if not value < np.inf:
        return False
    for r in range(max(row - 1, 0), min(row + 2, heat.shape[0])):
        for c in range(max(col - 1, 0), min(col + 2, heat.shape[1])):
            if value < heat[r, c] < np.inf:
                return False
    return True


@jit
def _keep(heat: Any, row: Any, col: Any, refine: Any, seen: Any, xy: Any, scores: Any, count: Any) -> Any:
    """Store one peak; a cell of a plateau stands for the whole of it. Returns the plateau cells seen so far."""
    x, y = np.float64(col), np.float64(row)
    if _has_equal(heat, row, col):
        if seen.size == 0:
            seen = np.zeros(heat.shape, np.bool_)
        if seen[row, col]:
            return seen
        whole, x, y = _plateau(heat, row, col, seen)
        if not whole:
            return seen
    elif refine:
        x, y = _refined(heat, row, col)
    _store(x, y, min(heat[row, col], np.float32(1)), xy, scores, count)
    return seen


@jit
def _has_equal(heat: Any, row: Any, col: Any) -> Any:
    equal = 0
    for r in range(max(row - 1, 0), min(row + 2, heat.shape[0])):
        for c in range(max(col - 1, 0), min(col + 2, heat.shape[1])):
            equal += heat[r, c] == heat[row, col]
    return equal > 1


@jit
def _plateau(heat: Any, row: Any, col: Any, seen: Any) -> Any:
    """Flood the equal cells around one: (no neighbour is higher, mean column, mean row)."""
    rows, cols = heat.shape
    stack = [(np.int64(row), np.int64(col))]
    seen[row, col] = True
    whole, cells, x, y = True, 0, 0.0, 0.0
    while len(stack) > 0:
        r0, c0 = stack.pop()
        whole &= bool(_is_highest(heat, r0, c0))
        cells, x, y = cells + 1, x + c0, y + r0
        for r in range(max(r0 - 1, 0), min(r0 + 2, rows)):
            for c in range(max(c0 - 1, 0), min(c0 + 2, cols)):
                if heat[r, c] == heat[row, col] and not seen[r, c]:
                    seen[r, c] = True
                    stack.append((np.int64(r), np.int64(c)))
    return whole, x / cells, y / cells


@jit
def _vertex(low: Any, middle: Any, high: Any) -> Any:
    """Top of the parabola through three values, from -0.5 to 0.5; 0 where a value is missing."""
    bend = np.float64(low) - 2.0 * np.float64(middle) + np.float64(high)
    if not -np.inf < bend < 0:
        return 0.0
    return min(max(0.5 * (np.float64(low) - np.float64(high)) / bend, -0.5), 0.5)


@jit
def _refined(heat: Any, row: Any, col: Any) -> Any:
    """Column and row of the maximum, below a cell. At the border a cell stays where it is in that direction."""
    x, y = np.float64(col), np.float64(row)
    if 0 < col < heat.shape[1] - 1:
        x += _vertex(heat[row, col - 1], heat[row, col], heat[row, col + 1])
    if 0 < row < heat.shape[0] - 1:
        y += _vertex(heat[row - 1, col], heat[row, col], heat[row + 1, col])
    return x, y


@jit
def _store(x: Any, y: Any, score: Any, xy: Any, scores: Any, count: Any) -> None:
    """Insert a peak behind those at least as strong; when all places are taken, the weakest falls out."""
    place = count[0]
    if place < len(scores):
        count[0] += 1
    else:
        place -= 1
        if not score > scores[place]:
            return
    while place > 0 and scores[place - 1] < score:
        xy[place, 0], xy[place, 1], scores[place] = xy[place - 1, 0], xy[place - 1, 1], scores[place - 1]
        place -= 1
    xy[place, 0], xy[place, 1], scores[place] = x, y, score
