"""Publish the other topics of a bag next to its images: transforms, calibrations, the clock and so on."""

from __future__ import annotations

import difflib
import importlib
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message

from pose_ros.media.bag import Bag
from pose_ros.media.recorded_message import RecordedMessage
from pose_ros.texts import printable

ALL = "all"
_CLOCK = "/clock"
_NS = 1_000_000_000
_DEPTH = 100
_LATCHED_DEPTH = 1000
"""Latched messages that a late subscriber gets. Each node that publishes static transforms has recorded one."""


class OtherTopics:
    """Publishers of the other topics of a bag, under their recorded names.

    A topic that was latched is latched again, such as ``/tf_static``. A type that is not installed is left out with a
    warning.

    Attributes:
        names: The topics.
    """

    def __init__(self, node: Node, bag: Bag, wanted: str, has_clock: bool) -> None:
        """Create the publishers.

        Args:
            node: Node that publishes.
            bag: The bag.
            wanted: Names of topics, separated by commas. ``all`` = all topics without their own publisher.
            has_clock: Whether ``/clock`` has its own publisher. A recorded clock would contradict it.

        Raises:
            ValueError: If a topic is not in the bag.
        """
        self._publishers: dict[str, Any] = {}
        self._types: dict[str, Any] = {}
        for topic in _select_topics(bag, wanted):
            if topic == _CLOCK and has_clock:
                continue
            kind = find_type(bag.types[topic])
            if kind is None:
                found = printable(f"{topic}: not published, because {bag.types[topic]} is not installed")
                node.get_logger().warning(found)
                continue
            is_latched = topic in bag.latched_topics
            durability = DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE
            qos = QoSProfile(depth=_LATCHED_DEPTH if is_latched else _DEPTH, durability=durability)
            self._types[topic], self._publishers[topic] = kind, node.create_publisher(kind, topic, qos)
        self.names = tuple(self._publishers)

    def publish(self, message: RecordedMessage, shift_ns: int) -> None:
        """Publish a message if it is of one of these topics.

        Args:
            message: Message of the bag.
            shift_ns: Added to all stamps of the message, ns.
        """
        if message.topic not in self._publishers:
            return
        data: Any = message.data
        if shift_ns:
            data = deserialize_message(data, self._types[message.topic])
            shift_stamps(data, shift_ns)
        self._publishers[message.topic].publish(data)

    def wait_until_received(self, timeout: Duration) -> None:
        """Wait until reliable subscribers have received all messages."""
        for publisher in self._publishers.values():
            if publisher.get_subscription_count():
                publisher.wait_for_all_acked(timeout)


def shift_stamps(message: Any, shift_ns: int) -> None:
    """Add a time to all stamps of a ROS message, nested ones included. A stamp of 0 has no time, and stays."""
    for name, kind in message.get_fields_and_field_types().items():
        value = getattr(message, name)
        if kind == "builtin_interfaces/Time":
            if stamp_ns := value.sec * _NS + value.nanosec:
                value.sec, value.nanosec = divmod(stamp_ns + shift_ns, _NS)
        elif "/" in kind:
            for each in value if isinstance(value, (list, tuple)) else [value]:
                shift_stamps(each, shift_ns)


def _select_topics(bag: Bag, wanted: str) -> list[str]:
    if wanted == ALL:
        return sorted(bag.types.keys() - {bag.image_topic, bag.camera_info_topic})
    names = ["/" + name.strip().lstrip("/") for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in bag.types:
            near = difflib.get_close_matches(name, bag.types, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"also: expected topics of the bag ({', '.join(sorted(bag.types))}), got {name}{hint}")
    return [name for name in dict.fromkeys(names) if name != bag.image_topic]


def find_type(name: str) -> Any | None:
    """Return the class of a message type, None if its package is not installed."""
    package, _, kind = name.partition("/msg/")
    if not (package.isidentifier() and kind.isidentifier()):  # such as "foxglove.Log in json encoding"
        return None
    module = f"{package}.msg"
    try:
        return getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError):
        return None
