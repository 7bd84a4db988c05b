"""Align the shape of a track to a detection.

The shape is the last known place of each keypoint, relative to the position and the size of the track. A translation
and a scale align it to the detection. They tell how far the person moved and how much it grew. The rest tells how much
its pose differs. Only keypoints that both have count, so a person who is half hidden does not seem to move.

References:
    Umeyama, Least-squares estimation of transformation parameters between two point patterns, 1991 (without rotation).
"""

from __future__ import annotations

import math
from typing import Any

from pose_ros.decoder.jit import jit, jit_inline
from pose_ros.tracking.motion import POSITION_VAR, SIZE, SIZE_VAR, X, Y, correct_state
from pose_ros.tracking.noise import POSE, POSITION, RATIO, learn

FEW_KEYPOINTS = 3
"""With fewer common keypoints, neither size nor pose is measured."""

_MAX_RATIO = 4.0
_SHAPE_GAIN = 0.3
_WEIGHT_GAIN, _WEIGHT_DECAY, _LOWEST_WEIGHT = 0.4, 0.9, 0.05
_CLEAR = 0.9
_LEAST_SHARE = 0.02


@jit_inline
def align(state: Any, shape: Any, weights: Any, keypoints: Any, scores: Any) -> Any:
    """Align the shape of a track to a detection.

    Args:
        state: State of the track.
        shape: (K, 2) shape, in sizes.
        weights: (K,) confidence of the shape, 0 where unknown.
        keypoints: (K, 2) keypoints of the detection, px.
        scores: (K,) scores, 0 where absent.

    Returns:
        Number of common keypoints, measured position x and y in px, ratio of the sizes, and mean squared difference of
        the aligned keypoints, sizes².
    """
    count, total, zx, zy, qx, qy = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(len(scores)):
        if scores[k] > 0 and weights[k] > 0:
            count, total = count + 1, total + weights[k]
            zx += weights[k] * keypoints[k, 0]
            zy += weights[k] * keypoints[k, 1]
            qx += weights[k] * shape[k, 0]
            qy += weights[k] * shape[k, 1]
    if count == 0:
        return 0, 0.0, 0.0, 1.0, 0.0
    zx, zy, qx, qy = zx / total, zy / total, qx / total, qy / total
    size, cross, own, other = state[SIZE], 0.0, 0.0, 0.0
    for k in range(len(scores)):
        if scores[k] > 0 and weights[k] > 0:
            dx, dy = keypoints[k, 0] - zx, keypoints[k, 1] - zy
            ex, ey = size * (shape[k, 0] - qx), size * (shape[k, 1] - qy)
            cross += weights[k] * (dx * ex + dy * ey)
            own += weights[k] * (ex * ex + ey * ey)
            other += weights[k] * (dx * dx + dy * dy)
    ratio = 1.0
    if count >= FEW_KEYPOINTS and own > 0 and cross > 0:
        # noise widens both patterns, so neither regression is right: their geometric mean is
        ratio = min(max(math.sqrt(other / own), 1 / _MAX_RATIO), _MAX_RATIO)
    difference = (other - 2 * ratio * cross + ratio * ratio * own) / (total * size * size * ratio)
    return count, zx - ratio * size * qx, zy - ratio * size * qy, ratio, max(difference, 0.0)


@jit_inline
def position_variance(state: Any, count: Any, noise: Any) -> Any:
    """Return the variance of a position measured by some common keypoints, px²."""
    return (noise[POSITION] * state[SIZE]) ** 2 * (1 + 2 / count)


@jit
def correct_tracks(
    states: Any,
    shapes: Any,
    weights: Any,
    tracks: Any,
    keypoints: Any,
    scores: Any,
    people: Any,
    shares: Any,
    noise: Any,
) -> None:
    """Correct tracks by their detections, and learn the noise, in place.

    A detection that may be of another track has a share below 1. It corrects less, so that two people who pass each
    other keep their velocities and sizes.

    Args:
        states: (M, STATE_COLUMNS) states.
        shapes: (M, K, 2) shapes.
        weights: (M, K) confidence of the shapes.
        tracks: (T,) indices of the matched tracks.
        keypoints: (N, K, 2) detections, px.
        scores: (N, K) scores.
        people: (T,) index of the detection of each matched track.
        shares: (T,) probability of each match, against other tracks.
        noise: (3,) noise.
    """
    for i in range(len(tracks)):
        t, n = tracks[i], people[i]
        state, shape, weight = states[t], shapes[t], weights[t]
        count, x, y, ratio, difference = align(state, shape, weight, keypoints[n], scores[n])
        variance, ratio_variance = position_variance(state, count, noise), noise[RATIO] ** 2
        if shares[i] > _CLEAR and count > FEW_KEYPOINTS:
            squared = (x - state[X]) ** 2 + (y - state[Y]) ** 2
            learn(noise, POSITION, squared, 2 * (state[POSITION_VAR] + variance))
            learn(noise, RATIO, math.log(ratio) ** 2, state[SIZE_VAR] + ratio_variance)
            learn(noise, POSE, difference, 2 * noise[POSE] ** 2)
        share = max(shares[i], _LEAST_SHARE)
        correct_state(state, x, y, variance / share, ratio, ratio_variance / share)
        _correct_shape(state, shape, weight, keypoints[n], scores[n])


@jit_inline
def _correct_shape(state: Any, shape: Any, weights: Any, keypoints: Any, scores: Any) -> None:
    for k in range(len(weights)):
        if scores[k] > 0:
            gain = 1.0 if weights[k] == 0 else max(_SHAPE_GAIN, 1 - weights[k])
            shape[k, 0] += gain * ((keypoints[k, 0] - state[X]) / state[SIZE] - shape[k, 0])
            shape[k, 1] += gain * ((keypoints[k, 1] - state[Y]) / state[SIZE] - shape[k, 1])
            weights[k] = min(1.0, weights[k] + _WEIGHT_GAIN)
        else:
            weights[k] *= _WEIGHT_DECAY
            if weights[k] < _LOWEST_WEIGHT:
                weights[k] = 0.0
