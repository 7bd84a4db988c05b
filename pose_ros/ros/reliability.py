"""Choose the reliability of a subscription by the publishers of its topic.

A best-effort subscriber receives from every publisher, but loses images that do not fit into the shared memory of the
publisher. A reliable subscriber receives these, but nothing from a best-effort publisher.
"""

from __future__ import annotations

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

AUTO = "auto"
RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
POLICIES = {name.lower(): policy for name, policy in ReliabilityPolicy.__members__.items() if name != "UNKNOWN"}


def choose_reliability(node: Node, topic: str, current: ReliabilityPolicy | None = None) -> ReliabilityPolicy:
    """Return reliable if every publisher of a topic is reliable, and best effort if one is not.

    Args:
        node: Node that provides the graph.
        topic: Resolved name of the topic.
        current: Reliability of the present subscription, which is kept while there is no publisher. None = not
            subscribed.
    """
    publishers = node.get_publishers_info_by_topic(topic)
    if not publishers:  # reliable at first: a reliable publisher then never sees a subscription that is replaced
        return RELIABLE if current is None else current
    return RELIABLE if all(each.qos_profile.reliability == RELIABLE for each in publishers) else BEST_EFFORT


class RequestedReliability:
    """Reliability that a subscription requests now: that of a parameter, or else the one that the publishers allow.

    The parameter has the name that rclpy gives to the override of this policy, and one more value, ``auto``.
    """

    def __init__(self, node: Node, topic: str) -> None:
        """Declare the parameter.

        Args:
            node: Node that subscribes.
            topic: Resolved name of the topic.

        Raises:
            RuntimeError: If the value of the parameter is invalid.
        """
        self._node, self._topic = node, topic
        name = f"qos_overrides.{topic}.subscription.reliability"
        descriptor = ParameterDescriptor(
            name=name,
            description=f"reliability for subscription `{topic}`. auto = reliable while every publisher is reliable",
            read_only=True,
        )
        choices = ", ".join((AUTO, *POLICIES))
        try:
            value = node.declare_parameter(name, AUTO, descriptor).value
        except ParameterException as error:
            raise RuntimeError(f"parameter {name}: expected one of {choices}, got: {error}") from error
        if value.lower() not in (AUTO, *POLICIES):
            raise RuntimeError(f"parameter {name}: expected one of {choices}, got {value!r}")
        self._fixed = POLICIES.get(value.lower())

    def choose(self, current: ReliabilityPolicy | None) -> ReliabilityPolicy:
        """Return the reliability to request now.

        Args:
            current: Reliability of the present subscription. None = not subscribed.
        """
        return choose_reliability(self._node, self._topic, current) if self._fixed is None else self._fixed
