"""Decide which detection belongs to which track: the cost of each pair, and the cheapest assignment.

The cost is the negative logarithm of the likelihood of the pair: of its distance, of its growth and of its change of
pose (see ``alignment``). A pair is better than none if its cost is below a limit, the cost of a missed person and a new
person. So the gate is wide for people who have been out of sight and narrow for people who are seen all the time.

References:
    Reid, An Algorithm for Tracking Multiple Targets, 1979 (likelihood of a pair, of a missed and of a new target).
    Bar-Shalom and Fortmann, Tracking and Data Association, 1988 (probability of a pair against others).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pose_ros.decoder.assignment import assign
from pose_ros.decoder.jit import jit, jit_inline
from pose_ros.tracking.alignment import FEW_KEYPOINTS, align, position_variance
from pose_ros.tracking.motion import POSITION_VAR, SIZE, SIZE_VAR, X, Y
from pose_ros.tracking.noise import POSE, RATIO

NO_MATCH = 1e6
"""Cost of a pair that cannot be one person."""

_REACH_SIZES, _REACH_DEVIATIONS = 1.5, 5.0  # farther pairs are beyond the limit, also if only some keypoints are seen
_POSE_WEIGHT = 0.25  # errors of neighbouring keypoints depend on each other
_MAX_POSE_COST = 2.0  # people move their arms


@jit
def pair_costs(
    states: Any, shapes: Any, weights: Any, tracks: Any, keypoints: Any, scores: Any, people: Any, noise: Any
) -> Any:
    """Return the costs (T, N) of pairs of tracks and detections.

    Args:
        states: (M, STATE_COLUMNS) predicted states.
        shapes: (M, K, 2) shapes, sizes.
        weights: (M, K) confidence of the shapes.
        tracks: (T,) indices of tracks.
        keypoints: (N_all, K, 2) detections, px.
        scores: (N_all, K) scores.
        people: (N,) indices of detections.
        noise: (3,) noise.
    """
    costs = np.full((len(tracks), len(people)), NO_MATCH)
    centres = _centres(keypoints, scores, people)
    for i in range(len(tracks)):
        state, shape, weight = states[tracks[i]], shapes[tracks[i]], weights[tracks[i]]
        reach = _REACH_SIZES * state[SIZE] + _REACH_DEVIATIONS * math.sqrt(state[POSITION_VAR])
        for j in range(len(people)):
            if abs(centres[j, 0] - state[X]) > reach or abs(centres[j, 1] - state[Y]) > reach:
                continue  # most pairs of a crowd
            count, x, y, ratio, difference = align(state, shape, weight, keypoints[people[j]], scores[people[j]])
            if count == 0:
                continue
            variance = state[POSITION_VAR] + position_variance(state, count, noise)
            squared = (x - state[X]) ** 2 + (y - state[Y]) ** 2
            cost = 0.5 * squared / variance + math.log(2 * math.pi * variance / state[SIZE] ** 2)
            if count >= FEW_KEYPOINTS:
                known = noise[RATIO] ** 2
                unknown = state[SIZE_VAR] + known
                cost += 0.5 * (math.log(ratio) ** 2 / unknown + math.log(unknown / known))
                cost += min(_POSE_WEIGHT * count * difference / noise[POSE] ** 2, _MAX_POSE_COST)
            if cost < NO_MATCH:  # so never NaN, which the assignment does not allow
                costs[i, j] = cost
    return costs


@jit_inline
def _centres(keypoints: Any, scores: Any, people: Any) -> Any:
    """Return the mean (N, 2) of the visible keypoints of some detections."""
    centres = np.zeros((len(people), 2))
    for j in range(len(people)):
        count = 0
        for k in range(scores.shape[1]):
            if scores[people[j], k] > 0:
                count += 1
                centres[j, 0] += keypoints[people[j], k, 0]
                centres[j, 1] += keypoints[people[j], k, 1]
        centres[j, 0] /= max(count, 1)
        centres[j, 1] /= max(count, 1)
    return centres


@jit
def match_pairs(costs: Any, limit: Any) -> Any:
    """Match tracks with detections, so that the sum of cost - limit over the pairs is lowest.

    Args:
        costs: (T, N) costs.
        limit: Cost from which a pair is no better than none.

    Returns:
        (T,) detection of each track, -1 = none, and (T,) probability that the detection is of this track and of no
        other one.
    """
    tracks = len(costs)
    person_of = _assign_people(costs, limit)
    shares = np.zeros(tracks)
    for i in range(tracks):
        j = person_of[i]
        if j >= 0 and costs[i, j] >= limit:
            person_of[i] = -1
        elif j >= 0:
            for other in range(tracks):
                shares[i] += math.exp(min(costs[i, j] - costs[other, j], 50.0))
            shares[i] = 1 / shares[i]
    return person_of, shares


@jit_inline
def _assign_people(costs: Any, limit: Any) -> Any:
    """Return the person (T,) of each track, -1 = none. Pairs at the limit or above cost the same as none."""
    tracks, people = costs.shape
    gains = np.empty((min(tracks, people), max(tracks, people)))  # at most as many rows as columns
    for i in range(tracks):
        for j in range(people):
            row, col = (i, j) if tracks <= people else (j, i)
            gains[row, col] = min(costs[i, j] - limit, 0.0)
    assigned = assign(gains)
    if tracks <= people:
        return assigned
    person_of = np.full(tracks, -1, np.int64)
    for j in range(people):
        person_of[assigned[j]] = j
    return person_of
