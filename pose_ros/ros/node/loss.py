"""Warn if images are lost between a camera and the node, and name the cure."""

from __future__ import annotations

import os

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier

from pose_ros.ros.reliability import RELIABLE, choose_reliability
from pose_ros.runtime.runner import Notify

WARN_PERIOD_S = 300.0
_FAST_DDS_2 = ("humble", "jazzy")
_PROFILE = "$(ros2 pkg prefix --share pose_ros)/config/fastdds.xml"


def describe_loss(lost_share: float, missing_share: float, limit: float) -> str:
    """Describe a loss that reaches the limit. Empty = no loss. A limit of 1 = off."""
    if limit < 1 and lost_share >= limit:
        return f"{lost_share:.0%} of the images are lost before they arrive"
    if limit < 1 and missing_share >= limit:
        return f"by their stamps, {missing_share:.0%} of the images are missing"
    return ""


class LossReporter:
    """Warns when images are lost, at most once per ``WARN_PERIOD_S``."""

    def __init__(self, node: Node, topic: str, notify: Notify) -> None:
        """Report nothing yet.

        Args:
            node: Node that subscribes.
            topic: Resolved name of the image topic.
            notify: Called with one line of text.
        """
        self._node, self._topic, self._notify = node, topic, notify
        self._warned_s = -WARN_PERIOD_S

    def check(self, loss: tuple[float, float], limit: float, reliability: ReliabilityPolicy, now_s: float) -> None:
        """Warn if the share of lost images reaches the limit.

        Args:
            loss: Lost and missing share of the recent images, as in ``CameraStatistics.loss``.
            limit: Share that causes a warning. 1 = off.
            reliability: Reliability of the subscription.
            now_s: Monotonic time, seconds.
        """
        problem = describe_loss(*loss, limit)
        if problem and now_s - self._warned_s >= WARN_PERIOD_S:
            self._warned_s = now_s
            policy = reliability.name.lower().replace("_", " ")
            self._notify(f"{self._topic}: {problem} ({policy} subscription); {self._describe_cure(reliability)}")

    def _describe_cure(self, reliability: ReliabilityPolicy) -> str:
        if reliability == RELIABLE:
            return "the camera, the network or this computer is too slow: reduce the size or rate of the images"
        if choose_reliability(self._node, self._topic) == RELIABLE:
            return f"remove qos_overrides.{self._topic}.subscription.reliability: every publisher is reliable"
        if "fastrtps" not in get_rmw_implementation_identifier():
            return "let the camera driver publish reliably, or receive compressed images (image_transport)"
        variable = "FASTRTPS" if os.environ.get("ROS_DISTRO", "jazzy") in _FAST_DDS_2 else "FASTDDS"
        return f"start the camera driver with {variable}_DEFAULT_PROFILES_FILE={_PROFILE}, or let it publish reliably"
