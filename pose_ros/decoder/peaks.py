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
    TIED,
    bits_above,
    find_highest,
    has_equal,
    list_rows,
    make_buffers,
)
from pose_ros.decoder.jit import COMPILED, jit, jit_inline
from pose_ros.decoder.limits import MEAN_PEAKS, limit_peaks
from pose_ros.decoder.matching import sort_descending
from pose_ros.decoder.subpixel import DEFAULT, Refinement, read_offsets, refine_peaks, refine_quadratic
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
    scan(heatmaps, np.float32(threshold), refinement.method == "quadratic", xy, scores, counts)
    if max(counts.tolist(), default=0) > MEAN_PEAKS:
        most = limit_peaks(counts)
        counts, scores[:, most:] = np.minimum(counts, most), 0
    if refinement.method != "quadratic":
        refine_peaks(heatmaps, xy, scores, counts, refinement)
    return Peaks(xy, scores, counts)


@jit
def _scan(heatmaps: Any, threshold: Any, quadratic: Any, xy: Any, scores: Any, counts: Any) -> None:
    """Store the peaks of all channels, refined by parabolas if asked: the cells of a channel are in the cache then.

    Whenever twice as many peaks as a channel keeps have gathered, the weaker half is dropped. So the time is in
    proportion to the number of peaks, times the logarithm of the number that is kept.
    """
    channels, rows, cols = heatmaps.shape
    bits, least, most = heatmaps.view(np.int32), bits_above(threshold), scores.shape[1]
    row_buffer, marks, words, cells, kinds = make_buffers(rows, cols, 2 * most + cols)
    seen, stack = _make_plateau_buffers(0, 0)
    for k in range(channels):
        row_count, finite = list_rows(bits, k, least, row_buffer)
        rows_above, weakest, searching = row_buffer[:row_count], np.float32(0), True
        place, count = np.int64(0), np.int64(0)  # a bare 0 would compile find_highest twice
        while searching:
            old = count
            place, count, tied = find_highest(
                heatmaps, bits, k, least, finite, rows_above, place, marks, words, cells, kinds, count
            )
            if tied > 0:
                if len(seen) == 0:
                    seen, stack = _make_plateau_buffers(rows, cols)
                count = _find_centres(heatmaps, k, cells, kinds, old, count, seen, stack)
            if weakest > 0:
                count = _drop_weak(cells, old, count, weakest)
            searching = place < row_count
            if count > 2 * most or not searching:
                count = _sort_strongest(cells, count, k, xy, scores)
                weakest = cells[2, max(count - 1, 0)]
        counts[k] = count
        if quadratic:
            refine_quadratic(heatmaps, k, xy, scores, counts)


@jit_inline
def _drop_weak(cells: Any, old: Any, count: Any, weakest: Any) -> Any:
    """Drop the cells from index ``old`` on that do not exceed a value. Return the new number of cells."""
    kept = old
    for n in range(old, count):
        cells[0, kept], cells[1, kept], cells[2, kept] = cells[0, n], cells[1, n], cells[2, n]
        kept += cells[2, n] > weakest
    return kept


@jit_inline
def _sort_strongest(cells: Any, count: Any, k: Any, xy: Any, scores: Any) -> Any:
    """Store the strongest of some peaks of channel k in order, also in ``cells``. Return how many they are."""
    kept = min(count, scores.shape[1])
    for n in range(count):
        cells[2, n] = min(cells[2, n], np.float32(1))
    order = sort_descending(cells[2, :count])
    for m in range(kept):
        xy[k, m, 0], xy[k, m, 1], scores[k, m] = cells[0, order[m]], cells[1, order[m]], cells[2, order[m]]
    for m in range(kept):
        cells[0, m], cells[1, m], cells[2, m] = xy[k, m, 0], xy[k, m, 1], scores[k, m]
    return kept


@jit_inline
def _find_centres(heatmaps: Any, k: Any, cells: Any, kinds: Any, old: Any, count: Any, seen: Any, stack: Any) -> Any:
    """Replace the tied cells from index ``old`` on by the centres of their plateaus. Return the new number of cells."""
    kept = old
    for n in range(old, count):
        whole, x, y = True, np.float64(cells[0, n]), np.float64(cells[1, n])
        if kinds[n] == TIED:
            whole, x, y = _find_centre(heatmaps, k, int(y), int(x), seen, stack)
        cells[0, kept], cells[1, kept], cells[2, kept] = x, y, cells[2, n]
        kept += whole
    return kept


@jit_inline
def _make_plateau_buffers(rows: Any, cols: Any) -> Any:
    """Return the buffers ``seen`` and ``stack`` of ``_find_centre``. Few images need them."""
    return np.zeros((rows, cols), np.int64), np.empty((rows * cols, 2), np.int64)


@jit_inline
def _find_centre(heatmaps: Any, k: Any, row: Any, col: Any, seen: Any, stack: Any) -> Any:
    """Return whether the plateau around a highest cell is a peak, and its centre.

    It is a peak if none of its cells has a higher neighbour, and only the first time. This is a flood fill. ``seen``
    marks the found cells with k + 1. ``stack`` (cells, 2) lists the cells to visit.
    """
    value, waiting, whole, cells, x, y = heatmaps[k, row, col], 0, seen[row, col] != k + 1, 0, 0.0, 0.0
    if whole:
        stack[0, 0], stack[0, 1], seen[row, col], waiting = row, col, k + 1, 1
    while waiting > 0:
        waiting -= 1
        r0, c0 = stack[waiting, 0], stack[waiting, 1]
        cells, x, y = cells + 1, x + c0, y + r0
        for r in range(max(r0 - 1, 0), min(r0 + 2, heatmaps.shape[1])):
            for c in range(max(c0 - 1, 0), min(c0 + 2, heatmaps.shape[2])):
                whole &= not value < heatmaps[k, r, c] < np.inf
                if heatmaps[k, r, c] == value and seen[r, c] != k + 1:
                    stack[waiting, 0], stack[waiting, 1], seen[r, c] = r, c, k + 1
                    waiting += 1
    return whole, x / max(cells, 1), y / max(cells, 1)


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


def _scan_numpy(heatmaps: Any, threshold: Any, quadratic: Any, xy: Any, scores: Any, counts: Any) -> None:
    """Do the same as ``_scan``, without a compiler: whole-array comparisons first."""
    seen, stack = _make_plateau_buffers(*heatmaps.shape[1:])
    found: list[list[tuple[Any, ...]]] = [[] for _ in heatmaps]
    for k, row, col in _highest_cells(heatmaps, threshold):
        whole, x, y = True, col, row
        if has_equal(heatmaps, k, row, col):
            whole, x, y = _find_centre(heatmaps, k, row, col, seen, stack)
        if whole:
            found[k].append((x, y, min(heatmaps[k, row, col], np.float32(1))))
    for k, peaks in enumerate(found):
        counts[k] = min(len(peaks), scores.shape[1])
        strongest = np.array(sorted(peaks, key=lambda peak: -peak[2])[: counts[k]]).reshape(-1, 3)
        xy[k, : counts[k]], scores[k, : counts[k]] = strongest[:, :2], strongest[:, 2]
        if quadratic:
            refine_quadratic(heatmaps, k, xy, scores, counts)
