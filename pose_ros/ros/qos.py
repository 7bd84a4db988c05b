"""Describe the publishers and subscribers of a topic, and why they do not connect.

References:
    ROS 2 documentation, Quality of Service settings: compatibility of publishers and subscribers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions, QoSPolicyKind, _declare_qos_parameters
from rclpy.subscription import Subscription

from pose_ros.runtime.runner import Notify
from pose_ros.texts import MAX_QUOTE, printable

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
"""Policies that can be set with parameters ``qos_overrides.<topic>.<publisher or subscription>.<policy>``."""
OVERRIDABLE_EXCEPT_RELIABILITY = QoSOverridingOptions(
    tuple(policy for policy in OVERRIDABLE.policy_kinds if policy != QoSPolicyKind.RELIABILITY)
)
"""The same without the reliability, for subscriptions with a ``RequestedReliability``."""

GRAPH_DELAY_S = 0.5
"""Delay before a mismatch is reported: DDS discovers an endpoint before ROS knows it and the name of its node."""
MAX_LOOKS = 20
"""Number of times that the graph is searched for the peer, each after ``GRAPH_DELAY_S``."""

RAW, COMPRESSED = IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
SUFFIX = "/compressed"
"""End of the names of topics with compressed images, by the convention of image_transport."""
MAX_LISTED = 5
_INFINITE_S = 1e9
_TRANSPORTS = {RAW: "image_transport:=raw", COMPRESSED: "image_transport:=compressed"}


def declare_qos(
    node: Node,
    topic: str,
    profile: QoSProfile,
    *,
    is_publisher: bool,
    overridable: QoSOverridingOptions = OVERRIDABLE,
) -> None:
    """Declare the QoS parameters of a publisher or subscription before it is created, so that a bad value is found.

    Args:
        node: Node that publishes or subscribes.
        topic: Name as given to ``create_publisher`` or ``create_subscription``.
        profile: QoS without overrides. The overrides are written into it.
        is_publisher: True for a publisher, False for a subscription.
        overridable: Policies to declare.

    Raises:
        RuntimeError: If a value is invalid.
    """
    name, kind = node.resolve_topic_name(topic), Publisher if is_publisher else Subscription
    try:
        # Not public, but what create_subscription calls. A subscription only for this would be seen by publishers
        _declare_qos_parameters(kind, node, name, profile, overridable)
        if profile.depth < 0:
            raise ValueError(f"depth {profile.depth}")
    except (AttributeError, ParameterException, RuntimeError, TypeError, ValueError) as error:
        endpoint = "publisher" if is_publisher else "subscription"
        raise RuntimeError(f"qos_overrides.{name}.{endpoint}: expected valid policies, got: {error}") from error


def describe_publishers(node: Node, topic: str) -> str:
    """Describe the publishers of a topic, their QoS and any incompatibility.

    If the topic has no publisher, list the topics that have images.

    Args:
        node: Node that provides the graph and its own subscriptions.
        topic: Name as given to ``create_subscription``. Remapping is applied.
    """
    name = node.resolve_topic_name(topic)
    own = _own_endpoint(node.subscriptions, name)
    publishers = node.get_publishers_info_by_topic(name)
    if not publishers:
        return f"no publisher; {_describe_image_topics(node, name)}"
    descriptions = [_describe_publisher(info, name, own) for info in publishers]
    request = f"this node requests ({describe_qos(own.qos)})" if own else "this node has not subscribed"
    return f"{_join_items(descriptions)}; {request}"


def describe_qos(profile: QoSProfile) -> str:
    """Describe a QoS profile: reliability, durability, depth if known, and unusual policies.

    Example: ``"best effort, volatile, depth 5"``.
    """
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


def qos_events(
    node: Node, topic: str, notify: Notify, *, is_publisher: bool, count_lost: Callable[[int], None] | None = None
) -> Any:
    """Make the ``event_callbacks=`` of a publisher or subscription: they report each incompatible peer once.

    Args:
        node: The node that publishes or subscribes.
        topic: Name as given to ``create_publisher`` or ``create_subscription``.
        notify: Called in the executor's thread with one line per peer: the policies of both sides and the fix.
        is_publisher: True for a publisher, False for a subscription.
        count_lost: Called with the number of messages that a publisher sent and the subscription did not receive. Some
            middlewares cannot count them: ``create_subscription`` then raises ``UnsupportedEventTypeError``.
    """
    reporter = _MismatchReporter(node, topic, notify, is_publisher)
    if is_publisher:
        return PublisherEventCallbacks(incompatible_qos=reporter)

    def on_lost(event: Any) -> None:
        if count_lost is not None:
            count_lost(event.total_count_change)

    return SubscriptionEventCallbacks(incompatible_qos=reporter, message_lost=on_lost if count_lost else None)


def no_qos_events() -> Any:
    """Make the ``event_callbacks=`` of a publisher that is created and destroyed outside the executor's thread."""
    return PublisherEventCallbacks(use_default_callbacks=False)


@dataclass(frozen=True)
class _Endpoint:
    """This node's own publisher or subscription of a topic."""

    qos: QoSProfile
    type_name: str


def _own_endpoint(endpoints: Iterable[Any], name: str) -> _Endpoint | None:
    """Find the node's own publisher or subscription of a topic. Its QoS has the depth, which the graph lacks."""
    for endpoint in list(endpoints):
        if endpoint.topic_name == name:
            package = endpoint.msg_type.__module__.partition(".")[0]
            return _Endpoint(endpoint.qos_profile, f"{package}/msg/{endpoint.msg_type.__name__}")
    return None


def _describe_publisher(info: Any, name: str, own: _Endpoint | None) -> str:
    publisher = f"{_node_name(info)} publishes it ({describe_qos(info.qos_profile)})"
    if own is None:
        return publisher
    if info.topic_type != own.type_name:
        kind, advice = printable(info.topic_type, MAX_QUOTE), _advise_type(name, info.topic_type)
        return f"{publisher} with type {kind}, expected {own.type_name}{advice}"
    policies = _incompatible_policies(info.qos_profile, own.qos)
    if policies:
        return f"{publisher}, incompatible QoS: set {_override_names(name, 'subscription', policies)}"
    latched = ""
    if (info.qos_profile.durability, own.qos.durability) == (
        DurabilityPolicy.TRANSIENT_LOCAL,
        DurabilityPolicy.VOLATILE,
    ):
        prefix = f"qos_overrides.{name}.subscription"
        latched = (
            f"; to receive what it sent before, set {prefix}.durability to transient_local and {prefix}.reliability "
            "to reliable"
        )
    return f"{publisher}, compatible QoS: it sends nothing, or the network loses its messages{latched}"


def _describe_image_topics(node: Node, name: str) -> str:
    own = {publisher.topic_name for publisher in list(node.publishers)}
    topics = {
        topic: kind
        for topic, kinds in node.get_topic_names_and_types()
        for kind in kinds
        if kind in IMAGE_TYPES and topic not in own and node.count_publishers(topic)
    }
    if not topics:
        return "no other topic has images"
    listed = [f"{printable(topic, MAX_QUOTE)} ({kind.rpartition('/')[2]})" for topic, kind in topics.items()]
    return f"images are published on {_join_items(listed)}: {_advise_topic(name, topics)}"


def _advise_topic(name: str, topics: Mapping[str, str]) -> str:
    """Tell how to receive one of the topics. ``name`` is the topic without a publisher."""
    other = _other_transport(name)
    if topics.keys() == {other}:
        return f"set {_TRANSPORTS[topics[other]]}"
    kinds = set(topics.values())
    remap = "remap the image topic of this node to one of them"
    own_kind = COMPRESSED if name.endswith(SUFFIX) else RAW
    if kinds == {own_kind}:
        advice = remap
    elif own_kind in kinds:
        kind = (kinds - {own_kind}).pop()
        advice = f"{remap}, and for {kind.rpartition('/')[2]} set {_TRANSPORTS[kind]}"
    else:
        advice = f"set {_TRANSPORTS[kinds.pop()]}, and {remap}"
    has_other_names = any(kind == COMPRESSED and not topic.endswith(SUFFIX) for topic, kind in topics.items())
    return advice + (f"; for CompressedImage without {SUFFIX} in its name, remap image{SUFFIX}" * has_other_names)


def _advise_type(name: str, kind: str) -> str:
    """Tell how to receive images of another type on the subscribed topic."""
    if kind not in _TRANSPORTS:
        return ""
    if kind == COMPRESSED and not name.endswith(SUFFIX):
        return f": set {_TRANSPORTS[kind]}, and remap image{SUFFIX} to {name}"
    return f": set {_TRANSPORTS[kind]}" + (f", and remap image to {name}" if kind == RAW else "")


def _other_transport(name: str) -> str:
    return name.removesuffix(SUFFIX) if name.endswith(SUFFIX) else f"{name}{SUFFIX}"


def _join_items(items: list[str]) -> str:
    more = len(items) - MAX_LISTED
    return "; ".join(items[:MAX_LISTED]) + (f"; and {more} more" if more > 0 else "")


def _node_name(info: Any) -> str:
    if not _has_name(info):
        return "a node without a name"
    return printable(f"{info.node_namespace.rstrip('/')}/{info.node_name}", MAX_QUOTE)


def _has_name(info: Any) -> bool:
    """Tell whether the graph knows the node. rmw has placeholders, such as _NODE_NAME_UNKNOWN_."""
    return bool(info.node_name) and not info.node_name.startswith("_")


def _incompatible_policies(offered: QoSProfile, requested: QoSProfile) -> list[str]:
    """Return the policies that prevent a connection."""
    return [policy for policy, is_incompatible in _IS_INCOMPATIBLE.items() if is_incompatible(offered, requested)]


def _override_names(name: str, endpoint: str, policies: list[str]) -> str:
    return " and ".join(f"qos_overrides.{name}.{endpoint}.{policy}" for policy in policies)


def _seconds(duration: Any) -> float:
    """Convert a deadline or lease. "No limit" is 0 in Python profiles and very long in the graph: both return inf."""
    seconds = duration.nanoseconds / 1e9
    return seconds if 0 < seconds < _INFINITE_S else math.inf


_IS_INCOMPATIBLE: dict[str, Callable[[QoSProfile, QoSProfile], bool]] = {
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
"""By policy: whether a publisher offers less than a subscriber requests (tables of the ROS 2 documentation)."""


class _MismatchReporter:
    """Reports each incompatible peer once, as soon as the graph has it and the name of its node."""

    def __init__(self, node: Node, topic: str, notify: Notify, is_publisher: bool) -> None:
        self._node, self._notify, self._is_publisher = node, notify, is_publisher
        self._name = node.resolve_topic_name(topic)
        self._reported: set[bytes] = set()
        self._timer: Any = None
        self._looks = self._missing = 0

    def __call__(self, event: Any) -> None:
        """Handle an event of the middleware. It tells how many peers are new, but not which ones."""
        self._looks, self._missing = 0, self._missing + event.total_count_change
        if self._timer is None:
            clock = Clock(clock_type=ClockType.STEADY_TIME)
            self._timer = self._node.create_timer(GRAPH_DELAY_S, self._look, clock=clock)

    def _look(self) -> None:
        """Report the new peers that the graph has, and stop when there are enough."""
        self._looks += 1
        is_last = self._looks >= MAX_LOOKS
        own = _own_endpoint(self._node.publishers if self._is_publisher else self._node.subscriptions, self._name)
        if own is not None:  # not destroyed
            self._report(own, without_name=is_last)
        if own is None or self._missing <= 0 or is_last:
            self._node.destroy_timer(self._timer)
            self._timer, self._missing = None, 0

    def _report(self, own: _Endpoint, without_name: bool) -> None:
        peers = {bytes(info.endpoint_gid): (info, self._check_peer(info, own)) for info in self._find_peers()}
        incompatible = {gid: peer for gid, peer in peers.items() if peer[1]}
        self._reported &= incompatible.keys()
        for gid in incompatible.keys() - self._reported:
            info, policies = incompatible[gid]
            if without_name or _has_name(info):
                self._notify(self._describe(own, info, policies))
                self._reported.add(gid)
                self._missing -= 1

    def _find_peers(self) -> list[Any]:
        node = self._node
        get_info = node.get_subscriptions_info_by_topic if self._is_publisher else node.get_publishers_info_by_topic
        peers: list[Any] = get_info(self._name)
        return peers

    def _check_peer(self, info: Any, own: _Endpoint) -> list[str]:
        profiles = (own.qos, info.qos_profile)
        return _incompatible_policies(*(profiles if self._is_publisher else reversed(profiles)))

    def _describe(self, own: _Endpoint, info: Any, policies: list[str]) -> str:
        peer, peer_qos, own_qos = _node_name(info), describe_qos(info.qos_profile), describe_qos(own.qos)
        if self._is_publisher:
            mismatch = f"{peer} requests ({peer_qos}), this node offers ({own_qos})"
        else:
            mismatch = f"{peer} offers ({peer_qos}), this node requests ({own_qos})"
        overrides = _override_names(self._name, "publisher" if self._is_publisher else "subscription", policies)
        return f"{self._name}: {mismatch}: incompatible QoS, no message arrives; set {overrides}"
