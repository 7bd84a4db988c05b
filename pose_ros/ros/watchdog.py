"""Why no image comes: who publishes, and what does not fit.

References:
    ROS 2 documentation, Quality of Service settings: which policies of a publisher and a subscriber fit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

LONGEST_PAUSE_S = 300.0
GRAPH_DELAY_S = 0.5
"""A peer is known to DDS before its node's name is known to ROS."""

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
MOST_NAMED = 5
_NEVER_S = 1e9
Say = Callable[[str], None]


class Watchdog:
    """Says so when no image comes: what is published, by whom, how, and what does not fit.

    The first warning comes after ``timeout_s``; each further one after twice the pause before it, at most
    ``LONGEST_PAUSE_S``. When images come again, that is said once. It is checked by a timer of the node on the steady
    clock: where simulated time stands still, too.

    Attributes:
        silent: Whether a warning is out, and no image has come since.
    """

    def __init__(self, node: Node, topic: str, timeout_s: float, say: Say) -> None:
        """Begin to watch.

        Args:
            node: The node that has subscribed, or will; what it asks for is looked up in its subscriptions.
            topic: As given to ``create_subscription``; remapping is applied.
            timeout_s: Longest silence, seconds; 0 never warns.
            say: Receives the sentences, in the executor's thread.
        """
        self._node, self._topic, self._timeout_s, self._say = node, topic, timeout_s, say
        self.resume()
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(min(1.0, timeout_s / 4), self._check, clock=clock) if timeout_s > 0 else None

    def saw_image(self) -> None:
        """An image has come. From any thread; takes no lock."""
        self._image_s = time.monotonic()

    def pause(self) -> None:
        """Expect no images: the node is inactive, disabled or has nobody to work for."""
        self._is_paused, self.silent = True, False

    def resume(self) -> None:
        """Expect images, from now on. A watchdog that is not paused begins anew."""
        self._image_s, self._warn_s = time.monotonic(), self._timeout_s
        self._is_paused, self.silent = False, False

    def close(self) -> None:
        """Take the timer off the node."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _check(self) -> None:
        quiet_s = time.monotonic() - self._image_s
        if self._is_paused:
            return
        if quiet_s < self._timeout_s:
            self._warn_s = self._timeout_s
            if self.silent:
                self.silent = False
                self._say(f"images are back on {self._node.resolve_topic_name(self._topic)}")
        elif quiet_s >= self._warn_s:
            self.silent = True
            self._warn_s = quiet_s + min(quiet_s, LONGEST_PAUSE_S)
            where = self._node.resolve_topic_name(self._topic)
            self._say(f"no image on {where} for {quiet_s:.1f} s: {publishers_in_words(self._node, self._topic)}")


def publishers_in_words(node: Node, topic: str, our_qos: QoSProfile | None = None) -> str:
    """Who publishes a topic, how, and what does not fit us; where nobody does, which topics carry images.

    Args:
        node: Its graph is asked.
        topic: As given to ``create_subscription``; remapping is applied.
        our_qos: What we ask for; None takes that of the node's subscription.
    """
    name = node.resolve_topic_name(topic)
    ours = _own_end(node.subscriptions, name)
    our_qos = our_qos or (ours and ours.qos)
    publishers = node.get_publishers_info_by_topic(name)
    if not publishers:
        return f"nobody publishes it; {_images_elsewhere(node)}"
    described = [_publisher_in_words(info, name, our_qos, ours) for info in publishers]
    asked = f"; ours: {qos_in_words(our_qos)}" if our_qos else "; this node has not subscribed"
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


def subscription_events(node: Node, topic: str, say: Say) -> SubscriptionEventCallbacks:
    """For ``create_subscription(event_callbacks=…)``: tells each publisher that does not fit, once, with both policies.

    Args:
        node: The node that subscribes.
        topic: As given to ``create_subscription``.
        say: Receives the sentences, in the executor's thread.
    """
    return SubscriptionEventCallbacks(incompatible_qos=_Telltale(node, topic, say, is_publisher=False))


def publisher_events(node: Node, topic: str, say: Say) -> PublisherEventCallbacks:
    """For ``create_publisher(event_callbacks=…)``: tells each subscriber that does not fit, once, with both policies.

    Args:
        node: The node that publishes.
        topic: As given to ``create_publisher``.
        say: Receives the sentences, in the executor's thread.
    """
    return PublisherEventCallbacks(incompatible_qos=_Telltale(node, topic, say, is_publisher=True))


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


def _publisher_in_words(info: Any, name: str, our_qos: QoSProfile | None, ours: _End | None) -> str:
    words = f"{_node_name(info)} publishes it ({qos_in_words(info.qos_profile)})"
    if ours and info.topic_type != ours.type_name:
        return f"{words} as {info.topic_type}, which is not {ours.type_name}"
    if our_qos is None:
        return words
    policies = _misfits(info.qos_profile, our_qos)
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


class _Telltale:
    """Tells of each peer that does not fit, once, and a little late: when its name is known."""

    def __init__(self, node: Node, topic: str, say: Say, is_publisher: bool) -> None:
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
