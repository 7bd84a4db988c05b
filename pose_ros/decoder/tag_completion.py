"""Complete people: search the whole map for keypoints without a peak, by tag and confidence.

The result is a guess, because a keypoint outside the image or behind another person has a best cell, too. Benchmarks
that count every keypoint reward it. It misleads a robot.

References:
    Cheng et al., HigherHRNet, arXiv:1908.10357, and Newell et al., Associative Embedding, arXiv:1611.05424: the last
    step of their published decoders, the maximum of heatmap - round(|tag - person's tag|). Where that is above zero,
    and heatmaps are at most 1, it is the highest cell whose tag is within 0.5.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray
from pose_ros.decoder.jit import COMPILED, jit
from pose_ros.decoder.subpixel import DEFAULT, Refinement, refine_cells

_INFINITY_BITS = 0x7F800000
"""Bits of float32 infinity."""


def complete(
    heatmaps: FloatArray,
    tags: FloatArray,
    person_tags: DoubleArray,
    keypoints: FloatArray,
    scores: FloatArray,
    reach: float,
    refinement: Refinement = DEFAULT,
) -> None:
    """Move each keypoint of score 0 to the highest cell above 0 with a tag near the person's, if there is one.

    Args:
        heatmaps: (K, H, W) C-contiguous float32. Not modified.
        tags: (K D, H, W) C-contiguous float32. Not modified.
        person_tags: (N, D) tags of the people.
        keypoints: (N, K, 2) keypoints in cells. Modified in place.
        scores: (N, K) scores. Modified in place: value of the heatmap, at most 1.
        reach: Tag distance below which tags are near.
        refinement: Refinement of the positions.
    """
    cells = np.full(scores.shape, -1, np.int64)
    find = _find_cells if COMPILED else _find_cells_numpy
    find(heatmaps, tags, person_tags.astype(np.float32), scores, np.float32(reach * reach), cells)
    n, k = np.nonzero(cells >= 0)
    rows, cols = np.divmod(cells[n, k], heatmaps.shape[2])
    keypoints[n, k] = refine_cells(heatmaps, k, rows, cols, refinement)
    scores[n, k] = np.minimum(heatmaps[k, rows, cols], 1)


@jit
def _find_cells(heatmaps: Any, tags: Any, person_tags: Any, scores: Any, reach: Any, cells: Any) -> None:
    """Find the cell (row times width plus column) of every absent keypoint, in one pass over the maps.

    Non-negative floats have the same order as their bits, and the maximum of integers has a vector instruction.
    """
    keypoint_count, rows, cols = heatmaps.shape
    bits, best, squared = heatmaps.view(np.int32), np.zeros(scores.shape, np.int32), np.empty(cols, np.float32)
    for k in range(keypoint_count):
        for row in range(rows):
            highest = np.int32(0)
            for col in range(cols):
                highest = max(highest, bits[k, row, col])
            for n in range(len(scores)):
                if highest > best[n, k] and scores[n, k] == 0:
                    _search_row(bits, tags, person_tags, n, k, row, reach, squared, best, cells)


@jit
def _search_row(
    bits: Any, tags: Any, person_tags: Any, n: Any, k: Any, row: Any, reach: Any, squared: Any, best: Any, cells: Any
) -> None:
    """Store the first highest cell of a row with a near tag, if it is higher than the cell found so far."""
    dims, cols, highest = person_tags.shape[1], bits.shape[2], np.int32(0)
    for col in range(cols):
        squared[col] = 0
    for d in range(dims):
        for col in range(cols):
            gap = tags[k * dims + d, row, col] - person_tags[n, d]
            squared[col] += gap * gap
    for col in range(cols):
        near = squared[col] < reach and bits[k, row, col] < _INFINITY_BITS
        highest = max(highest, bits[k, row, col] if near else np.int32(0))
    if highest > best[n, k]:
        best[n, k], col = highest, 0
        while not (bits[k, row, col] == highest and squared[col] < reach):
            col += 1
        cells[n, k] = row * cols + col


def _find_cells_numpy(heatmaps: Any, tags: Any, person_tags: Any, scores: Any, reach: Any, cells: Any) -> None:
    """Do the same as ``_find_cells``, without a compiler."""
    dims = person_tags.shape[1]
    for k in range(len(heatmaps)):
        finite = np.where(np.isfinite(heatmaps[k]), heatmaps[k], 0)
        for n in np.flatnonzero(scores[:, k] == 0):
            with np.errstate(invalid="ignore", over="ignore"):
                squared = ((tags[k * dims : (k + 1) * dims] - person_tags[n, :, None, None]) ** 2).sum(axis=0)
            near = np.where(squared < reach, finite, 0)
            if near.max() > 0:
                cells[n, k] = near.argmax()
