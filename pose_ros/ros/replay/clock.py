"""The time of a recording, for nodes with ``use_sim_time``."""

from __future__ import annotations

import time

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock

_NS = 1_000_000_000
_PERIOD_NS = 10_000_000


class RecordedClock:
    """Publishes ``/clock``: the time at which each message was recorded, and evenly between them. It never goes back.

    Recorded times serve better than stamps: every recording has them, they are in order, and a stamp that is a little
    older says how late its message was then.
    """

    def __init__(self, node: Node) -> None:
        """Advertise ``/clock``.

        Args:
            node: It needs no spinning.
        """
        self._publisher = node.create_publisher(Clock, "/clock", QoSProfile(depth=10))
        self._now_ns: int | None = None

    def run_until(self, due_ns: int, recorded_ns: int) -> None:
        """Sleep until ``due_ns`` of the steady clock; this one has run to ``recorded_ns`` by then."""
        start_ns = time.monotonic_ns()
        from_ns = recorded_ns if self._now_ns is None else self._now_ns
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            share_left = left_ns / (due_ns - start_ns)
            self._tell(recorded_ns - round((recorded_ns - from_ns) * share_left))
            time.sleep(min(left_ns, _PERIOD_NS) / _NS)
        self._tell(recorded_ns)

    def _tell(self, now_ns: int) -> None:
        self._now_ns = now_ns if self._now_ns is None else max(self._now_ns, now_ns)
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(self._now_ns, _NS)
        self._publisher.publish(message)
