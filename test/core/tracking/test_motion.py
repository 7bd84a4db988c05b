"""Test the Kalman filter of people in the image: its covariance stays one, at any rate of images."""

from __future__ import annotations

import numpy as np
import pytest

from pose_ros.tracking.motion import (
    COVARIANCE,
    POSITION_VAR,
    SIZE,
    STATE_COLUMNS,
    VELOCITY_VAR,
    correct_state,
    predict_states,
)


@pytest.mark.parametrize("step_s", [0.0, 0.02, 0.1, 0.5, 1.0, 3.0, 60.0])
@pytest.mark.parametrize("is_lost", [False, True])
def test_the_covariance_stays_positive(step_s: float, is_lost: bool) -> None:
    """Once, the variance of the velocity became negative after two images at 1 Hz."""
    states = np.zeros((1, STATE_COLUMNS))
    states[0, [SIZE, POSITION_VAR, VELOCITY_VAR]] = 32.0, 1.6, 655.0
    for _ in range(20):
        predict_states(states, np.array([is_lost]), step_s)
        position, both, velocity = states[0, [POSITION_VAR, COVARIANCE, VELOCITY_VAR]]
        assert position > 0 and velocity > 0 and both**2 <= position * velocity * (1 + 1e-9)
        correct_state(states[0], 0.0, 0.0, 2.7, 1.0, 0.01)
        assert states[0, VELOCITY_VAR] > 0
