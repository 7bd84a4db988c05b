"""Choose the surface of each keypoint such that all keypoints of a person can belong to one body."""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.decoder.jit import jit

_SHORTEST_M, _TALLEST_M = 1.4, 2.1
"""Range of the heights that limit the lengths of limbs."""
_GIANT = 1.25
"""A person looks taller than it is by this factor at most: errors of keypoints."""
_NEAR_M = 0.6
"""Keypoints of a person whose distances differ by less support each other."""
_BODY_M = 1.0
"""Largest difference between the distances of a keypoint and of the person."""
_TALLER = 1.15
"""A person is taller than it looks by this factor at most: bent limbs, other proportions."""
_SLACK_M = 0.06
_SLACK_SIGMAS = 2.0
"""Two keypoints look farther apart by this length and so many standard deviations of the noise at most."""


@jit
def choose_surfaces(
    surfaces: Any,
    counts: Any,
    rays: Any,
    weights: Any,
    below_m: Any,
    reach: Any,
    heights: Any,
    noise: Any,
    chosen: Any,
    points: Any,
) -> None:
    """Choose a surface of each keypoint, or none, and place the keypoint below it.

    Args:
        surfaces: (N, K, C, 3) distance along the optical axis, m, standard deviation and share, the nearest first.
        counts: (N, K) number of surfaces.
        rays: (N, K, 3) directions with z = 1.
        weights: (N, K) weight of each keypoint in the vote about the distance of the person.
        below_m: (K,) depth of each keypoint below the surface, m.
        reach: (K, K) longest distance between two keypoints, body heights.
        heights: (N,) height that each person would have in the image if it stood upright, at distance 1.
            0 = unknown.
        noise: Standard deviation of a distance relative to its square, 1/m.
        chosen: (N, K) to fill: index of the surface, -1 = none.
        points: (N, K, 3) to fill: keypoints in the frame of the rays, m. Of no meaning without a surface.
    """
    for n in range(surfaces.shape[0]):
        person_m = _vote(surfaces[n], counts[n], weights[n], heights[n])
        for k in range(surfaces.shape[1]):
            chosen[n, k] = -1
            _take_next(surfaces[n], counts[n], rays[n], below_m, person_m, k, chosen[n], points[n])
        tallest_m = min(max(_TALLER * heights[n] * person_m, _SHORTEST_M), _TALLEST_M)
        slack = _SLACK_M + _SLACK_SIGMAS * noise * person_m * person_m
        for _ in range(surfaces.shape[1] * surfaces.shape[2]):
            worst = _worst(points[n], chosen[n], reach, tallest_m, slack, person_m)
            if worst < 0:
                break
            _take_next(surfaces[n], counts[n], rays[n], below_m, person_m, worst, chosen[n], points[n])


@jit
def _vote(surfaces: Any, counts: Any, weights: Any, height: Any) -> Any:
    """Return the distance of the person that most keypoints support."""
    best, person_m = 0.0, np.nan
    for k in range(len(counts)):
        for c in range(counts[k]):
            distance = surfaces[k, c, 0]
            if distance * height > _GIANT * _TALLEST_M:
                continue
            votes = 0.0
            for other in range(len(counts)):
                most = 0.0
                for d in range(counts[other]):
                    apart = abs(surfaces[other, d, 0] - distance)
                    if apart < _NEAR_M:
                        most = max(most, (1 - apart / _NEAR_M) * surfaces[other, d, 2])
                votes += most * weights[other]
            if votes > best:
                best, person_m = votes, distance
    return person_m


@jit
def _take_next(
    surfaces: Any, counts: Any, rays: Any, below_m: Any, person_m: Any, k: Any, chosen: Any, points: Any
) -> None:
    """Choose the next surface of a keypoint that is near the person, and fill its point."""
    for c in range(chosen[k] + 1, counts[k]):
        if abs(surfaces[k, c, 0] - person_m) <= _BODY_M:
            chosen[k] = c
            x, y = rays[k, 0], rays[k, 1]
            distance = surfaces[k, c, 0] + below_m[k] / np.sqrt(1 + x * x + y * y)
            points[k, 0], points[k, 1], points[k, 2] = distance * x, distance * y, distance
            return
    chosen[k] = -1


@jit
def _worst(points: Any, chosen: Any, reach: Any, tallest_m: Any, slack: Any, person_m: Any) -> Any:
    """Return the keypoint that is too far from most others, -1 = none.

    Among several, it is the one whose distance differs most from that of the person.
    """
    worst, most, offset = -1, 0, 0.0
    for k in range(len(chosen)):
        if chosen[k] < 0:
            continue
        conflicts = 0
        for other in range(len(chosen)):
            if chosen[other] >= 0:
                x, y = points[k, 0] - points[other, 0], points[k, 1] - points[other, 1]
                z = points[k, 2] - points[other, 2]
                longest = tallest_m * reach[k, other] + slack
                conflicts += x * x + y * y + z * z > longest * longest
        own = abs(points[k, 2] - person_m)
        if conflicts > most or (conflicts == most and conflicts > 0 and own > offset):
            worst, most, offset = k, conflicts, own
    return worst
