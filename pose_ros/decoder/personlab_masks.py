"""Instance masks of PersonLab: each cell that shows a person points at that person's keypoints.

References:
    Papandreou et al., PersonLab, arXiv:1803.08225, section 3.2 (embedding of a pixel by its long-range offsets;
    distance of an embedding from a person).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pose_ros.arrays import BoolArray, FloatArray
from pose_ros.decoder.jit import jit
from pose_ros.decoder.personlab_walk import displaced


def instance_masks(
    long_offsets: FloatArray,
    short_offsets: FloatArray,
    segmentation: FloatArray,
    xy: FloatArray,
    scores: FloatArray,
    per_cell: float,
    steps: int,
    threshold: float,
    reach: float,
) -> BoolArray:
    """Give each cell that shows a person to the nearest person.

    Args:
        long_offsets: (2 K, H, W), px; not modified.
        short_offsets: (2 K, H, W), px; not modified.
        segmentation: (1, H, W) probability of a person; not modified.
        xy: (N, K, 2), cells.
        scores: (N, K), 0 where absent.
        per_cell: Cells per px.
        steps: How often the end of a long-range offset is corrected by the short-range offset found there.
        threshold: Lowest segmentation value of a cell that shows a person.
        reach: Largest distance of a cell from its person, in sizes of the person.

    Returns:
        (N, H, W); no cell is in two masks.
    """
    masks = np.zeros((len(xy), *segmentation.shape[1:]), np.bool_)
    sizes = _sizes(xy, scores)
    _fill(long_offsets, short_offsets, segmentation, xy, scores, sizes, per_cell, steps, threshold, reach, masks)
    return masks


def _sizes(xy: FloatArray, scores: FloatArray) -> FloatArray:
    """(N,) scale of each person: the root of the area of the box of its keypoints, at least a cell."""
    seen = (scores > 0)[..., None]
    extent = np.where(seen, xy, -np.inf).max(axis=1) - np.where(seen, xy, np.inf).min(axis=1)
    return np.sqrt(np.maximum(extent, 1).prod(axis=1)).astype(np.float32)


@jit
def _fill(
    long_offsets: Any,
    short_offsets: Any,
    segmentation: Any,
    xy: Any,
    scores: Any,
    sizes: Any,
    per_cell: Any,
    steps: Any,
    threshold: Any,
    reach: Any,
    masks: Any,
) -> None:
    people, rows, cols = masks.shape
    embedding = np.empty((xy.shape[1], 2))
    for row in range(rows):
        for col in range(cols):
            if not segmentation[0, row, col] >= threshold:
                continue
            _embed(long_offsets, short_offsets, row, col, per_cell, steps, embedding)
            best, nearest = -1, np.inf
            for person in range(people):
                distance = _distance(embedding, xy, scores, person) / sizes[person]
                if distance < nearest:
                    best, nearest = person, distance
            if nearest <= reach:
                masks[best, row, col] = True


@jit
def _embed(
    long_offsets: Any, short_offsets: Any, row: Any, col: Any, per_cell: Any, steps: Any, embedding: Any
) -> None:
    """Where a cell sees the keypoints of its person; NaN where the offsets are not finite."""
    for k in range(len(embedding)):
        known, x, y = displaced(
            long_offsets, 2 * k, short_offsets, k, np.float64(col), np.float64(row), per_cell, steps
        )
        embedding[k, 0], embedding[k, 1] = (x, y) if known else (np.nan, np.nan)


@jit
def _distance(embedding: Any, xy: Any, scores: Any, person: Any) -> Any:
    """Mean distance between seen and found keypoints, weighted by their scores; Inf where none can be told."""
    total, weight = 0.0, 0.0
    for k in range(len(embedding)):
        dx, dy = embedding[k, 0] - xy[person, k, 0], embedding[k, 1] - xy[person, k, 1]
        distance = math.sqrt(dx * dx + dy * dy)
        if scores[person, k] > 0 and distance < np.inf:
            total, weight = total + scores[person, k] * distance, weight + scores[person, k]
    return total / weight if weight > 0 else np.inf
