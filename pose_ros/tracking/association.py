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

from pose_ros.arrays import DoubleArray, IndexArray
from pose_ros.decoder.assignment import assign
from pose_ros.decoder.jit import jit
from pose_ros.tracking.alignment import FEW_KEYPOINTS, align, position_variance
from pose_ros.tracking.motion import POSITION_VAR, SIZE, SIZE_VAR, X, Y
from pose_ros.tracking.noise import POSE, RATIO

NO_MATCH = 1e6
"""Cost of a pair that cannot be one person."""

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
    for i in range(len(tracks)):
        state, shape, weight = states[tracks[i]], shapes[tracks[i]], weights[tracks[i]]
        for j in range(len(people)):
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
            costs[i, j] = cost
    return costs


def match_pairs(costs: DoubleArray, limit: float) -> tuple[IndexArray, IndexArray, DoubleArray]:
    """Match tracks with detections, so that the sum of cost - limit over the pairs is lowest.

    Args:
        costs: (T, N) costs.
        limit: Cost from which a pair is no better than none.

    Returns:
        (P,) rows, (P,) columns, and (P,) probability that the detection is of this track and not of another one.
    """
    if not costs.size:
        none = np.zeros(0, np.int64)
        return none, none, np.zeros(0)
    gains = np.minimum(costs - limit, 0.0)
    if len(gains) <= gains.shape[1]:
        rows, columns = np.arange(len(gains)), assign(gains)
    else:
        rows, columns = assign(np.ascontiguousarray(gains.T)), np.arange(gains.shape[1])
    good = gains[rows, columns] < 0
    rows, columns = rows[good], columns[good]
    pair = costs[rows, columns]
    shares = 1 / np.exp(np.minimum(pair - costs[:, columns], 50.0)).sum(axis=0)
    return rows, columns, shares
