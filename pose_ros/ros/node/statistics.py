"""Count the images of one camera, and measure their rates and times."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from pose_ros.ros.node.stamp_gaps import StampGaps

WINDOW_S = 5.0
"""Window of the rates, shares and medians, seconds."""

LOSS_WINDOW_S = 20.0
"""Window of the share of lost images, seconds."""

MIN_SENT = 10
"""Fewest images of a share of lost ones."""

MAX_EVENTS = 1024
"""Most events that are kept of one kind. At higher rates the window is shorter."""


@dataclass(frozen=True)
class CameraSnapshot:
    """Statistics of one camera. Rates, shares, medians and ``broken_recent`` cover the last ``WINDOW_S`` seconds.

    Attributes:
        received: Images received since the start of the node.
        answered: Images with published poses since the start of the node.
        dropped: Images replaced by a newer one before the network was free, since the start of the node.
        broken: Images that could not be decoded or processed, since the start of the node.
        lost: Images that were sent but did not arrive, since the start of the node. Some middlewares do not count them.
        images_hz: Images received per second.
        answers_hz: Images per second with published poses.
        dropped_share: Dropped images divided by dropped, processed and broken images, 0 to 1.
        broken_recent: Broken images in the window.
        lost_share: Lost images divided by sent images in ``LOSS_WINDOW_S``, 0 to 1.
        missing_share: Share of images that are missing between the stamps of the received ones, 0 to 1. 0 = unknown.
        latency_median_ms: Median time from stamp to publishing, ms. NaN = unknown.
        latency_p95_ms: 95th percentile of that time, ms. NaN = unknown.
        network_ms: Median time in the network, ms. NaN = unknown.
        decode_ms: Median time from fields to people, ms. NaN = unknown.
        people: People in the last image with published poses. -1 before the first.
        image_age_s: Time since the last image, s. Before the first image: since work began.
        answer_age_s: Time since poses were last published, s. Before the first: since work began.
    """

    received: int
    answered: int
    dropped: int
    broken: int
    lost: int
    images_hz: float
    answers_hz: float
    dropped_share: float
    broken_recent: int
    lost_share: float
    missing_share: float
    latency_median_ms: float
    latency_p95_ms: float
    network_ms: float
    decode_ms: float
    people: int
    image_age_s: float
    answer_age_s: float


class _Events:
    """Recent events of one kind, each with a value, and their total number. One thread adds, any thread reads."""

    def __init__(self) -> None:
        self.total = 0
        self._recent: deque[tuple[float, Any]] = deque(maxlen=MAX_EVENTS)

    def add(self, now_s: float, value: Any = 1, count: int = 1) -> None:
        self.total += count
        self._recent.append((now_s, value))

    def since(self, start_s: float) -> list[tuple[float, Any]]:
        return [event for event in self._recent.copy() if event[0] > start_s]  # the copy is atomic

    def rate_hz(self, start_s: float, now_s: float) -> float:
        events = self.since(start_s)
        if len(events) == MAX_EVENTS:
            start_s = events[0][0]
        return len(events) / (now_s - start_s) if now_s > start_s else 0.0


class CameraStatistics:
    """Statistics of the images of one camera, in a fixed amount of memory.

    Images that arrive are counted in one thread, and those that leave in another. Any thread may read. There is no
    lock, so neither thread waits for the other. Times are seconds of one monotonic clock (``time.monotonic()``). ROS
    time is not used, because simulated time can stand still or jump.
    """

    def __init__(self, now_s: float) -> None:
        """Start with no images.

        Args:
            now_s: Current time. The ages count from here until the first image arrives.
        """
        self._received, self._answered, self._dropped, self._broken, self._lost = (_Events() for _ in range(5))
        self._stamp_gaps = StampGaps()
        self._people = -1
        self._start_s = self._image_s = self._answer_s = self._subscribed_s = now_s

    def resume(self, now_s: float) -> None:
        """Start or resume work: restart the ages and the window, so that a pause does not count as a delay."""
        self._start_s = self._image_s = self._answer_s = now_s

    def restart_loss(self, now_s: float) -> None:
        """Forget the lost images, because there is a new subscription, or none."""
        self._subscribed_s = now_s
        self._stamp_gaps.clear()

    def count_received(self, now_s: float, stamp_ns: int = 0) -> None:
        """Count an image that has arrived. A stamp of 0 = unknown."""
        self._received.add(now_s)
        self._stamp_gaps.add(stamp_ns)
        self._image_s = now_s

    def count_lost(self, count: int, now_s: float) -> None:
        """Count images that were sent but did not arrive."""
        self._lost.add(now_s, count, count)

    def loss(self, now_s: float) -> tuple[float, float]:
        """Return ``lost_share`` and ``missing_share`` of a snapshot at this moment."""
        start_s = max(self._subscribed_s, now_s - LOSS_WINDOW_S)
        lost = sum(count for _, count in self._lost.since(start_s))
        sent = lost + len(self._received.since(start_s))
        return lost / sent if sent >= MIN_SENT else 0.0, self._stamp_gaps.missing_share()

    def count_dropped(self, count: int, now_s: float) -> None:
        """Count images that were replaced by newer ones. ``count`` may be 0."""
        if count > 0:
            self._dropped.add(now_s, count, count)

    def count_broken(self, now_s: float) -> None:
        """Count an image that could not be decoded or processed."""
        self._broken.add(now_s)

    def count_answered(self, now_s: float, people: int, latency_ms: float, network_ms: float, decode_ms: float) -> None:
        """Count an image after its poses were published. A latency of NaN = unknown."""
        self._answered.add(now_s, (latency_ms, network_ms, decode_ms))
        self._answer_s, self._people = now_s, people

    def snapshot(self, now_s: float) -> CameraSnapshot:
        """Return the statistics at this moment."""
        start_s = max(self._start_s, now_s - WINDOW_S)
        times = [times_ms for _, times_ms in self._answered.since(start_s)]
        dropped = sum(count for _, count in self._dropped.since(start_s))
        broken = len(self._broken.since(start_s))
        lost_share, missing_share = self.loss(now_s)
        latencies, network, decode = np.array(times, float).reshape(-1, 3).T
        return CameraSnapshot(
            received=self._received.total,
            answered=self._answered.total,
            dropped=self._dropped.total,
            broken=self._broken.total,
            lost=self._lost.total,
            images_hz=self._received.rate_hz(start_s, now_s),
            answers_hz=self._answered.rate_hz(start_s, now_s),
            dropped_share=dropped / max(dropped + len(times) + broken, 1),
            broken_recent=broken,
            lost_share=lost_share,
            missing_share=missing_share,
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
