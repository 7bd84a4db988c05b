"""Find the seeds of PersonLab: the keypoints at which the search for people starts.

References:
    Papandreou et al., PersonLab, arXiv:1803.08225, section 3.1: eq. 1 (Hough voting), queue of local maxima.
    Papandreou et al., Towards Accurate Multi-person Pose Estimation in the Wild (G-RMI), arXiv:1701.01779, eq. 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pose_ros.decoder.highest_cells import bits_above, row_maximum
from pose_ros.decoder.jit import jit, jit_inline


@jit
def cells_around(x: Any, y: Any) -> Any:
    """Return columns x0 and x1, rows y0 and y1 of the cells around a point, and the weights of x1 and y1.

    With weight 0, x1 equals x0 (or y1 equals y0). So the border of the map and a NaN in the next cell do not matter.
    """
    x0, y0 = int(x), int(y)
    fx, fy = np.float64(x) - x0, np.float64(y) - y0
    return x0, x0 + int(fx > 0), y0, y0 + int(fy > 0), fx, fy


@jit
def _sample(field: Any, channel: Any, x: Any, y: Any) -> Any:
    """Interpolate bilinearly at a point of the map."""
    x0, x1, y0, y1, fx, fy = cells_around(x, y)
    top = (1 - fx) * field[channel, y0, x0] + fx * field[channel, y0, x1]
    bottom = (1 - fx) * field[channel, y1, x0] + fx * field[channel, y1, x1]
    return (1 - fy) * top + fy * bottom


@jit
def follow(offsets: Any, channel: Any, x: Any, y: Any, per_cell: Any) -> Any:
    """Follow the offset at a point. Return (whether it is finite, column, row), clamped to the map.

    Args:
        offsets: (C, H, W), px.
        channel: Channel of x. The next channel is y.
        x: Column.
        y: Row.
        per_cell: Cells per px.
    """
    to_x = x + per_cell * _sample(offsets, channel, x, y)
    to_y = y + per_cell * _sample(offsets, channel + 1, x, y)
    if not (-np.inf < to_x < np.inf and -np.inf < to_y < np.inf):
        return False, x, y
    return True, min(max(to_x, 0.0), offsets.shape[2] - 1.0), min(max(to_y, 0.0), offsets.shape[1] - 1.0)


@jit
def cast_votes(heatmaps: Any, short_offsets: Any, per_cell: Any, radius: Any) -> Any:
    """Return Hough scores (K, H, W), eq. 1: each cell votes for the end of its offset, weighted by its heatmap value.

    Args:
        heatmaps: (K, H, W). Not modified.
        short_offsets: (2 K, H, W), px.
        per_cell: Cells per px.
        radius: Radius of the disk of cells that show a keypoint, cells. If all its cells vote for one, the score is 1.
    """
    votes = np.zeros(heatmaps.shape, np.float32)
    share = 1.0 / (math.pi * radius * radius)
    for k in range(heatmaps.shape[0]):
        for row in range(heatmaps.shape[1]):
            for col in range(heatmaps.shape[2]):
                value = np.float64(heatmaps[k, row, col])
                if 0 < value < np.inf:
                    _vote(short_offsets, k, row, col, per_cell, share * min(value, 1.0), votes)
    return votes


@jit
def _vote(short_offsets: Any, k: Any, row: Any, col: Any, per_cell: Any, weight: Any, votes: Any) -> None:
    """Add a vote to the four cells around its point, by the kernel B of eq. 1. The point is clamped to the map."""
    known, x, y = follow(short_offsets, 2 * k, np.float64(col), np.float64(row), per_cell)
    if known:
        x0, x1, y0, y1, fx, fy = cells_around(x, y)
        votes[k, y0, x0] += weight * (1 - fx) * (1 - fy)
        votes[k, y0, x1] += weight * fx * (1 - fy)
        votes[k, y1, x0] += weight * (1 - fx) * fy
        votes[k, y1, x1] += weight * fx * fy


@jit
def find_seeds(ranking: Any, short_offsets: Any, per_cell: Any, threshold: Any, max_seeds: Any) -> Any:
    """Find local maxima, and move each by the offset at its cell.

    Args:
        ranking: (K, H, W) heatmaps or votes, float32. Not modified.
        short_offsets: (2 K, H, W), px.
        per_cell: Cells per px.
        threshold: Threshold, float32, not negative. A seed is strictly above it.
        max_seeds: Most seeds of a keypoint (M). The strongest are kept.

    Returns:
        xy (K, M, 2) in cells and scores (K, M), the strongest first, and counts (K,). Entries from ``counts[k]`` on are
        unused.
    """
    channels, rows, cols = ranking.shape
    xy, scores = np.empty((channels, max_seeds, 2)), np.empty((channels, max_seeds), np.float32)
    counts = np.zeros(channels, np.int64)
    bits, least = ranking.view(np.int32), bits_above(threshold)
    for k in range(channels):
        for row in range(rows):
            if row_maximum(bits, k, row) < least:
                continue
            for col in range(cols):
                if ranking[k, row, col] > threshold and _is_seed(ranking, k, row, col):
                    _, x, y = follow(short_offsets, 2 * k, np.float64(col), np.float64(row), per_cell)
                    _insert(k, x, y, ranking[k, row, col], xy, scores, counts)
    return xy, scores, counts


@jit_inline
def _insert(k: Any, x: Any, y: Any, score: Any, xy: Any, scores: Any, counts: Any) -> None:
    """Insert a peak of channel k after all peaks that are at least as strong. A full channel drops the weakest."""
    place = counts[k]
    if place < scores.shape[1]:
        counts[k] += 1
    else:
        place -= 1
        if not score > scores[k, place]:
            return
    while place > 0 and scores[k, place - 1] < score:
        xy[k, place, 0], xy[k, place, 1] = xy[k, place - 1, 0], xy[k, place - 1, 1]
        scores[k, place] = scores[k, place - 1]
        place -= 1
    xy[k, place, 0], xy[k, place, 1], scores[k, place] = x, y, score


@jit
def _is_seed(ranking: Any, k: Any, row: Any, col: Any) -> Any:
    """Return whether a cell is finite, no finite neighbour exceeds it, and a neighbour differs from it.

    So all border cells of a plateau are seeds, and its inner cells are not. The offsets of these seeds lead to the same
    keypoint. The first one that is used suppresses the others.
    """
    value, lower = ranking[k, row, col], False
    if not value < np.inf:
        return False
    for r in range(max(row - 1, 0), min(row + 2, ranking.shape[1])):
        for c in range(max(col - 1, 0), min(col + 2, ranking.shape[2])):
            other = ranking[k, r, c]
            if value < other < np.inf:
                return False
            lower |= value != other
    return lower
