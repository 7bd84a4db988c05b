"""Watch for simulated time that never starts."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

PERIOD_S = 1.0


class SimTimeCheck:
    """Warns once if ``use_sim_time`` is true and no time arrives on ``/clock``. The time of the node is 0 then."""

    def __init__(self, node: Node, timeout_s: Callable[[], float]) -> None:
        """Start checking, on the steady clock.

        Args:
            node: The node.
            timeout_s: Returns the time without ``/clock`` before the warning, seconds. 0 = off.
        """
        self._node, self._timeout_s = node, timeout_s
        self._since_s = time.monotonic()
        self._has_warned = False
        node.create_timer(PERIOD_S, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _check(self) -> None:
        clock, log = self._node.get_clock(), self._node.get_logger()
        if not clock.ros_time_is_active or clock.now().nanoseconds:
            self._since_s = time.monotonic()
            if self._has_warned:
                self._has_warned = False
                log.info("/clock: time arrives")
            return
        waited_s = time.monotonic() - self._since_s
        if 0 < self._timeout_s() <= waited_s and not self._has_warned:
            self._has_warned = True
            log.warning(
                f"/clock: no time for {waited_s:.1f} s, but use_sim_time is true; start the simulation, use "
                "`ros2 bag play --clock`, or set use_sim_time to false"
            )
