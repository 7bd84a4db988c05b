"""Tags: where each person's tags are read.

References:
    Newell et al., Associative Embedding, arXiv:1611.05424, section 3.2: the tags themselves are not taught, only that
    they agree at the keypoints of a person and differ between people.
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, IntArray
from pose_ros.training.targets.grid import GridLabels

Cells = IntArray


def tag_cells(scene: GridLabels, most_people: int) -> Cells:
    """The cell, row times columns plus column, nearest to each labelled keypoint.

    Args:
        scene: The people.
        most_people: Rows of the result; of more people, those of most keypoints are taken.

    Returns:
        (most_people, K), -1 for keypoints that are not labelled or outside of the map, and for rows without person.
    """
    return _of_most_keypoints(_cells(scene, np.floor(scene.keypoints_xy + 0.5)), most_people)


def tag_cells_around(scene: GridLabels, most_people: int) -> Cells:
    """The four cells around each labelled keypoint: the peak, where tags are read, may come to lie in any of them.

    Returns:
        (most_people, K, 4), otherwise as ``tag_cells``.
    """
    corners = [np.floor(scene.keypoints_xy) + np.array([x, y]) for y in (0, 1) for x in (0, 1)]
    return _of_most_keypoints(np.stack([_cells(scene, corner) for corner in corners], axis=2), most_people)


def _cells(scene: GridLabels, xy: AnyArray) -> Cells:
    """(N, K) the cells at whole x and y, -1 where a keypoint is not labelled or the cell is outside of the map."""
    rows, cols = scene.shape_hw
    x, y = np.moveaxis(xy, 2, 0)
    inside = scene.labelled & (x >= 0) & (x < cols) & (y >= 0) & (y < rows)
    cells: Cells = np.where(inside, y * cols + x, -1).astype(np.int32)
    return cells


def _of_most_keypoints(cells: Cells, most_people: int) -> Cells:
    """The rows of the people with most keypoints, in their order, filled up with -1."""
    present = cells >= 0 if cells.ndim == 2 else (cells >= 0).any(axis=2)
    counts = present.sum(axis=1)
    best = np.argsort(-counts, kind="stable")[:most_people]
    chosen = np.sort(best[counts[best] > 0])
    result = np.full((most_people, *cells.shape[1:]), -1, np.int32)
    result[: len(chosen)] = cells[chosen]
    return result
