"""Walk from a seed of PersonLab along the mid-range offsets to all keypoints of the person.

References:
    Papandreou et al., PersonLab, arXiv:1803.08225, section 3.1: eq. 2 (recurrent refinement of offsets), fast greedy
    decoding, soft keypoint non-maximum suppression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pose_ros.arrays import LongArray
from pose_ros.decoder.jit import jit
from pose_ros.decoder.personlab_seeds import cells_around, find_seeds, follow
from pose_ros.skeleton import Limb

UNKNOWN, OPEN, PLACED = range(3)
"""States of a keypoint: not reached by an offset, reached but not final, final."""
MIN_MOVE = 1e-3
"""Refinement stops when a step moves the point by less than this, cells."""
TINY = 1e-7
"""Probabilities are clamped to [TINY, 1 - TINY] before the logit."""


def directed_edges(limbs: Sequence[Limb], keypoint_count: int) -> tuple[LongArray, LongArray]:
    """Return the edges in both directions, sorted by their source.

    Args:
        limbs: (from, to) keypoints of the E edges.
        keypoint_count: Number of keypoints K.

    Returns:
        edges (2 E, 2), target keypoint and channel of x in the mid-range offsets, and first (K + 1,). The edges that
        leave keypoint k are ``edges[first[k]:first[k + 1]]``.
    """
    forward = [(a, b, 2 * e) for e, (a, b) in enumerate(limbs)]
    backward = [(b, a, 2 * (len(limbs) + e)) for e, (a, b) in enumerate(limbs)]
    steps = np.array(sorted(forward + backward), np.int64).reshape(-1, 3)
    first = np.searchsorted(steps[:, 0], np.arange(keypoint_count + 1)).astype(np.int64)
    return np.ascontiguousarray(steps[:, 1:]), first


@jit
def find_people(
    ranking: Any,
    threshold: Any,
    max_seeds: Any,
    heatmaps: Any,
    short_offsets: Any,
    mid_offsets: Any,
    edges: Any,
    first: Any,
    per_cell: Any,
    steps: Any,
    radius: Any,
    least: Any,
    max_people: Any,
) -> Any:
    """Walk from each seed, the strongest first, unless a person already has that keypoint nearby.

    Args:
        ranking: (K, H, W) maps. Their local maxima are the seeds.
        threshold: Threshold of the seeds, float32.
        max_seeds: Most seeds of a keypoint.
        heatmaps: (K, H, W).
        short_offsets: (2 K, H, W), px.
        mid_offsets: (4 E, H, W), px.
        edges: Edges from ``directed_edges``.
        first: Index of the first edge of each keypoint, from ``directed_edges``.
        per_cell: Cells per px.
        steps: Most refinements of each mid-range offset.
        radius: Radius of non-maximum suppression, cells.
        least: Lowest mean of a person's keypoint scores.
        max_people: Number of people at which the search stops.

    Returns:
        Positions (N, K, 2) in cells with NaN where unknown, scores (N, K) and person scores (N,), in the order found.
    """
    seed_xy, seed_scores, counts = find_seeds(ranking, short_offsets, per_cell, threshold, max_seeds)
    found, keypoints = 0, len(counts)
    xy, scores = np.empty((max_people, keypoints, 2), np.float32), np.empty((max_people, keypoints), np.float32)
    means, used, state = np.empty(max_people, np.float32), np.zeros(keypoints, np.int64), np.empty(keypoints, np.int64)
    while found < max_people:
        k = _strongest(seed_scores, counts, used)
        if k < 0:
            break
        x, y = seed_xy[k, used[k], 0], seed_xy[k, used[k], 1]
        used[k] += 1
        if _is_taken(xy, found, k, x, y, radius):
            continue
        _walk(heatmaps, short_offsets, mid_offsets, edges, first, per_cell, steps, k, x, y, state, xy, scores, found)
        means[found] = _mean(scores, found)
        found += means[found] >= least
    return xy[:found], scores[:found], _unclaimed_scores(xy[:found], scores[:found], means, radius)


@jit
def _strongest(seed_scores: Any, counts: Any, used: Any) -> Any:
    """Return the keypoint with the strongest unused seed, or -1."""
    best, best_score = -1, np.float32(-1)
    for k in range(len(counts)):
        if used[k] < counts[k] and seed_scores[k, used[k]] > best_score:
            best, best_score = k, seed_scores[k, used[k]]
    return best


@jit
def _is_taken(xy: Any, people: Any, k: Any, x: Any, y: Any, radius: Any) -> Any:
    """Return whether one of the first ``people`` people has keypoint k within the radius."""
    for person in range(people):
        dx, dy = xy[person, k, 0] - x, xy[person, k, 1] - y
        if dx * dx + dy * dy <= radius * radius:
            return True
    return False


@jit
def _walk(
    heatmaps: Any,
    short_offsets: Any,
    mid_offsets: Any,
    edges: Any,
    first: Any,
    per_cell: Any,
    steps: Any,
    k: Any,
    x: Any,
    y: Any,
    state: Any,
    xy: Any,
    scores: Any,
    person: Any,
) -> None:
    """Place all keypoints that can be reached from a seed. The most confident one is always next."""
    for other in range(len(state)):
        state[other], scores[person, other] = UNKNOWN, 0
        xy[person, other, 0], xy[person, other, 1] = np.nan, np.nan
    xy[person, k, 0], xy[person, k, 1], scores[person, k] = x, y, _confidence(heatmaps, k, x, y)
    while k >= 0:
        state[k] = PLACED
        for edge in range(first[k], first[k + 1]):
            target = edges[edge, 0]
            if state[target] == PLACED:
                continue
            from_x, from_y = np.float64(xy[person, k, 0]), np.float64(xy[person, k, 1])
            known, x, y = follow_and_refine(
                mid_offsets, edges[edge, 1], short_offsets, target, from_x, from_y, per_cell, steps
            )
            score = _confidence(heatmaps, target, x, y)
            if known and (state[target] == UNKNOWN or score > scores[person, target]):
                xy[person, target, 0], xy[person, target, 1], scores[person, target] = x, y, score
                state[target] = OPEN
        k = _best_open(state, scores, person)


@jit
def follow_and_refine(
    offsets: Any, channel: Any, short_offsets: Any, target: Any, x: Any, y: Any, per_cell: Any, steps: Any
) -> Any:
    """Follow an offset, then the short-range offsets of its target, eq. 2. Return (known, column, row).

    Args:
        offsets: (C, H, W) mid-range or long-range offsets, px.
        channel: Channel of x. The next channel is y.
        short_offsets: (2 K, H, W), px.
        target: Keypoint that the offset leads to.
        x: Column.
        y: Row.
        per_cell: Cells per px.
        steps: Most refinements.
    """
    known, x, y = follow(offsets, channel, x, y, per_cell)
    for _ in range(steps):
        from_x, from_y = x, y
        _, x, y = follow(short_offsets, 2 * target, x, y, per_cell)
        if abs(x - from_x) + abs(y - from_y) < MIN_MOVE:
            break
    return known, x, y


@jit
def _confidence(heatmaps: Any, k: Any, x: Any, y: Any) -> Any:
    """Return the heatmap at a point, from 0 to 1, interpolated as logits like the authors' code. 0 if not finite."""
    x0, x1, y0, y1, fx, fy = cells_around(x, y)
    top = (1 - fx) * _logit(heatmaps[k, y0, x0]) + fx * _logit(heatmaps[k, y0, x1])
    bottom = (1 - fx) * _logit(heatmaps[k, y1, x0]) + fx * _logit(heatmaps[k, y1, x1])
    logit = (1 - fy) * top + fy * bottom
    return np.float32(1 / (1 + math.exp(-logit))) if -np.inf < logit < np.inf else np.float32(0)


@jit
def _logit(probability: Any) -> Any:
    if not -np.inf < probability < np.inf:
        return np.nan
    inside = min(max(np.float64(probability), TINY), 1 - TINY)
    return math.log(inside / (1 - inside))


@jit
def _best_open(state: Any, scores: Any, person: Any) -> Any:
    best, best_score = -1, np.float32(-1)
    for k in range(len(state)):
        if state[k] == OPEN and scores[person, k] > best_score:
            best, best_score = k, scores[person, k]
    return best


@jit
def _mean(scores: Any, person: Any) -> Any:
    total = 0.0
    for k in range(scores.shape[1]):
        total += scores[person, k]
    return np.float32(total / scores.shape[1])


@jit
def _unclaimed_scores(xy: Any, scores: Any, means: Any, radius: Any) -> Any:
    """Return the mean scores (N,) of the people. A keypoint that a better person has nearby counts 0."""
    people, keypoints = scores.shape
    result = np.zeros(people, np.float32)
    for i in range(people):
        total = 0.0
        for k in range(keypoints):
            total += 0.0 if _is_claimed(xy, means, i, k, radius) else scores[i, k]
        result[i] = total / keypoints
    return result


@jit
def _is_claimed(xy: Any, means: Any, i: Any, k: Any, radius: Any) -> Any:
    for j in range(len(xy)):
        if means[j] > means[i] or (means[j] == means[i] and j < i):
            dx, dy = xy[i, k, 0] - xy[j, k, 0], xy[i, k, 1] - xy[j, k, 1]
            if dx * dx + dy * dy <= radius * radius:
                return True
    return False
