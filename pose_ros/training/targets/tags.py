"""Find the cells where the tags of each person are read.

References:
    Newell et al., Associative Embedding, arXiv:1611.05424, section 3.2: tag values have no target. They only have
    to agree at the keypoints of a person and differ between people.
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, IntArray
from pose_ros.training.targets.grid import GridLabels

Cells = IntArray


def tag_cells(labels: GridLabels, most_people: int) -> Cells:
    """Find the cell nearest to each labelled keypoint, as ``row * columns + column``.

    Args:
        labels: Labels on the grid.
        most_people: Rows of the result. If there are more people, those with the most keypoints are used.

    Returns:
        (most_people, K). -1 for keypoints that are not labelled or outside the map, and for rows without a person.
    """
    return _select_people(_cells(labels, np.floor(labels.keypoints_xy + 0.5)), most_people)


def tag_cells_around(labels: GridLabels, most_people: int) -> Cells:
    """Find the four cells around each labelled keypoint. The peak where a tag is read can be in any of them.

    Returns:
        (most_people, K, 4), otherwise like ``tag_cells``.
    """
    corners = [np.floor(labels.keypoints_xy) + np.array([x, y]) for y in (0, 1) for x in (0, 1)]
    return _select_people(np.stack([_cells(labels, corner) for corner in corners], axis=2), most_people)


def _cells(labels: GridLabels, xy: AnyArray) -> Cells:
    """Convert integer x and y to cells (N, K). -1 if the keypoint is not labelled or the cell is outside the map."""
    rows, cols = labels.shape_hw
    x, y = np.moveaxis(xy, 2, 0)
    inside = labels.labelled & (x >= 0) & (x < cols) & (y >= 0) & (y < rows)
    cells: Cells = np.where(inside, y * cols + x, -1).astype(np.int32)
    return cells


def _select_people(cells: Cells, most_people: int) -> Cells:
    """Select the rows of the people with the most keypoints, in their order. The rest is filled with -1."""
    present = cells >= 0 if cells.ndim == 2 else (cells >= 0).any(axis=2)
    counts = present.sum(axis=1)
    best = np.argsort(-counts, kind="stable")[:most_people]
    chosen = np.sort(best[counts[best] > 0])
    result = np.full((most_people, *cells.shape[1:]), -1, np.int32)
    result[: len(chosen)] = cells[chosen]
    return result
