"""Limits of the work on one image. They hold for all settings and fields, also for noise.

Noise has thousands of peaks, and the time grows with the square of their number. Crowds stay below the limits.
"""

from __future__ import annotations

import math

import numpy as np

from pose_ros.arrays import LongArray

MEAN_PEAKS = 300
"""Most peaks per channel, as the root of the mean square over the channels. The strongest of each channel are kept."""
MAX_CANDIDATES = 3000
"""Most people of a network that outputs people, before duplicates are removed. The best are kept."""
MAX_SEARCHED_CELLS = 100_000_000
"""Most cells that keypoints of centres search, added up. The best people search first."""
MAX_MASK_DISTANCES = 150_000_000
"""Most distances between the cells and the keypoints of people for instance masks. The best people get masks first."""


def limit_peaks(counts: LongArray) -> int:
    """Return the largest number of peaks that each channel may keep.

    Args:
        counts: (K,) number of peaks of each channel.
    """
    most = int(max(counts.tolist(), default=0))
    if most <= MEAN_PEAKS:
        return most
    left, channels = MEAN_PEAKS**2 * len(counts), len(counts)
    for count in np.sort(counts).tolist():
        if count**2 * channels > left:
            return math.isqrt(left // channels)
        left, channels = left - count**2, channels - 1
    return most
