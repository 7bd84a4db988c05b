"""Says when no image comes, and why."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from pose_ros.ros.qos import publishers_in_words

LONGEST_PAUSE_S = 300.0


class Watchdog:
    """Says so when no image comes: what is published, by whom, how, and what does not fit.

    The first warning comes after ``timeout_s``; each further one after twice the pause before it, at most
    ``LONGEST_PAUSE_S``. When images come again, that is said once. It is checked by a timer of the node on the steady
    clock: where simulated time stands still, too.

    Attributes:
        silent: Whether a warning is out, and no image has come since.
    """

    def __init__(self, node: Node, topic: str, timeout_s: float, say: Callable[[str], None]) -> None:
        """Begin to watch.

        Args:
            node: The node that has subscribed, or will; what it asks for is looked up in its subscriptions.
            topic: As given to ``create_subscription``; remapping is applied.
            timeout_s: Longest silence, seconds; 0 never warns.
            say: Receives the sentences, in the executor's thread.
        """
        self._node, self._topic, self._timeout_s, self._say = node, topic, timeout_s, say
        self.resume()
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(min(1.0, timeout_s / 4), self._check, clock=clock) if timeout_s > 0 else None

    def saw_image(self) -> None:
        """An image has come. From any thread; takes no lock."""
        self._image_s = time.monotonic()

    def pause(self) -> None:
        """Expect no images: the node is inactive, disabled or has nobody to work for."""
        self._is_paused, self.silent = True, False

    def resume(self) -> None:
        """Expect images, from now on. A watchdog that is not paused begins anew."""
        self._image_s, self._warn_s = time.monotonic(), self._timeout_s
        self._is_paused, self.silent = False, False

    def close(self) -> None:
        """Take the timer off the node."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _check(self) -> None:
        quiet_s = time.monotonic() - self._image_s
        if self._is_paused:
            return
        if quiet_s < self._timeout_s:
            self._warn_s = self._timeout_s
            if self.silent:
                self.silent = False
                self._say(f"images are back on {self._node.resolve_topic_name(self._topic)}")
        elif quiet_s >= self._warn_s:
            self.silent = True
            self._warn_s = quiet_s + min(quiet_s, LONGEST_PAUSE_S)
            where = self._node.resolve_topic_name(self._topic)
            self._say(f"no image on {where} for {quiet_s:.1f} s: {publishers_in_words(self._node, self._topic)}")
