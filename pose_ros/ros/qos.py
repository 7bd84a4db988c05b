"""Who is at the other end of a topic, and what keeps the two ends apart.

References:
    ROS 2 documentation, Quality of Service settings: which policies of a publisher and a subscriber fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

OVERRIDABLE = QoSOverridingOptions(
    (
        QoSPolicyKind.HISTORY,
        QoSPolicyKind.DEPTH,
        QoSPolicyKind.RELIABILITY,
        QoSPolicyKind.DURABILITY,
        QoSPolicyKind.DEADLINE,
        QoSPolicyKind.LIVELINESS,
        QoSPolicyKind.LIVELINESS_LEASE_DURATION,
    )
)
"""Every policy that can keep two ends apart is a parameter ``qos_overrides.<topic>.<end>.<policy>``."""

GRAPH_DELAY_S = 0.5
"""A peer is known to DDS before its node's name is known to ROS."""

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
MOST_NAMED = 5
_NEVER_S = 1e9


def publishers_in_words(node: Node, topic: str) -> str:
    """Who publishes a topic, how, and what does not fit us; where nobody does, which topics carry images.

    Args:
        node: Its graph is asked, and what it asks for itself.
        topic: As given to ``create_subscription``; remapping is applied.
    """
    name = node.resolve_topic_name(topic)
    ours = _own_end(node.subscriptions, name)
    publishers = node.get_publishers_info_by_topic(name)
    if not publishers:
        return f"nobody publishes it; {_images_elsewhere(node)}"
    described = [_publisher_in_words(info, name, ours) for info in publishers]
    asked = f"; ours: {qos_in_words(ours.qos)}" if ours else "; this node has not subscribed"
    return _listed(described) + asked


def qos_in_words(profile: QoSProfile) -> str:
    """Reliability, durability and what else is known or unusual: ``"best effort, volatile, depth 5"``."""
    words = [policy.name.lower().replace("_", " ") for policy in (profile.reliability, profile.durability)]
    if profile.history == HistoryPolicy.KEEP_ALL:
        words.append("keep all")
    elif profile.history == HistoryPolicy.KEEP_LAST and profile.depth > 0:
        words.append(f"depth {profile.depth}")
    spans = {"deadline": profile.deadline, "lease": profile.liveliness_lease_duration}
    words += [f"{name} {_seconds(span):g} s" for name, span in spans.items() if _seconds(span) < math.inf]
    if profile.liveliness == LivelinessPolicy.MANUAL_BY_TOPIC:
        words.append("manual liveliness")
    return ", ".join(words)


def qos_events(node: Node, topic: str, say: Callable[[str], None], *, is_publisher: bool) -> Any:
    """For ``event_callbacks=`` of a publisher or subscription: tells each peer that does not fit, once, and why.

    Args:
        node: The node that publishes or subscribes.
        topic: As given to ``create_publisher`` or ``create_subscription``.
        say: Receives the sentences, with both sides' policies, in the executor's thread.
        is_publisher: Which of the two it is.
    """
    callbacks = PublisherEventCallbacks if is_publisher else SubscriptionEventCallbacks
    return callbacks(incompatible_qos=_MismatchReporter(node, topic, say, is_publisher))


@dataclass(frozen=True)
class _End:
    """Our own end of a topic."""

    qos: QoSProfile
    type_name: str


def _own_end(ends: Iterable[Any], name: str) -> _End | None:
    """The node's own publisher or subscription of a topic; the graph knows no depth, this one does."""
    for end in list(ends):
        if end.topic_name == name:
            package = end.msg_type.__module__.partition(".")[0]
            return _End(end.qos_profile, f"{package}/msg/{end.msg_type.__name__}")
    return None


def _publisher_in_words(info: Any, name: str, ours: _End | None) -> str:
    words = f"{_node_name(info)} publishes it ({qos_in_words(info.qos_profile)})"
    if ours is None:
        return words
    if info.topic_type != ours.type_name:
        return f"{words} as {info.topic_type}, which is not {ours.type_name}"
    policies = _misfits(info.qos_profile, ours.qos)
    if policies:
        return f"{words}, which does not fit: set {_overrides(name, 'subscription', policies)}"
    return f"{words}, which fits: it sends nothing, or the network loses it"


def _images_elsewhere(node: Node) -> str:
    own = {publisher.topic_name for publisher in list(node.publishers)}
    topics = [
        f"{name} ({kind.rpartition('/')[2]})"
        for name, kinds in node.get_topic_names_and_types()
        for kind in kinds
        if kind in IMAGE_TYPES and name not in own and node.count_publishers(name)
    ]
    if not topics:
        return "nor are there images on another topic"
    return f"images are on {_listed(topics)}: remap this node's to one of them"


def _listed(words: list[str]) -> str:
    more = len(words) - MOST_NAMED
    return "; ".join(words[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _node_name(info: Any) -> str:
    if not info.node_name or info.node_name.startswith("_"):  # rmw's placeholders, such as _NODE_NAME_UNKNOWN_
        return "a node without a name"
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def _misfits(offered: QoSProfile, requested: QoSProfile) -> list[str]:
    """The policies for which nothing gets from one to the other."""
    return [policy for policy, is_too_little in _TOO_LITTLE.items() if is_too_little(offered, requested)]


def _overrides(name: str, end: str, policies: list[str]) -> str:
    return " and ".join(f"qos_overrides.{name}.{end}.{policy}" for policy in policies)


def _seconds(duration: Any) -> float:
    """Of a deadline or a lease; none is infinite, which is 0 in a profile of Python and very long in the graph's."""
    seconds = duration.nanoseconds / 1e9
    return seconds if 0 < seconds < _NEVER_S else math.inf


_TOO_LITTLE: dict[str, Callable[[QoSProfile, QoSProfile], bool]] = {
    "reliability": lambda offered, requested: (
        (offered.reliability, requested.reliability) == (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE)
    ),
    "durability": lambda offered, requested: (
        (offered.durability, requested.durability) == (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL)
    ),
    "deadline": lambda offered, requested: _seconds(offered.deadline) > _seconds(requested.deadline),
    "liveliness": lambda offered, requested: (
        (offered.liveliness, requested.liveliness) == (LivelinessPolicy.AUTOMATIC, LivelinessPolicy.MANUAL_BY_TOPIC)
    ),
    "liveliness_lease_duration": lambda offered, requested: (
        _seconds(offered.liveliness_lease_duration) > _seconds(requested.liveliness_lease_duration)
    ),
}
"""Whether a publisher offers less than a subscriber asks for: the tables of the documentation."""


class _MismatchReporter:
    """Tells of each peer that does not fit, once, and a little late: when its name is known."""

    def __init__(self, node: Node, topic: str, say: Callable[[str], None], is_publisher: bool) -> None:
        self._node, self._say, self._is_publisher = node, say, is_publisher
        self._name = node.resolve_topic_name(topic)
        self._told: set[bytes] = set()
        self._timer: Any = None

    def __call__(self, event: Any) -> None:
        """The middleware's event: it says what does not fit, but not with whom."""
        if self._timer is None:
            clock = Clock(clock_type=ClockType.STEADY_TIME)
            self._timer = self._node.create_timer(GRAPH_DELAY_S, self._tell, clock=clock)

    def _tell(self) -> None:
        self._node.destroy_timer(self._timer)
        self._timer = None
        ours = _own_end(self._node.publishers if self._is_publisher else self._node.subscriptions, self._name)
        if ours is None:
            return  # no longer ours to complain of
        peers = {bytes(info.endpoint_gid): (info, self._policies(info, ours)) for info in self._peers()}
        misfits = {gid: peer for gid, peer in peers.items() if peer[1]}
        for gid in misfits.keys() - self._told:
            self._say(self._sentence(ours, *misfits[gid]))
        self._told = set(misfits)

    def _peers(self) -> list[Any]:
        node = self._node
        ask = node.get_subscriptions_info_by_topic if self._is_publisher else node.get_publishers_info_by_topic
        peers: list[Any] = ask(self._name)
        return peers

    def _policies(self, info: Any, ours: _End) -> list[str]:
        ends = (ours.qos, info.qos_profile)
        return _misfits(*(ends if self._is_publisher else reversed(ends)))

    def _sentence(self, ours: _End, info: Any, policies: list[str]) -> str:
        peer, theirs, own = _node_name(info), qos_in_words(info.qos_profile), qos_in_words(ours.qos)
        if self._is_publisher:
            what = f"{peer} subscribes and asks for {theirs}; we offer {own}: it receives nothing"
        else:
            what = f"{peer} publishes and offers {theirs}; we ask for {own}: we receive nothing"
        overrides = _overrides(self._name, "publisher" if self._is_publisher else "subscription", policies)
        return f"{self._name}: {what}; set {overrides}"
