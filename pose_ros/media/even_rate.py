"""Find an even frame rate for frames at uneven times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

EVEN_SHARE = 0.75
"""Frames are even if the shorter intervals are at least this share of the mean."""
HIGHEST_RATE_HZ = 120.0


def find_even_rate(times_s: Sequence[float], rate_hz: float) -> float:
    """Return the frame rate at which nearly every frame has a place of its own.

    Args:
        times_s: Times of the first frames, s, rising.
        rate_hz: Mean frame rate, frames per second. It is kept if the times are even.
    """
    intervals = np.diff(np.asarray(times_s, np.float64))
    intervals = intervals[intervals > 0]
    if not len(intervals):
        return rate_hz
    short_s = float(np.percentile(intervals, 5))
    return rate_hz if short_s * rate_hz >= EVEN_SHARE else max(min(1 / short_s, HIGHEST_RATE_HZ), rate_hz)
