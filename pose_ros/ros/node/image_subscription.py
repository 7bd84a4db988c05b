"""Subscribe to the images of one camera, as reliably as its publishers allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data

from pose_ros.ros.qos import OVERRIDABLE_EXCEPT_RELIABILITY, declare_qos, qos_events
from pose_ros.ros.reliability import RequestedReliability

try:
    from rclpy.event_handler import UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import UnsupportedEventTypeError


class ImageSubscription:
    """Subscription that is created again when another reliability suits its publishers. At most one exists at a time.

    Attributes:
        reliability: Reliability that it requests. None = not subscribed.
    """

    def __init__(
        self, node: Node, kind: Any, topic: str, receive: Callable[[Any], None], count_lost: Callable[[int], None]
    ) -> None:
        """Declare the QoS parameters. ``update`` subscribes.

        Args:
            node: Node that subscribes.
            kind: Type of the messages.
            topic: Name as given to ``create_subscription``. Remapping is applied.
            receive: Called with each message.
            count_lost: Called with the number of messages that were sent and did not arrive, if the middleware
                counts them.

        Raises:
            RuntimeError: If a QoS override is invalid.
        """
        self._node, self._kind, self._topic, self._receive = node, kind, topic, receive
        self.reliability: ReliabilityPolicy | None = None
        self._requested = RequestedReliability(node, node.resolve_topic_name(topic))
        profile = _make_profile(ReliabilityPolicy.BEST_EFFORT)
        declare_qos(node, topic, profile, is_publisher=False, overridable=OVERRIDABLE_EXCEPT_RELIABILITY)
        self._subscription: Any = None
        # Kept over all subscriptions, so that each incompatible peer is reported once
        notify = node.get_logger().warning
        self._events = qos_events(node, topic, notify, is_publisher=False, count_lost=count_lost)
        self._basic_events = qos_events(node, topic, notify, is_publisher=False)

    def update(self, needed: bool) -> None:
        """Subscribe if the images are needed, and unsubscribe if not. Call it often: the publishers may change."""
        reliability = self._requested.choose(self.reliability) if needed else None
        if reliability == self.reliability:
            return
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = self.reliability = None
        if reliability is not None:
            self._subscription = self._subscribe(reliability)
            self.reliability = reliability

    def _subscribe(self, reliability: ReliabilityPolicy) -> Any:
        try:
            return self._create(reliability, self._events)
        except UnsupportedEventTypeError:  # the middleware does not count lost messages
            return self._create(reliability, self._basic_events)

    def _create(self, reliability: ReliabilityPolicy, events: Any) -> Any:
        return self._node.create_subscription(
            self._kind,
            self._topic,
            self._receive,
            _make_profile(reliability),
            qos_overriding_options=OVERRIDABLE_EXCEPT_RELIABILITY,
            event_callbacks=events,
        )


def _make_profile(reliability: ReliabilityPolicy) -> QoSProfile:
    """Make a new profile. rclpy writes the overrides of the parameters into it."""
    return QoSProfile(depth=qos_profile_sensor_data.depth, reliability=reliability)
