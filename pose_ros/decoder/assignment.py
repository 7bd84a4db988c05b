"""Solve the assignment problem: assign one column to each row, with the lowest sum of costs.

Rows are added one by one. Each row takes the cheapest path to a free column. The path may move earlier rows to other
columns. Prices of rows and columns keep the reduced costs, cost - row price - column price, at or above zero.

References:
    Kuhn, The Hungarian Method for the Assignment Problem, 1955.
    Jonker, Volgenant, A Shortest Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems, 1987.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.decoder.jit import jit


@jit
def assign(costs: Any) -> Any:
    """Return the column (R,) of each row.

    Args:
        costs: (R, C) float64, R <= C, finite. Not modified.
    """
    rows, cols = costs.shape
    row_prices, col_prices = np.zeros(rows), np.zeros(cols)
    row_of, col_of = np.full(cols, -1, np.int64), np.full(rows, -1, np.int64)
    lengths, previous, visited = np.empty(cols), np.empty(cols, np.int64), np.empty(cols, np.bool_)
    for row in range(rows):
        end = _shortest_path(costs, row, row_prices, col_prices, row_of, lengths, previous, visited)
        _raise_prices(row, end, row_prices, col_prices, row_of, lengths, visited)
        _apply_path(row, end, row_of, col_of, previous)
    return col_of


@jit
def _shortest_path(
    costs: Any, row: Any, row_prices: Any, col_prices: Any, row_of: Any, lengths: Any, previous: Any, visited: Any
) -> Any:
    """Search the path from a row to the nearest free column with Dijkstra's algorithm. Return the column.

    Of equally near columns, a free one comes first. For each column, the search fills the length of the path, the row
    before it, and whether the search visited it.
    """
    for col in range(len(lengths)):
        lengths[col], visited[col] = np.inf, False
    length = 0.0
    while True:
        nearest, shortest, base = -1, np.inf, length - row_prices[row]
        for col in range(len(lengths)):
            if not visited[col]:
                through = base + costs[row, col] - col_prices[col]
                if through < lengths[col]:
                    lengths[col], previous[col] = through, row
                if lengths[col] < shortest or (lengths[col] == shortest and row_of[col] < 0 <= row_of[nearest]):
                    nearest, shortest = col, lengths[col]
        visited[nearest], length = True, shortest
        if row_of[nearest] < 0:
            return nearest
        row = row_of[nearest]


@jit
def _raise_prices(
    row: Any, end: Any, row_prices: Any, col_prices: Any, row_of: Any, lengths: Any, visited: Any
) -> None:
    """Make every reduced cost on the path zero, and no reduced cost negative."""
    row_prices[row] += lengths[end]
    for col in range(len(lengths)):
        if visited[col] and col != end:
            rise = lengths[end] - lengths[col]
            row_prices[row_of[col]] += rise
            col_prices[col] -= rise


@jit
def _apply_path(row: Any, end: Any, row_of: Any, col_of: Any, previous: Any) -> None:
    """Move each row on the path to the next column of the path, from the free end back to the new row."""
    col = end
    while True:
        mover = previous[col]
        left = col_of[mover]
        row_of[col], col_of[mover] = mover, col
        if mover == row:
            return
        col = left
