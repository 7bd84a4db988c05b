"""Publish the time of a recording on ``/clock``, for nodes with ``use_sim_time``."""

from __future__ import annotations

import time

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock

_NS = 1_000_000_000
_PERIOD_NS = 10_000_000


class RecordedClock:
    """Publishes ``/clock``: the time when each message was recorded, interpolated in between. It never goes back.

    It uses recorded times, not stamps. Every recording has them, they are in order, and their distance to the stamps
    shows the latency of the recorded messages.
    """

    def __init__(self, node: Node) -> None:
        """Create the publisher.

        Args:
            node: Node that publishes. It does not need to spin.
        """
        self._publisher = node.create_publisher(Clock, "/clock", QoSProfile(depth=10))
        self._now_ns: int | None = None

    def run_until(self, due_ns: int, recorded_ns: int) -> None:
        """Sleep until ``due_ns``, and publish times up to ``recorded_ns``.

        Args:
            due_ns: End of the sleep, on the steady clock, ns.
            recorded_ns: Time on ``/clock`` at the end of the sleep, ns.
        """
        start_ns = time.monotonic_ns()
        from_ns = recorded_ns if self._now_ns is None else self._now_ns
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            fraction_left = left_ns / (due_ns - start_ns)
            self._publish(recorded_ns - round((recorded_ns - from_ns) * fraction_left))
            time.sleep(min(left_ns, _PERIOD_NS) / _NS)
        self._publish(recorded_ns)

    def _publish(self, now_ns: int) -> None:
        self._now_ns = now_ns if self._now_ns is None else max(self._now_ns, now_ns)
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(self._now_ns, _NS)
        self._publisher.publish(message)
