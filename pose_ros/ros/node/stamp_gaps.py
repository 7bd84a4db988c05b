"""Estimate the share of missing images from the gaps between their stamps."""

from __future__ import annotations

from collections import deque

import numpy as np

WINDOW = 32
"""Gaps that are examined."""
TOLERANCE = 0.25
"""Largest distance of a gap from a multiple of the period, in periods."""
MIN_SHARE = 0.5
"""Lowest share that is reported. A lower one may be intended: to pass 20 of 30 images also leaves gaps."""
REGULAR_SHARE = 0.8
"""Lowest share of gaps that are multiples of the period. Otherwise the camera is irregular, and gaps mean nothing."""

MIN_LENGTHS = 3
"""Fewest different gaps, in periods. Images that arrive in pairs have two."""


class StampGaps:
    """Gaps between the stamps of the last images.

    The stamps of a regular camera are multiples of its period apart. Missing images leave gaps of several periods.
    The speed at which the images arrive does not matter, so a recording may be played slowly.
    """

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._gaps_ns: deque[int] = deque(maxlen=WINDOW)

    def clear(self) -> None:
        """Forget the stamps, because images were not received on purpose."""
        self._last_ns = None
        self._gaps_ns.clear()

    def add(self, stamp_ns: int) -> None:
        """Add the stamp of an image. If the stamps go back or stand still, start again."""
        before_ns, self._last_ns = self._last_ns, stamp_ns
        if before_ns is None or stamp_ns <= before_ns:
            self._gaps_ns.clear()
        else:
            self._gaps_ns.append(stamp_ns - before_ns)

    def missing_share(self) -> float:
        """Return the share of images that are missing, 0 to 1. 0 = unknown, too few images, or an irregular camera.

        After a change of the camera's rate, one half of the gaps has no missing images. So the smaller share counts.
        """
        gaps = np.array(self._gaps_ns.copy(), np.float64)  # another thread may add one
        if len(gaps) < WINDOW:
            return 0.0
        periods = gaps / np.median(gaps[gaps < 1.5 * gaps.min()])
        counts = np.maximum(np.round(periods), 1)
        is_regular = (np.abs(periods - counts) <= TOLERANCE).mean() >= REGULAR_SHARE
        if not is_regular or len(np.unique(counts)) < MIN_LENGTHS:
            return 0.0
        share = min(1 - len(half) / half.sum() for half in np.split(counts, 2))
        return float(share) if share >= MIN_SHARE else 0.0
