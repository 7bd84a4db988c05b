"""Group peaks by tags: assign the peaks of one keypoint after another to the people found so far.

A person's tag is the mean over its keypoints, weighted by their scores. Each person gets at most one peak of a
keypoint, and each peak goes to at most one person. The assignment has the lowest sum of costs. A peak that remains
starts a new person. People are identified by number and not by tag, so any number of them may have the same tag.

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
from pose_ros.decoder.jit import jit, jit_inline

NEW_PERSON_COST = 100.0
"""Cost of a peak that starts a new person. It is higher than the cost of joining any person."""
SCORE_WEIGHT = 1e-2
"""Weight of a score of 1, in thresholds of tag distance: the ratio 1 to 100 of the papers."""
MIN_TAG_DISTANCE, MIN_IMAGE_DISTANCE, MAX_TAG_DISTANCE = 0.2, 0.01, 9.0
"""Limits of the spatial weighting. Tag distances are in thresholds. Image distances are relative to the larger side of
the field."""


@jit
def group_peaks(tags: Any, xy: Any, scores: Any, counts: Any, order: Any, threshold: Any, spatial: Any) -> Any:
    """Assign the peaks to people.

    Args:
        tags: (K D, H, W). A peak with a tag that is not finite belongs to no person.
        xy: (K, M, 2) peaks, cells.
        scores: (K, M) scores of the peaks.
        counts: (K,) number of peaks of each keypoint.
        order: (K,) all keypoints in the order of grouping.
        threshold: Tag distance below which a peak can join a person.
        spatial: Whether image distances scale tag distances.

    Returns:
        members (N, K), the peak of each keypoint or -1, and the tags (N, D) of the people.
    """
    dims, most, found = tags.shape[0] // len(order), np.int64(0), np.int64(0)
    for k in range(len(counts)):
        most += counts[k]
    members = np.full((most, len(order)), -1, np.int64)
    people = np.zeros((most, dims + 3))  # mean tag, mean x, mean y, sum of scores / K
    for k in order:
        peaks = np.empty((counts[k], dims + 2))  # tag, x, y
        costs = np.full((counts[k], max(counts[k], found)), NEW_PERSON_COST)
        for i in range(counts[k]):
            _read_peak(tags, xy, k, i, peaks)
            _fill_costs(peaks, i, scores[k, i], people, found, threshold, spatial, costs)
        person_of = np.empty(counts[k], np.int64)
        if not _choose_cheapest(costs, person_of):
            person_of = assign(costs)
        found = _assign_peaks(peaks, scores, k, person_of, costs, members, people, found)
    return members[:found], people[:found, :dims]


@jit
def _read_peak(tags: Any, xy: Any, k: Any, i: Any, peaks: Any) -> None:
    """Fill the tag of a peak, from the nearest cell, and its x and y, relative to the larger side of the field."""
    x, y, dims = xy[k, i, 0], xy[k, i, 1], peaks.shape[1] - 2
    row, col, side = int(y + 0.5), int(x + 0.5), max(tags.shape[1], tags.shape[2])
    for d in range(dims):
        peaks[i, d] = tags[k * dims + d, row, col]
    peaks[i, dims], peaks[i, dims + 1] = x / side, y / side


@jit_inline
def _choose_cheapest(costs: Any, person_of: Any) -> Any:
    """Fill the cheapest person of each peak. Return whether this is the only assignment with the lowest sum of costs.

    It is if no two peaks choose the same person, and every choice is cheaper than all others of its peak. Peaks that no
    person can join do not matter: they start new people, wherever they are assigned.
    """
    is_chosen = np.zeros(costs.shape[1], np.bool_)
    for i in range(len(costs)):
        best, second, chosen = NEW_PERSON_COST, NEW_PERSON_COST, 0
        for n in range(costs.shape[1]):
            cost = costs[i, n]
            if cost < best:
                best, second, chosen = cost, best, n
            else:
                second = min(second, cost)
        person_of[i] = chosen
        if best < NEW_PERSON_COST:
            if best == second or is_chosen[chosen]:
                return False
            is_chosen[chosen] = True
    return True


@jit_inline
def _is_far(peaks: Any, i: Any, people: Any, n: Any, threshold: Any) -> Any:
    """Return whether the first dimension of the tags alone differs by the threshold. Most people of a crowd are far."""
    return abs(peaks[i, 0] - people[n, 0]) >= threshold


@jit
def _distance(peaks: Any, i: Any, people: Any, n: Any, first: Any, last: Any) -> Any:
    """Return the Euclidean distance of a peak and a person in the columns from first to last, last excluded."""
    total = 0.0
    for d in range(first, last):
        total += (peaks[i, d] - people[n, d]) ** 2
    return math.sqrt(total)


@jit
def _fill_costs(
    peaks: Any, i: Any, score: Any, people: Any, found: Any, threshold: Any, spatial: Any, costs: Any
) -> None:
    """Fill the costs of a peak for all people within the threshold: rounded tag distance, minus a small score term.

    The distance is rounded because, within half a threshold, a stronger peak is more likely than a closer tag. Strong
    peaks go to certain and near people first. Without this, a keypoint with a wrong tag would start a person that takes
    half the keypoints of another.
    """
    dims, nearest = peaks.shape[1] - 2, np.inf
    for n in range(found):
        if not _is_far(peaks, i, people, n, threshold) and _distance(peaks, i, people, n, 0, dims) < threshold:
            nearest = min(nearest, _distance(peaks, i, people, n, dims, dims + 2))
    for n in range(found):
        if _is_far(peaks, i, people, n, threshold):
            continue
        tag_gap = _distance(peaks, i, people, n, 0, dims) / threshold
        if tag_gap < 1:
            xy_gap = _distance(peaks, i, people, n, dims, dims + 2)
            if spatial:
                tag_gap = min(
                    max(tag_gap, MIN_TAG_DISTANCE) * max(xy_gap, MIN_IMAGE_DISTANCE) / max(nearest, MIN_IMAGE_DISTANCE),
                    MAX_TAG_DISTANCE,
                )
            costs[i, n] = math.floor(tag_gap + 0.5) - SCORE_WEIGHT * score * (1.0 + people[n, dims + 2] - xy_gap)


@jit
def _assign_peaks(
    peaks: Any, scores: Any, k: Any, person_of: Any, costs: Any, members: Any, people: Any, found: Any
) -> Any:
    """Add each peak of a keypoint to its person, or to a new one. Return the new number of people."""
    columns = peaks.shape[1]
    for i in range(len(peaks)):
        usable = True
        for d in range(columns):
            usable &= abs(peaks[i, d]) < np.inf
        if not usable:
            continue
        n = person_of[i]
        if costs[i, n] >= NEW_PERSON_COST:
            n, found = found, found + 1
        members[n, k] = i
        weight = scores[k, i] / members.shape[1]
        people[n, columns] += weight
        for d in range(columns):
            people[n, d] += (peaks[i, d] - people[n, d]) * weight / people[n, columns]
    return found
