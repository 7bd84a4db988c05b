"""Create the publishers of the node, and ask whether they have subscribers."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

from pose_ros.ros.qos import OVERRIDABLE, declare_qos, qos_events


def create_publisher(node: Node, kind: Any, topic: str, depth: int) -> Any:
    """Create a reliable publisher. Its policies can be overridden, and incompatible subscribers are logged.

    Args:
        node: Node that publishes.
        kind: Type of the messages.
        topic: Name of the topic. Remapping is applied.
        depth: Messages that are kept for slow subscribers.

    Raises:
        RuntimeError: If a QoS override is invalid.
    """
    declare_qos(node, topic, QoSProfile(depth=depth), is_publisher=True)
    return node.create_publisher(
        kind,
        topic,
        QoSProfile(depth=depth),
        qos_overriding_options=OVERRIDABLE,
        event_callbacks=qos_events(node, topic, node.get_logger().warning, is_publisher=True),
    )


def has_subscribers(publisher: Any) -> bool:
    """Return whether a publisher has a subscriber."""
    return bool(publisher.get_subscription_count() > 0)
