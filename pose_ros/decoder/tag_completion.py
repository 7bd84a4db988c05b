"""Completion: keypoints that no peak gave are looked for over the whole map, near in tag and high in confidence.

It is a guess: a keypoint outside the image or behind another person has a best place, too. Benchmarks that count
every keypoint reward it; a robot is misled by it.

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
from pose_ros.decoder.subpixel import METHODS, gaussian_kernel, refine

_INFINITE = 0x7F800000


def complete(
    heatmaps: FloatArray,
    tags: FloatArray,
    person_tags: DoubleArray,
    keypoints: FloatArray,
    scores: FloatArray,
    reach: float,
    subpixel: str = "quadratic",
    dark_kernel: int = 11,
) -> None:
    """Put each keypoint of score 0 at the highest cell above 0 whose tag is near the person's, if there is one.

    Args:
        heatmaps: (K, H, W) C-contiguous float32; not modified.
        tags: (K D, H, W) C-contiguous float32; not modified.
        person_tags: (N, D).
        keypoints: (N, K, 2) in cells; filled.
        scores: (N, K); filled with the heatmap's value, at most 1.
        reach: Tags nearer than this are near.
        subpixel: One of subpixel.METHODS.
        dark_kernel: Width of the blur of ``"dark"``, cells, odd.
    """
    cells = np.full(scores.shape, -1, np.int64)
    find = _find_cells if COMPILED else _find_cells_numpy
    find(heatmaps, tags, person_tags.astype(np.float32), scores, np.float32(reach * reach), cells)
    _fill(heatmaps, cells, METHODS.index(subpixel), gaussian_kernel(dark_kernel), keypoints, scores)


@jit
def _find_cells(heatmaps: Any, tags: Any, person_tags: Any, scores: Any, reach: Any, cells: Any) -> None:
    """Find the cell, row times width plus column, of every absent keypoint: one pass over the maps for all people.

    Non-negative floats have the order of their bits, and integers have a vector instruction for the maximum.
    """
    keypoint_count, rows, cols = heatmaps.shape
    bits, best, apart = heatmaps.view(np.int32), np.zeros(scores.shape, np.int32), np.empty(cols, np.float32)
    for k in range(keypoint_count):
        for row in range(rows):
            highest = np.int32(0)
            for col in range(cols):
                highest = max(highest, bits[k, row, col])
            for n in range(len(scores)):
                if highest > best[n, k] and scores[n, k] == 0:
                    _search_row(bits, tags, person_tags, n, k, row, reach, apart, best, cells)


@jit
def _search_row(
    bits: Any, tags: Any, person_tags: Any, n: Any, k: Any, row: Any, reach: Any, apart: Any, best: Any, cells: Any
) -> None:
    """Take the first of a row's highest cells near the person in tag, if it is higher than what the person has."""
    dims, cols, highest = person_tags.shape[1], bits.shape[2], np.int32(0)
    for col in range(cols):
        apart[col] = 0
    for d in range(dims):
        for col in range(cols):
            gap = tags[k * dims + d, row, col] - person_tags[n, d]
            apart[col] += gap * gap
    for col in range(cols):
        near = apart[col] < reach and bits[k, row, col] < _INFINITE
        highest = max(highest, bits[k, row, col] if near else np.int32(0))
    if highest > best[n, k]:
        best[n, k], col = highest, 0
        while not (bits[k, row, col] == highest and apart[col] < reach):
            col += 1
        cells[n, k] = row * cols + col


def _find_cells_numpy(heatmaps: Any, tags: Any, person_tags: Any, scores: Any, reach: Any, cells: Any) -> None:
    """The same as ``_find_cells`` where there is no compiler."""
    dims = person_tags.shape[1]
    for k in range(len(heatmaps)):
        finite = np.where(np.isfinite(heatmaps[k]), heatmaps[k], 0)
        for n in np.flatnonzero(scores[:, k] == 0):
            with np.errstate(invalid="ignore", over="ignore"):
                apart = ((tags[k * dims : (k + 1) * dims] - person_tags[n, :, None, None]) ** 2).sum(axis=0)
            near = np.where(apart < reach, finite, 0)
            if near.max() > 0:
                cells[n, k] = near.argmax()


@jit
def _fill(heatmaps: Any, cells: Any, method: Any, blur: Any, keypoints: Any, scores: Any) -> None:
    """Put the keypoints at the cells found, refined."""
    for n in range(len(cells)):
        for k in range(cells.shape[1]):
            if cells[n, k] >= 0:
                row, col = cells[n, k] // heatmaps.shape[2], cells[n, k] % heatmaps.shape[2]
                keypoints[n, k, 0], keypoints[n, k, 1] = refine(heatmaps, k, row, col, method, blur)
                scores[n, k] = min(heatmaps[k, row, col], np.float32(1))
