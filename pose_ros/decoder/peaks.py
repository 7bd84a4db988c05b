"""Find peaks: local maxima of heatmaps at field resolution, refined to a fraction of a cell.

A peak is a cell above the threshold that none of its 8 neighbours exceeds. Equal neighbours form a plateau. A plateau
has exactly one peak, at its centre, or none if it touches a higher cell. NaN and Inf are never peaks, and count as
lower than everything. The M strongest peaks of a channel are kept, or fewer by ``limit_peaks``. Equal peaks are in
raster order.

References:
    Cao et al., OpenPose, arXiv:1812.08008, section 3.2 (non-maximum suppression on the confidence maps).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pose_ros.arrays import FloatArray, LongArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder import choose_method
from pose_ros.decoder.highest_cells import (
    SINGLE,
    find_highest,
    has_equal,
    is_highest,
    list_rows,
    make_row_buffers,
)
from pose_ros.decoder.jit import COMPILED, jit, jit_inline
from pose_ros.decoder.limits import limit_peaks
from pose_ros.decoder.subpixel import DEFAULT, Refinement, read_offsets, refine_peaks
from pose_ros.fields import Fields, heatmap_array


@dataclass(frozen=True)
class Peaks:
    """Peaks of K heatmaps, the strongest first. Rows from ``counts[k]`` on are unused.

    Attributes:
        xy: (K, M, 2) float32 column and row, in cells.
        scores: (K, M) float32 heatmap values, at most 1.
        counts: (K,) int64 number of peaks of each channel.
    """

    xy: FloatArray
    scores: FloatArray
    counts: LongArray


def find_keypoint_peaks(
    fields: Fields, keypoint_count: int, config: DecoderConfig, max_peaks: int | None = None
) -> tuple[FloatArray, Peaks]:
    """Find the peaks of all keypoints, as every grouping does.

    Args:
        fields: ``heatmaps``, and ``heatmap_offsets`` for the refinement by offsets.
        keypoint_count: Number of keypoints K.
        config: Threshold, refinement and number of peaks.
        max_peaks: Most peaks per keypoint. None = that of the settings.

    Returns:
        The heatmaps (K, H, W) as float32, and their peaks.

    Raises:
        ValueError: If a field is missing or of the wrong shape.
    """
    heatmaps = heatmap_array(fields.heatmaps, keypoint_count)
    peaks = find_peaks(
        heatmaps,
        config.score_threshold,
        max_peaks or config.most_peaks,
        make_refinement(fields, heatmaps, config),
    )
    return heatmaps, peaks


def make_refinement(fields: Fields, heatmaps: FloatArray, config: DecoderConfig) -> Refinement:
    """Make the refinement that the settings select for the fields of an image.

    Raises:
        ValueError: If the settings select offsets, and these are missing or of the wrong shape.
    """
    method = choose_method(config.subpixel, fields.heatmap_offsets is not None)
    offsets = read_offsets(fields.heatmap_offsets, heatmaps) if method == "offsets" else None
    return Refinement(method, config.dark_kernel, offsets)


def find_peaks(heatmaps: FloatArray, threshold: float, max_peaks: int, refinement: Refinement = DEFAULT) -> Peaks:
    """Find the peaks of all channels.

    Args:
        heatmaps: (K, H, W) C-contiguous float32. Not modified.
        threshold: Threshold, not negative. A peak is strictly above it.
        max_peaks: Most peaks per channel (M).
        refinement: Refinement of the positions.
    """
    channels = len(heatmaps)
    xy = np.zeros((channels, max_peaks, 2), np.float32)
    scores = np.zeros((channels, max_peaks), np.float32)
    counts = np.zeros(channels, np.int64)
    scan = _scan if COMPILED else _scan_numpy
    scan(heatmaps, np.float32(threshold), xy, scores, counts)
    most = limit_peaks(counts)
    if most < counts.max(initial=0):
        counts, scores[:, most:] = np.minimum(counts, most), 0
    refine_peaks(heatmaps, xy, scores, counts, refinement)
    return Peaks(xy, scores, counts)


@jit
def _scan(heatmaps: Any, threshold: Any, xy: Any, scores: Any, counts: Any) -> None:
    """Store the peaks of all channels."""
    channels, rows, cols = heatmaps.shape
    bits, found = heatmaps.view(np.int32), np.empty(rows, np.int64)
    threshold_bits, (marks, words, columns) = np.float32(threshold).view(np.int32), make_row_buffers(cols)
    seen, stack = _make_plateau_buffers(0, 0)
    for k in range(channels):
        count, finite = list_rows(bits, k, threshold_bits, found)
        for row in found[:count]:
            for n in range(find_highest(heatmaps, bits, k, row, threshold, finite, marks, words, columns)):
                if marks[columns[n]] == SINGLE:
                    _store_single(heatmaps, k, row, columns[n], xy, scores, counts)
                    continue
                if len(seen) == 0:
                    seen, stack = _make_plateau_buffers(rows, cols)
                _store_plateau(heatmaps, k, row, columns[n], seen, stack, xy, scores, counts)


@jit_inline
def _make_plateau_buffers(rows: Any, cols: Any) -> Any:
    """Return the buffers ``seen`` and ``stack`` of ``_store_plateau``. Few images need them."""
    return np.zeros((rows, cols), np.int64), np.empty((rows * cols, 2), np.int64)


def _highest_cells(heatmaps: Any, threshold: Any) -> Any:
    """Return (P, 3) channel, row and column of the finite cells above the threshold that no neighbour exceeds."""
    k, row, col = np.nonzero((heatmaps > threshold) & (heatmaps < np.inf))
    value, highest = heatmaps[k, row, col], np.ones(len(k), np.bool_)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            r, c = np.clip(row + dy, 0, heatmaps.shape[1] - 1), np.clip(col + dx, 0, heatmaps.shape[2] - 1)
            neighbour = heatmaps[k, r, c]
            highest &= ~((value < neighbour) & (neighbour < np.inf))
    return np.stack([k, row, col], axis=1)[highest]


def _scan_numpy(heatmaps: Any, threshold: Any, xy: Any, scores: Any, counts: Any) -> None:
    """Do the same as ``_scan``, without a compiler: whole-array comparisons first."""
    seen, stack = _make_plateau_buffers(*heatmaps.shape[1:])
    for k, row, col in _highest_cells(heatmaps, threshold):
        if has_equal(heatmaps, k, row, col):
            _store_plateau(heatmaps, k, row, col, seen, stack, xy, scores, counts)
        else:
            _store_single(heatmaps, k, row, col, xy, scores, counts)


@jit_inline
def _store_single(heatmaps: Any, k: Any, row: Any, col: Any, xy: Any, scores: Any, counts: Any) -> None:
    """Store the peak at a highest cell without an equal neighbour."""
    insert(k, np.float64(col), np.float64(row), min(heatmaps[k, row, col], np.float32(1)), xy, scores, counts)


@jit_inline
def _store_plateau(
    heatmaps: Any, k: Any, row: Any, col: Any, seen: Any, stack: Any, xy: Any, scores: Any, counts: Any
) -> None:
    """Store the peak of the plateau around a highest cell, once, unless any of its cells has a higher neighbour.

    This is a flood fill. ``seen`` marks the found cells with k + 1. ``stack`` (cells, 2) lists the cells to visit.
    """
    if seen[row, col] == k + 1:
        return
    value, waiting, whole, cells, x, y = heatmaps[k, row, col], 1, True, 0, 0.0, 0.0
    stack[0, 0], stack[0, 1], seen[row, col] = row, col, k + 1
    while waiting > 0:
        waiting -= 1
        r0, c0 = stack[waiting, 0], stack[waiting, 1]
        whole &= is_highest(heatmaps, k, r0, c0)
        cells, x, y = cells + 1, x + c0, y + r0
        for r in range(max(r0 - 1, 0), min(r0 + 2, heatmaps.shape[1])):
            for c in range(max(c0 - 1, 0), min(c0 + 2, heatmaps.shape[2])):
                if heatmaps[k, r, c] == value and seen[r, c] != k + 1:
                    stack[waiting, 0], stack[waiting, 1], seen[r, c] = r, c, k + 1
                    waiting += 1
    if whole:
        insert(k, x / cells, y / cells, min(value, np.float32(1)), xy, scores, counts)


@jit_inline
def insert(k: Any, x: Any, y: Any, score: Any, xy: Any, scores: Any, counts: Any) -> None:
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
