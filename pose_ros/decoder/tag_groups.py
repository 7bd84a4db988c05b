"""Grouping by tags: keypoint after keypoint, the peaks are dealt out to the people found so far.

A person's tag is the mean over its keypoints, weighted by their scores. Each person gets at most one peak of a keypoint
and each peak goes to at most one person, so that the sum of the costs is least; a peak that is left begins a new
person. People are numbered, never known by their tag, so any number of them may have the same one.

References:
    Newell et al., Associative Embedding, arXiv:1611.05424, section 3.3 (order of keypoints, mean tag, threshold,
    matching by tag distance first and by score second).
    Open Model Zoo's decoder for associative embedding (tag distance times distance in the image, as a share of that
    to the nearest person of a like tag).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pose_ros.decoder.assignment import assign
from pose_ros.decoder.jit import jit

ALONE = 100.0
"""Cost of a peak that joins nobody: more than that of any person it may join."""
SCORE_WEIGHT = 1e-2
"""What a score of 1 counts in thresholds of tag distance: the papers' 1 to 100."""
ALIKE, NEAR, FAR = 0.2, 0.01, 9.0
"""Spatial re-weighting: tags nearer than ALIKE thresholds say nothing, nor does nearness below NEAR of the larger side
of the field; and no tag distance grows beyond FAR thresholds."""


@jit
def group_peaks(tags: Any, xy: Any, scores: Any, counts: Any, order: Any, threshold: Any, spatial: Any) -> Any:
    """Deal the peaks out to people.

    Args:
        tags: (K D, H, W); a peak whose tag is not finite belongs to nobody.
        xy: (K, M, 2) the peaks, in cells.
        scores: (K, M) their scores.
        counts: (K,) their numbers.
        order: (K,) all keypoints, in the order of grouping.
        threshold: A peak joins a person whose tag is nearer than this.
        spatial: Whether distances in the image stretch those of the tags.

    Returns:
        members (N, K), the peak of each keypoint or -1; and the people's tags (N, D).
    """
    dims, most, found = tags.shape[0] // len(order), np.int64(0), np.int64(0)
    for k in range(len(counts)):
        most += counts[k]
    members = np.full((most, len(order)), -1, np.int64)
    people = np.zeros((most, dims + 3))  # mean tag, mean x, mean y, sum of scores / K
    for k in order:
        peaks = np.empty((counts[k], dims + 2))  # tag, x, y
        costs = np.full((counts[k], max(counts[k], found)), ALONE)
        for i in range(counts[k]):
            _read_peak(tags, xy, k, i, peaks)
            _fill_costs(peaks, i, scores[k, i], people, found, threshold, spatial, costs)
        found = _deal_out(peaks, scores, k, assign(costs), costs, members, people, found)
    return members[:found], people[:found, :dims]


@jit
def _read_peak(tags: Any, xy: Any, k: Any, i: Any, peaks: Any) -> None:
    """Fill a peak's tag, that of the nearest cell, and its x and y, as shares of the larger side of the field."""
    x, y, dims = xy[k, i, 0], xy[k, i, 1], peaks.shape[1] - 2
    row, col, side = int(y + 0.5), int(x + 0.5), max(tags.shape[1], tags.shape[2])
    for d in range(dims):
        peaks[i, d] = tags[k * dims + d, row, col]
    peaks[i, dims], peaks[i, dims + 1] = x / side, y / side


@jit
def _distance(peaks: Any, i: Any, people: Any, n: Any, first: Any, last: Any) -> Any:
    """Euclidean distance of a peak and a person in the columns from first to last, last excluded."""
    total = 0.0
    for d in range(first, last):
        total += (peaks[i, d] - people[n, d]) ** 2
    return math.sqrt(total)


@jit
def _fill_costs(
    peaks: Any, i: Any, score: Any, people: Any, found: Any, threshold: Any, spatial: Any, costs: Any
) -> None:
    """Costs of a peak at the people whose tag is within the threshold: rounded tag distance, less a bit of the score.

    Rounded, because within half a threshold the stronger peak is the likelier one, not that of the more exact tag.
    Strong peaks go to sure and near people first: a keypoint of an odd tag begins a person of its own, which would
    otherwise go on to take half of another.
    """
    dims, nearest = peaks.shape[1] - 2, np.inf
    for n in range(found):
        if _distance(peaks, i, people, n, 0, dims) < threshold:
            nearest = min(nearest, _distance(peaks, i, people, n, dims, dims + 2))
    for n in range(found):
        apart = _distance(peaks, i, people, n, 0, dims) / threshold
        if apart < 1:
            away = _distance(peaks, i, people, n, dims, dims + 2)
            if spatial:
                apart = min(max(apart, ALIKE) * max(away, NEAR) / max(nearest, NEAR), FAR)
            costs[i, n] = math.floor(apart + 0.5) - SCORE_WEIGHT * score * (1.0 + people[n, dims + 2] - away)


@jit
def _deal_out(
    peaks: Any, scores: Any, k: Any, person_of: Any, costs: Any, members: Any, people: Any, found: Any
) -> Any:
    """Add each peak of a keypoint to its person, or to a new one; returns the new number of people."""
    columns = peaks.shape[1]
    for i in range(len(peaks)):
        usable = True
        for d in range(columns):
            usable &= abs(peaks[i, d]) < np.inf
        if not usable:
            continue
        n = person_of[i]
        if costs[i, n] >= ALONE:
            n, found = found, found + 1
        members[n, k] = i
        weight = scores[k, i] / members.shape[1]
        people[n, columns] += weight
        for d in range(columns):
            people[n, d] += (peaks[i, d] - people[n, d]) * weight / people[n, columns]
    return found
