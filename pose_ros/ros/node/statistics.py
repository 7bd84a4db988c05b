"""Counts and times of one camera's images."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

WINDOW_S = 5.0
"""What is recent: rates, shares and medians are of the last so many seconds."""

LONGEST_WINDOW = 1024
"""Events of one kind that are kept at most; at higher rates the window is shorter."""


@dataclass(frozen=True)
class CameraSnapshot:
    """How one camera fares. Rates, shares, medians and ``broken_recent`` are of the last ``WINDOW_S`` seconds.

    Attributes:
        received: Images since the beginning.
        answered: Images that have their answer.
        dropped: Images for which a newer one came before the network was free.
        broken: Images that could not be read or answered.
        images_hz: Images per second.
        answers_hz: Answers per second.
        dropped_share: Of the images that were taken or dropped, how many were dropped: 0 to 1.
        broken_recent: Broken images.
        latency_median_ms: From stamp to publishing; NaN where unknown, as the next three.
        latency_p95_ms: The latency that 95 % of the images do not exceed.
        network_ms: Median time in the network.
        decode_ms: Median time from fields to people.
        people: People in the last answered image; -1 before there is one.
        image_age_s: Since the last image; before the first, since work began.
        answer_age_s: Since the last answer; before the first, since work began.
    """

    received: int
    answered: int
    dropped: int
    broken: int
    images_hz: float
    answers_hz: float
    dropped_share: float
    broken_recent: int
    latency_median_ms: float
    latency_p95_ms: float
    network_ms: float
    decode_ms: float
    people: int
    image_age_s: float
    answer_age_s: float


class _Events:
    """The recent events of one kind, each with a value, and how many there ever were."""

    def __init__(self) -> None:
        self.total = 0
        self._recent: deque[tuple[float, Any]] = deque(maxlen=LONGEST_WINDOW)

    def add(self, now_s: float, value: Any = 1, count: int = 1) -> None:
        self.total += count
        self._recent.append((now_s, value))

    def since(self, start_s: float) -> list[tuple[float, Any]]:
        return [event for event in self._recent if event[0] > start_s]

    def rate_hz(self, start_s: float, now_s: float) -> float:
        events = self.since(start_s)
        if len(events) == LONGEST_WINDOW:
            start_s = events[0][0]
        return len(events) / (now_s - start_s) if now_s > start_s else 0.0


class CameraStatistics:
    """Counts what happens to the images of one camera, in a fixed amount of memory.

    Every method may be called from any thread. Times are seconds of one monotonic clock (``time.monotonic()``), not
    of ROS: simulated time stands still and jumps.
    """

    def __init__(self, now_s: float) -> None:
        """Nothing has happened yet.

        Args:
            now_s: The ages count from here until there is an image.
        """
        self._lock = threading.Lock()
        self._received, self._answered, self._dropped, self._broken = (_Events() for _ in range(4))
        self._people = -1
        self._start_s = self._image_s = self._answer_s = now_s

    def resume(self, now_s: float) -> None:
        """Work begins, or begins again: nothing that was missed during a pause counts as late."""
        with self._lock:
            self._start_s = self._image_s = self._answer_s = now_s

    def received(self, now_s: float) -> None:
        """An image has arrived."""
        with self._lock:
            self._received.add(now_s)
            self._image_s = now_s

    def dropped(self, count: int, now_s: float) -> None:
        """So many images gave way to newer ones; 0 is fine."""
        if count > 0:
            with self._lock:
                self._dropped.add(now_s, count, count)

    def broken(self, now_s: float) -> None:
        """An image could not be read or answered."""
        with self._lock:
            self._broken.add(now_s)

    def answered(self, now_s: float, people: int, latency_ms: float, network_ms: float, decode_ms: float) -> None:
        """An image has its answer. A latency of NaN is unknown."""
        with self._lock:
            self._answered.add(now_s, (latency_ms, network_ms, decode_ms))
            self._answer_s, self._people = now_s, people

    def snapshot(self, now_s: float) -> CameraSnapshot:
        """How the camera fares at this moment."""
        with self._lock:
            start_s = max(self._start_s, now_s - WINDOW_S)
            times = [times_ms for _, times_ms in self._answered.since(start_s)]
            dropped = sum(count for _, count in self._dropped.since(start_s))
            broken = len(self._broken.since(start_s))
            latencies, network, decode = np.array(times, float).reshape(-1, 3).T
            return CameraSnapshot(
                received=self._received.total,
                answered=self._answered.total,
                dropped=self._dropped.total,
                broken=self._broken.total,
                images_hz=self._received.rate_hz(start_s, now_s),
                answers_hz=self._answered.rate_hz(start_s, now_s),
                dropped_share=dropped / max(dropped + len(times) + broken, 1),
                broken_recent=broken,
                latency_median_ms=_percentile(latencies, 50),
                latency_p95_ms=_percentile(latencies, 95),
                network_ms=_percentile(network, 50),
                decode_ms=_percentile(decode, 50),
                people=self._people,
                image_age_s=max(now_s - self._image_s, 0.0),
                answer_age_s=max(now_s - self._answer_s, 0.0),
            )


def _percentile(values: Any, percent: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, percent)) if known.size else math.nan
