"""Tags: where each person's tags are read.

References:
    Newell et al., Associative Embedding, arXiv:1611.05424, section 3.2: the tags themselves are not taught, only that
    they agree at the keypoints of a person and differ between people.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pose_ros.training.scene import Scene


def tag_cells(scene: Scene, most_people: int) -> npt.NDArray[np.int32]:
    """The cell, row times columns plus column, nearest to each labelled keypoint.

    Args:
        scene: The people.
        most_people: Rows of the result; of more people, those of most keypoints are taken.

    Returns:
        (most_people, K), -1 for keypoints that are not labelled or outside of the map, and for rows without person.
    """
    rows, cols = scene.shape_hw
    x, y = np.moveaxis(np.floor(scene.keypoints_xy + 0.5), 2, 0)
    inside = scene.labelled & (x >= 0) & (x < cols) & (y >= 0) & (y < rows)
    cells = np.where(inside, y * cols + x, -1).astype(np.int32)
    counts = inside.sum(axis=1)
    best = np.argsort(-counts, kind="stable")[:most_people]
    chosen = np.sort(best[counts[best] > 0])
    result = np.full((most_people, cells.shape[1]), -1, np.int32)
    result[: len(chosen)] = cells[chosen]
    return result
