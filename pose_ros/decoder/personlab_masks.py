"""Compute the instance masks of PersonLab: each cell of a person points at the keypoints of that person.

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
from pose_ros.decoder.limits import MAX_MASK_DISTANCES
from pose_ros.decoder.personlab_walk import follow_and_refine


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
    """Assign each cell of a person to the nearest person.

    Args:
        long_offsets: (2 K, H, W), px. Not modified.
        short_offsets: (2 K, H, W), px. Not modified.
        segmentation: (1, H, W) probability of a person. Not modified.
        xy: (N, K, 2) keypoints, cells.
        scores: (N, K) scores of the keypoints, 0 where absent.
        per_cell: Cells per px.
        steps: Most corrections of a long-range offset by the short-range offset at its end.
        threshold: Lowest segmentation value of a person's cell.
        reach: Largest distance of a cell from its person, relative to the size of the person.

    Returns:
        (N, H, W) masks. No cell is in two masks. The last people have empty masks if there are more than
        MAX_MASK_DISTANCES allows.
    """
    masks = np.zeros((len(xy), *segmentation.shape[1:]), np.bool_)
    cells = np.count_nonzero(segmentation >= threshold)
    best = slice(MAX_MASK_DISTANCES // max(cells * xy.shape[1], 1))
    xy, scores, filled = xy[best], scores[best], masks[best]
    sizes = _sizes(xy, scores)
    _fill_masks(long_offsets, short_offsets, segmentation, xy, scores, sizes, per_cell, steps, threshold, reach, filled)
    return masks


def _sizes(xy: FloatArray, scores: FloatArray) -> FloatArray:
    """Return the sizes (N,) of the people: square roots of the areas of their boxes, with sides of at least a cell."""
    seen = (scores > 0)[..., None]
    extent = np.where(seen, xy, -np.inf).max(axis=1) - np.where(seen, xy, np.inf).min(axis=1)
    return np.sqrt(np.maximum(extent, 1).prod(axis=1)).astype(np.float32)


@jit
def _fill_masks(
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
    """Fill the keypoints that a cell points at. NaN where the offsets are not finite."""
    for k in range(len(embedding)):
        known, x, y = follow_and_refine(
            long_offsets, 2 * k, short_offsets, k, np.float64(col), np.float64(row), per_cell, steps
        )
        embedding[k, 0], embedding[k, 1] = (x, y) if known else (np.nan, np.nan)


@jit
def _distance(embedding: Any, xy: Any, scores: Any, person: Any) -> Any:
    """Return the mean distance of a cell's keypoints from a person, weighted by score. Inf if unknown."""
    total, weight = 0.0, 0.0
    for k in range(len(embedding)):
        dx, dy = embedding[k, 0] - xy[person, k, 0], embedding[k, 1] - xy[person, k, 1]
        distance = math.sqrt(dx * dx + dy * dy)
        if scores[person, k] > 0 and distance < np.inf:
            total, weight = total + scores[person, k] * distance, weight + scores[person, k]
    return total / weight if weight > 0 else np.inf
