"""Snap the keypoints that a person's centre predicts to their heatmaps.

    nearest    to the nearest peak, if it is near enough and inside the person's box
    weighted   to the cell of the person's box where the heatmap times a Gaussian around the keypoint is largest;
               MoveNet's rule: all people have the same Gaussian
    scaled     the same with a Gaussian as wide as the person is large, and a box that also contains the keypoints

References:
    Zhou et al., Objects as Points, arXiv:1904.07850, "Human pose estimation" (nearest).
    Votel and Li, Next-Generation Pose Detection with MoveNet and TensorFlow.js, 2021 (weighted).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray, LongArray
from pose_ros.decoder.jit import COMPILED, jit
from pose_ros.decoder.limits import MAX_SEARCHED_CELLS
from pose_ros.decoder.peaks import Peaks

VARIANCE = 0.15
"""weighted: variance of the Gaussian, cells², per cell of the shorter side of the map."""
WIDTH = 0.12
"""scaled: standard deviation of the Gaussian, relative to the longer side of the person's box."""
REACH = 0.15
"""scaled: margin around the predicted keypoints, relative to the longer side of their extent."""


def find_nearest_peaks(
    points: AnyArray, peaks: Peaks, boxes: AnyArray, keypoints: AnyArray, distance: float
) -> tuple[AnyArray, FloatArray]:
    """Find the peak that each keypoint snaps to.

    Args:
        points: (K, M, 2) positions of the peaks, cells.
        peaks: The peaks.
        boxes: (N, 4) x_min, y_min, x_max, y_max of the people, cells.
        keypoints: (N, K, 2) predicted keypoints, cells. NaN = absent.
        distance: Longest snap, relative to the longer side of the box.

    Returns:
        The positions (N, K, 2), and the values (N, K) of the peaks. Value 0 = no peak.
    """
    if len(keypoints) == 0 or peaks.counts.max() == 0:
        return keypoints, np.zeros(keypoints.shape[:2], np.float32)
    arrays = np.ascontiguousarray(keypoints), np.ascontiguousarray(points)  # numba compiles for each layout
    nearest = (_nearest_peaks if COMPILED else _nearest_peaks_numpy)(*arrays, peaks.counts)
    columns = np.arange(len(points))
    targets = points[columns, nearest]
    # Only the nearest peak is used. If it is outside the box, the next one may belong to another person.
    inside = ((boxes[:, None, :2] <= targets) & (targets <= boxes[:, None, 2:])).all(axis=2)
    reach = distance * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True)
    usable = (nearest >= 0) & inside & (np.hypot(*np.moveaxis(targets - keypoints, 2, 0)) <= reach)
    return targets, np.where(usable, peaks.scores[columns, nearest], np.float32(0))


def find_best_cells(
    heatmaps: FloatArray, boxes: AnyArray, keypoints: AnyArray, is_scaled: bool
) -> tuple[LongArray, FloatArray]:
    """Find the cell with the largest product of the heatmap and exp(-d² / (2 v)) in the box of each person.

    d is the distance to the predicted keypoint. v is VARIANCE min(H, W), or (WIDTH L)² with the longer side L of the
    box. The first people search first, up to MAX_SEARCHED_CELLS.

    Args:
        heatmaps: (K, H, W) float32. Higher values than 1 count as 1. Values that are not finite are skipped.
        boxes: (N, 4) x_min, y_min, x_max, y_max, cells. The cells from the lower bounds on, and below the upper bounds.
        keypoints: (N, K, 2) predicted keypoints, cells. NaN = absent.
        is_scaled: Whether the rule is ``scaled``. False = ``weighted``.

    Returns:
        Column and row of the cells (N, K, 2), and the products (N, K). Product 0 = no cell.
    """
    values = np.zeros(keypoints.shape[:2], np.float32)
    cells = np.zeros(keypoints.shape, np.int64)
    size_wh = np.array(heatmaps.shape[:0:-1])
    variances = np.full(len(boxes), VARIANCE * min(size_wh))
    boxes = np.where(np.isfinite(boxes).all(axis=1, keepdims=True), boxes, 0)
    if is_scaled:
        variances = (WIDTH * (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)) ** 2
        boxes = np.where(variances[:, None] > 0, _add_keypoints(boxes, keypoints), 0)
    windows = np.ceil(np.nan_to_num(boxes)).reshape(-1, 2, 2).clip(0, size_wh).astype(np.int64).reshape(-1, 4)
    areas = len(heatmaps) * (windows[:, 2:] - windows[:, :2]).prod(axis=1)
    windows[np.cumsum(areas) > MAX_SEARCHED_CELLS] = 0
    scales = (-0.5 / np.where(variances > 0, variances, 1)).astype(np.float32)
    find = _best_cells if COMPILED else _best_cells_numpy
    find(heatmaps, windows, np.ascontiguousarray(keypoints, np.float32), scales, cells, values)
    return cells, values


def _add_keypoints(boxes: AnyArray, keypoints: AnyArray) -> AnyArray:
    """Enlarge boxes (N, 4) to contain the keypoints (N, K, 2) with a margin."""
    low, high = np.fmin.reduce(keypoints, axis=1), np.fmax.reduce(keypoints, axis=1)
    margin = REACH * (high - low).max(axis=1, keepdims=True)
    return np.concatenate([np.fmin(boxes[:, :2], low - margin), np.fmax(boxes[:, 2:], high + margin)], axis=1)


@jit
def _best_cells(heatmaps: Any, windows: Any, keypoints: Any, scales: Any, cells: Any, values: Any) -> None:
    """Fill cells and values. A row is skipped if even a heatmap value of 1 could not make it the best."""
    for n in range(len(windows)):
        left, top, right, bottom = windows[n]
        scale = scales[n]
        along_x = np.empty(max(right - left, 0), np.float32)
        for k in range(len(heatmaps)):
            x, y = keypoints[n, k]
            if not (abs(x) < np.inf and abs(y) < np.inf):
                continue
            most = np.float32(0)
            for col in range(left, right):
                along_x[col - left] = np.exp(scale * (col - x) ** 2)
                most = max(most, along_x[col - left])
            best = np.float32(0)
            for row in range(top, bottom):
                along_y = np.exp(scale * (row - y) ** 2)
                if along_y * most <= best:
                    continue
                for col in range(left, right):
                    value = min(heatmaps[k, row, col], np.float32(1)) * along_x[col - left] * along_y
                    if value > best and heatmaps[k, row, col] < np.inf:
                        best, cells[n, k, 0], cells[n, k, 1], values[n, k] = value, col, row, value


def _best_cells_numpy(heatmaps: Any, windows: Any, keypoints: Any, scales: Any, cells: Any, values: Any) -> None:
    """Do the same as ``_best_cells``, without a compiler."""
    finite = np.minimum(np.where(np.isfinite(heatmaps), heatmaps, 0), 1)
    for n, ((left, top, right, bottom), scale) in enumerate(zip(windows, scales, strict=True)):
        for k in np.flatnonzero(np.isfinite(keypoints[n]).all(axis=1)):
            x, y = keypoints[n, k]
            along_x = np.exp(scale * (np.arange(left, right) - x) ** 2)
            along_y = np.exp(scale * (np.arange(top, bottom) - y) ** 2)
            product = finite[k, top:bottom, left:right] * along_x * along_y[:, None]
            if product.size and product.max() > 0:
                row, col = np.unravel_index(product.argmax(), product.shape)
                cells[n, k], values[n, k] = (left + col, top + row), product[row, col]


@jit
def _nearest_peaks(keypoints: Any, points: Any, counts: Any) -> Any:
    """Return the index (N, K) of the peak nearest to each keypoint, the first of equal ones. -1 = no peak."""
    nearest = np.full((keypoints.shape[0], keypoints.shape[1]), -1, np.int64)
    for n in range(keypoints.shape[0]):
        for k in range(keypoints.shape[1]):
            least = np.inf
            for m in range(counts[k]):
                dx, dy = points[k, m, 0] - keypoints[n, k, 0], points[k, m, 1] - keypoints[n, k, 1]
                squared = dx * dx + dy * dy
                if squared < least:
                    least, nearest[n, k] = squared, m
    return nearest


def _nearest_peaks_numpy(keypoints: AnyArray, points: AnyArray, counts: LongArray) -> LongArray:
    """Do the same as ``_nearest_peaks``, without a compiler."""
    squared = ((points - keypoints[:, :, None]) ** 2).sum(axis=3)  # (N, K, M)
    used = (np.arange(points.shape[1]) < counts[:, None]) & (squared < np.inf)
    nearest = np.where(used, squared, np.inf).argmin(axis=2)
    return np.where(used.any(axis=2), nearest, -1)
