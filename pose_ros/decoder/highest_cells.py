"""Find the cells of a heatmap that are above a threshold and that none of their 8 neighbours exceeds.

The heatmap is read twice: once for the maximum of each row, then only the rows with a cell above the threshold, which
are compared with the rows above and below. Both loops compare integers in vectors: non-negative floats have the same
order as their bits. The second loop compares only the 4 nearest neighbours. The few cells that remain are compared with
all 8. NaN and Inf are never highest and exceed no cell. A channel with such a value is compared cell by cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.decoder.jit import jit, jit_inline

INFINITE = np.float32(np.inf).view(np.int32)
"""Bits of Inf. Those of positive NaNs are higher, and those of all negative values are negative."""
TIED, SINGLE = 1, 2
"""Marks of highest cells with and without an equal neighbour."""
_CANDIDATE = 3
"""Mark of cells that no neighbour beside, above or below exceeds."""
_WORD = 8


@jit_inline
def make_row_buffers(cols: Any) -> Any:
    """Return the buffers of ``find_highest`` for rows of a length: marks, the same as words, and columns."""
    marks = np.zeros((cols + _WORD - 1) // _WORD * _WORD, np.uint8)
    return marks, marks.view(np.uint64), np.empty(cols, np.int64)


@jit_inline
def row_maximum(bits: Any, k: Any, row: Any) -> Any:
    """Return the bits of the highest float32 value of a row, or the bits of 0 if 0 is higher."""
    highest = np.int32(0)
    for col in range(bits.shape[2]):
        highest = max(highest, bits[k, row, col])
    return highest


@jit_inline
def list_rows(bits: Any, k: Any, threshold: Any, found: Any) -> Any:
    """List the rows of channel k with a cell above a threshold.

    Args:
        bits: (K, H, W) bits of the heatmaps.
        k: Channel.
        threshold: Bits of the threshold.
        found: (H,) filled with the rows, in order.

    Returns:
        The number of rows, and whether all positive values are finite.
    """
    highest, count = np.int32(0), 0
    for row in range(bits.shape[1]):
        maximum = row_maximum(bits, k, row)
        highest = max(highest, maximum)
        found[count] = row  # overwritten by the next row unless it counts: faster than a branch
        count += maximum > threshold
    return count, highest < INFINITE


@jit_inline
def find_highest(
    heatmaps: Any, bits: Any, k: Any, row: Any, threshold: Any, finite: Any, marks: Any, words: Any, columns: Any
) -> Any:
    """List the columns of the highest cells of a row.

    Args:
        heatmaps: (K, H, W) float32.
        bits: The same memory as int32.
        k: Channel.
        row: Row.
        threshold: Threshold, not negative.
        finite: Whether all positive values of the channel are finite.
        marks: (W,) uint8, padded to whole words. Filled: SINGLE, TIED or 0.
        words: The same memory as uint64.
        columns: (W,) filled with the columns, in order.

    Returns:
        The number of columns.
    """
    _, rows, cols = heatmaps.shape
    above, below = (row - 1 if row > 0 else 1), (row + 1 if row + 1 < rows else row - 1)  # at a border: the other row
    inner = 1
    if finite and rows > 1 and cols > 2:
        _mark_candidates(bits, k, above, row, below, np.float32(threshold).view(np.int32), marks)
        inner = cols - 1
    marks[0] = _mark(heatmaps, k, row, 0, threshold)
    for col in range(inner, cols):
        marks[col] = _mark(heatmaps, k, row, col, threshold)
    return _list_marks(bits, k, above, row, below, marks, words, columns)


@jit_inline
def _mark_candidates(bits: Any, k: Any, above: Any, row: Any, below: Any, threshold: Any, marks: Any) -> None:
    """Mark the candidates of a row, except in its first and last column."""
    for col in range(1, bits.shape[2] - 1):
        beside = max(bits[k, row, col - 1], bits[k, row, col + 1])
        highest = max(beside, bits[k, above, col], bits[k, below, col], np.int32(threshold + 1))
        marks[col] = np.uint8(bits[k, row, col] >= highest) * np.uint8(_CANDIDATE)


@jit_inline
def _list_marks(bits: Any, k: Any, above: Any, row: Any, below: Any, marks: Any, words: Any, columns: Any) -> Any:
    """List the highest cells of the marked columns, and return their number. Eight columns without a mark: one step."""
    count = 0
    for word in range(len(words)):
        if words[word] != 0:
            for col in range(_WORD * word, _WORD * word + _WORD):
                if marks[col] == _CANDIDATE:
                    marks[col] = _compare_all(bits, k, above, row, below, col)
                if marks[col] != 0:
                    columns[count] = col
                    count += 1
    return count


@jit_inline
def _compare_all(bits: Any, k: Any, above: Any, row: Any, below: Any, col: Any) -> Any:
    """Compare a candidate with its 8 neighbours. Return SINGLE, TIED or, if one exceeds it, 0."""
    over = max(bits[k, above, col - 1], bits[k, above, col + 1], bits[k, above, col])
    under = max(bits[k, below, col - 1], bits[k, below, col + 1], bits[k, below, col])
    value, highest = bits[k, row, col], max(over, under, bits[k, row, col - 1], bits[k, row, col + 1])
    return np.uint8(value >= highest) + np.uint8(value > highest)


@jit_inline
def _mark(heatmaps: Any, k: Any, row: Any, col: Any, threshold: Any) -> Any:
    """Return the mark of a cell anywhere, with any neighbours."""
    if not (heatmaps[k, row, col] > threshold and is_highest(heatmaps, k, row, col)):
        return 0
    return TIED if has_equal(heatmaps, k, row, col) else SINGLE


@jit
def is_highest(heatmaps: Any, k: Any, row: Any, col: Any) -> Any:
    """Return whether a cell is finite and no finite neighbour exceeds it."""
    value = heatmaps[k, row, col]
    if not value < np.inf:
        return False
    for r in range(max(row - 1, 0), min(row + 2, heatmaps.shape[1])):
        for c in range(max(col - 1, 0), min(col + 2, heatmaps.shape[2])):
            if value < heatmaps[k, r, c] < np.inf:
                return False
    return True


@jit
def has_equal(heatmaps: Any, k: Any, row: Any, col: Any) -> Any:
    """Return whether a cell has a neighbour of the same value, and so belongs to a plateau."""
    equal = 0
    for r in range(max(row - 1, 0), min(row + 2, heatmaps.shape[1])):
        for c in range(max(col - 1, 0), min(col + 2, heatmaps.shape[2])):
            equal += heatmaps[k, r, c] == heatmaps[k, row, col]
    return equal > 1
