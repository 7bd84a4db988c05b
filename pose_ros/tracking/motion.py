"""Predict and correct the motion of people with a Kalman filter of constant velocity.

The acceleration is white noise. It is proportional to the person's size, so that near and far people behave alike. x
and y have the same uncertainty, so one 2 × 2 covariance of position and velocity serves both. The velocity of
people who are out of sight decays, because they do not walk straight on forever.

References:
    Kalman, A New Approach to Linear Filtering and Prediction Problems, 1960.
    Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, section 6.2
    (white-noise acceleration).
"""

from __future__ import annotations

import math
from typing import Any

from pose_ros.decoder.jit import jit, jit_inline

X, Y, VX, VY, POSITION_VAR, COVARIANCE, VELOCITY_VAR, SIZE, SIZE_VAR = range(9)
"""Columns of a state: position, px. Velocity, px/s. Their covariance. Size, px. Variance of the size's logarithm."""
STATE_COLUMNS = 9

ACCELERATION = 0.3
"""Spectral density of the acceleration, sizes / s^1.5."""
MAX_VELOCITY = 0.8
"""Standard deviation of an unknown velocity, sizes / s."""
MEMORY_S = 4.0
"""Time in which the velocity of a person who is out of sight decays to 1/e, s."""
GROWTH = 0.06
"""Spectral density of the change of the size's logarithm, 1 / s^0.5."""


@jit
def predict_states(states: Any, is_lost: Any, dt_s: Any) -> None:
    """Predict states (M, STATE_COLUMNS) after a time, in place.

    Args:
        states: States of M people.
        is_lost: (M,) True for people who were not in the last image.
        dt_s: Time, s, at least 0.
    """
    for i in range(len(states)):
        state = states[i]
        kept, reach = 1.0, dt_s  # share of the velocity that remains, and distance per velocity
        if is_lost[i]:
            kept = math.exp(-dt_s / MEMORY_S)
            reach = MEMORY_S * (1 - kept)
        state[X] += state[VX] * reach
        state[Y] += state[VY] * reach
        state[VX] *= kept
        state[VY] *= kept
        noise = (ACCELERATION * state[SIZE]) ** 2
        position, covariance, velocity = state[POSITION_VAR], state[COVARIANCE], state[VELOCITY_VAR]
        state[POSITION_VAR] = position + reach * (2 * covariance + reach * velocity) + noise * dt_s**3 / 3
        state[COVARIANCE] = kept * (covariance + reach * velocity) + noise * dt_s**2 / 2
        state[VELOCITY_VAR] = kept * kept * velocity + noise * dt_s
        excess = state[VELOCITY_VAR] / (MAX_VELOCITY * state[SIZE]) ** 2
        if excess > 1:  # both, or the covariance of position and velocity would exceed their variances
            state[VELOCITY_VAR] /= excess
            state[COVARIANCE] /= math.sqrt(excess)
        state[SIZE_VAR] += GROWTH * GROWTH * dt_s


@jit_inline
def correct_state(state: Any, x: Any, y: Any, variance: Any, ratio: Any, ratio_variance: Any) -> None:
    """Correct a state by a measured position and size, in place.

    Args:
        state: (STATE_COLUMNS,) state.
        x: Measured position, px.
        y: Measured position, px.
        variance: Variance of the measured position, px².
        ratio: Measured size, relative to that of the state.
        ratio_variance: Variance of the ratio's logarithm.
    """
    total = state[POSITION_VAR] + variance
    gain, velocity_gain = state[POSITION_VAR] / total, state[COVARIANCE] / total
    dx, dy = x - state[X], y - state[Y]
    state[X] += gain * dx
    state[Y] += gain * dy
    state[VX] += velocity_gain * dx
    state[VY] += velocity_gain * dy
    state[VELOCITY_VAR] = max(state[VELOCITY_VAR] - velocity_gain * state[COVARIANCE], 0.0)  # not below by rounding
    state[COVARIANCE] *= 1 - gain
    state[POSITION_VAR] *= 1 - gain
    size_gain = state[SIZE_VAR] / (state[SIZE_VAR] + ratio_variance)
    state[SIZE] *= ratio**size_gain
    state[SIZE_VAR] *= 1 - size_gain
