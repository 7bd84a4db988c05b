"""Log a warning at most once per period."""

from __future__ import annotations

import time

from rclpy.node import Node

from pose_ros.texts import printable

PERIOD_S = 5.0


class ThrottledWarning:
    """Function that logs a warning, at most once per ``PERIOD_S``. Thread-safe enough: a line may come twice."""

    def __init__(self, node: Node) -> None:
        self._node, self._logged_s = node, -PERIOD_S

    def __call__(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._logged_s >= PERIOD_S and self._node.context.ok():  # a closed context cannot log
            self._logged_s = now_s
            self._node.get_logger().warning(printable(text))
