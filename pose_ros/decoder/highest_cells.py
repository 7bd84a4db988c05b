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
"""Kinds of highest cells: with and without an equal neighbour."""
_WORD = 8


@jit_inline
def make_buffers(rows: Any, cols: Any, room: Any) -> Any:
    """Return the buffers of ``list_rows`` and ``find_highest``, with room for a number of cells."""
    marks = np.zeros((cols + _WORD - 1) // _WORD * _WORD, np.uint8)
    cells, kinds = np.empty((3, room + 1), np.float32), np.empty(room + 1, np.uint8)
    return np.empty(rows, np.int64), marks, marks.view(np.uint64), cells, kinds


@jit_inline
def row_maximum(bits: Any, k: Any, row: Any) -> Any:
    """Return the bits of the highest float32 value of a row, or the bits of 0 if 0 is higher."""
    highest = np.int32(0)
    for col in range(bits.shape[2]):
        highest = max(highest, bits[k, row, col])
    return highest


@jit_inline
def bits_above(threshold: Any) -> Any:
    """Return the lowest bits of a float32 above a threshold that is not negative. Call it once: it takes 25 ns."""
    return np.int32(np.float32(threshold).view(np.int32) + 1)


@jit_inline
def list_rows(bits: Any, k: Any, least: Any, found: Any) -> Any:
    """List the rows of channel k with a cell above a threshold.

    Args:
        bits: (K, H, W) bits of the heatmaps.
        k: Channel.
        least: Lowest bits of a cell above the threshold, from ``bits_above``.
        found: (H,) filled with the rows, in order.

    Returns:
        The number of rows, and whether all positive values are finite.
    """
    highest, count = np.int32(0), 0
    for row in range(bits.shape[1]):
        maximum = row_maximum(bits, k, row)
        highest = max(highest, maximum)
        found[count] = row  # overwritten by the next row unless it counts: faster than a branch
        count += maximum >= least
    return count, highest < INFINITE


@jit
def find_highest(
    heatmaps: Any,
    bits: Any,
    k: Any,
    least: Any,
    finite: Any,
    rows_above: Any,
    place: Any,
    marks: Any,
    words: Any,
    cells: Any,
    kinds: Any,
    count: Any,
) -> Any:
    """List the highest cells of the next rows of channel k, as long as there is room for a whole row.

    One call is for many rows, because each call counts references to all arrays.

    Args:
        heatmaps: (K, H, W) float32.
        bits: The same memory as int32.
        k: Channel.
        least: Lowest bits of a cell above the threshold, from ``bits_above``.
        finite: Whether all positive values of the channel are finite.
        rows_above: Rows with a cell above the threshold.
        place: Index of the next of these rows.
        marks: (W,) uint8, padded to whole words: a buffer.
        words: The same memory as uint64.
        cells: (3, room + 1) columns, rows and values of the cells found so far. The next ones follow, in raster order.
        kinds: (room + 1,) the same: whether each cell is SINGLE or TIED.
        count: Number of cells found so far.

    Returns:
        The index of the next row, the new number of cells, and how many of the new ones are tied.
    """
    _, rows, cols = heatmaps.shape
    in_vectors, old, room = finite and rows > 1 and cols > 2, count, len(kinds) - 1
    left, right = np.int64(0), cols - 1  # a bare 0 would compile _list_any twice
    while place < len(rows_above) and count + cols <= room:
        row = rows_above[place]
        place += 1
        if not in_vectors:
            count = _list_any(heatmaps, bits, k, row, left, cols, least, cells, kinds, count)
            continue
        above, below = row - 1 if row > 0 else 1, row + 1 if row + 1 < rows else row - 1  # at a border: the other row
        _mark_candidates(bits, k, above, row, below, least, marks)
        if bits[k, row, left] >= least:
            count = _list_any(heatmaps, bits, k, row, left, left + 1, least, cells, kinds, count)
        count = _list_candidates(heatmaps, bits, k, above, row, below, marks, words, cells, kinds, count)
        if bits[k, row, right] >= least:
            count = _list_any(heatmaps, bits, k, row, right, cols, least, cells, kinds, count)
    tied = 0
    for n in range(old, count):
        tied += kinds[n] == TIED
    return place, count, tied


@jit_inline
def _mark_candidates(bits: Any, k: Any, above: Any, row: Any, below: Any, least: Any, marks: Any) -> None:
    """Mark the candidates of a row, except in its first and last column."""
    for col in range(1, bits.shape[2] - 1):
        beside = max(bits[k, row, col - 1], bits[k, row, col + 1])
        highest = max(beside, bits[k, above, col], bits[k, below, col], least)
        marks[col] = np.uint8(bits[k, row, col] >= highest)


@jit_inline
def _list_candidates(
    heatmaps: Any,
    bits: Any,
    k: Any,
    above: Any,
    row: Any,
    below: Any,
    marks: Any,
    words: Any,
    cells: Any,
    kinds: Any,
    count: Any,
) -> Any:
    """Append the highest cells among the candidates. Return the new number. Eight columns without one: one step."""
    for word in range(len(words)):
        if words[word] != 0:
            for col in range(_WORD * word, _WORD * word + _WORD):
                if marks[col] != 0:
                    # Overwritten by the next cell unless it counts: faster than a branch
                    cells[0, count], cells[1, count], cells[2, count] = col, row, heatmaps[k, row, col]
                    kinds[count] = _compare_all(bits, k, above, row, below, col)
                    count += kinds[count] != 0
    return count


@jit_inline
def _compare_all(bits: Any, k: Any, above: Any, row: Any, below: Any, col: Any) -> Any:
    """Compare a candidate with its 8 neighbours. Return SINGLE, TIED or, if one exceeds it, 0."""
    over = max(bits[k, above, col - 1], bits[k, above, col + 1], bits[k, above, col])
    under = max(bits[k, below, col - 1], bits[k, below, col + 1], bits[k, below, col])
    value, highest = bits[k, row, col], max(over, under, bits[k, row, col - 1], bits[k, row, col + 1])
    return np.uint8(value >= highest) + np.uint8(value > highest)


@jit
def _list_any(
    heatmaps: Any, bits: Any, k: Any, row: Any, first: Any, last: Any, least: Any, cells: Any, kinds: Any, count: Any
) -> Any:
    """Append the highest cells of any columns, with any neighbours. Return the new number."""
    for col in range(first, last):
        if bits[k, row, col] >= least and is_highest(heatmaps, k, row, col):
            cells[0, count], cells[1, count], cells[2, count] = col, row, heatmaps[k, row, col]
            kinds[count] = TIED if has_equal(heatmaps, k, row, col) else SINGLE
            count += 1
    return count


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
