"""At most so many images per second."""

from __future__ import annotations

LARGEST_CREDIT = 2.0
"""So many may come at once after a pause: a camera whose images jitter around the limit loses none."""


class RateLimit:
    """Lets images pass at a rate, on average: of 30 per second at a limit of 20, two of three."""

    def __init__(self) -> None:
        self._credit = LARGEST_CREDIT
        self._last_s = 0.0

    def passes(self, now_s: float, most_hz: float) -> bool:
        """Whether an image that comes now may pass; a limit of 0 lets all pass."""
        self._credit = min(LARGEST_CREDIT, self._credit + (now_s - self._last_s) * most_hz)
        self._last_s = now_s
        if most_hz > 0 and self._credit < 1:
            return False
        self._credit = max(0.0, self._credit - 1)
        return True
