"""Learn the noise of the detector from the differences between predictions and detections.

Detectors differ: one is off by 1 % of a person's height, another by 5 %. A tracker with the wrong noise either swaps
people who pass each other or loses people who turn. So each clear match corrects the three standard deviations a
little: up if the difference was larger than expected, down if it was smaller.

References:
    Mehra, Approaches to Adaptive Filtering, 1972 (innovation-based estimation of noise).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pose_ros.arrays import DoubleArray
from pose_ros.decoder.jit import jit_inline

POSITION, RATIO, POSE = range(3)
"""Columns of the noise: standard deviation of a position, sizes. Of the logarithm of a size. Of a keypoint, sizes."""

_START = (0.04, 0.10, 0.10)
_LOWEST = (0.02, 0.02, 0.02)
_HIGHEST = (0.08, 0.25, 0.25)
_STEP = 0.01
_MAX_SURPRISE = 4.0


def initial_noise() -> DoubleArray:
    """Return the noise (3,) that is assumed before the first match."""
    return np.array(_START)


@jit_inline
def learn(noise: Any, column: Any, squared: Any, expected: Any) -> None:
    """Correct one standard deviation, in place.

    Args:
        noise: (3,) noise.
        column: Column of the noise.
        squared: Squared difference of a match.
        expected: Its expected value.
    """
    surprise = min(squared / expected, _MAX_SURPRISE)
    noise[column] = min(max(noise[column] * math.exp(_STEP * (surprise - 1)), _LOWEST[column]), _HIGHEST[column])
