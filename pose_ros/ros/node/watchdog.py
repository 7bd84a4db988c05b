"""Watch for missing images, and report the probable cause."""

from __future__ import annotations

import time

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from pose_ros.ros.qos import describe_publishers
from pose_ros.runtime.runner import Notify

MAX_PAUSE_S = 300.0
MIN_PERIOD_S = 0.05


class Watchdog:
    """Warns when no image arrives: which nodes publish the topic, with which QoS, and what is incompatible.

    The first warning comes after ``timeout_s``. The pause before the next one doubles each time, up to ``MAX_PAUSE_S``.
    When images arrive again, this is reported once. While the node does not subscribe, because nobody needs the images,
    it watches whether the topic keeps a publisher: a driver that dies is reported then, too. The timer uses the steady
    clock, so it also works while simulated time stands still.

    Attributes:
        silent: Whether a warning was sent and no image has arrived since.
    """

    def __init__(
        self, node: Node, topic: str, timeout_s: float, notify: Notify, notify_end: Notify | None = None
    ) -> None:
        """Start watching.

        Args:
            node: The node that subscribes to the topic, now or later. Its subscriptions tell the requested QoS.
            topic: Name as given to ``create_subscription``. Remapping is applied.
            timeout_s: Longest time without an image, seconds. 0 = off.
            notify: Called with one line of text, in the executor's thread.
            notify_end: Called in the same way when images arrive again. None = ``notify``.
        """
        self._node, self._topic, self._timeout_s, self._notify = node, topic, timeout_s, notify
        self._notify_end = notify_end or notify
        self._counts_publishers = self._had_publisher = False
        self.resume()
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        period_s = min(1.0, max(MIN_PERIOD_S, timeout_s / 4))  # a very short one would occupy the executor
        self._timer = node.create_timer(period_s, self._check, clock=clock) if timeout_s > 0 else None

    def record_image(self) -> None:
        """Note that an image has arrived. Any thread may call it, it takes no lock."""
        self._image_s = time.monotonic()

    def pause(self) -> None:
        """Expect no images, because the node is inactive or disabled."""
        self._is_paused, self.silent = True, False

    def watch_publishers(self) -> None:
        """Expect no images, because the node has not subscribed, but expect that a publisher stays."""
        if self._is_paused or not self._counts_publishers:
            self.resume()
            self._counts_publishers, self._had_publisher = True, False

    def resume(self) -> None:
        """Expect images from now on. If the watchdog is not paused, restart it."""
        self._image_s, self._warn_s = time.monotonic(), self._timeout_s
        self._is_paused, self.silent, self._counts_publishers = False, False, False

    def close(self) -> None:
        """Remove the timer from the node."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _check(self) -> None:
        if self._is_paused:
            return
        name = self._node.resolve_topic_name(self._topic)
        if self._counts_publishers:
            has_publisher = self._node.count_publishers(name) > 0
            self._had_publisher = self._had_publisher or has_publisher
            if has_publisher or not self._had_publisher:
                self.record_image()
        silence_s = time.monotonic() - self._image_s
        if silence_s < self._timeout_s:
            self._warn_s = self._timeout_s
            if self.silent:
                self.silent = False
                self._notify_end(f"{name}: {'has a publisher' if self._counts_publishers else 'images arrive'} again")
        elif silence_s >= self._warn_s:
            self.silent = True
            self._warn_s = silence_s + min(silence_s, MAX_PAUSE_S)
            problem = "lost its publisher, for" if self._counts_publishers else "no image for"
            self._notify(f"{name}: {problem} {silence_s:.1f} s; {describe_publishers(self._node, self._topic)}")
