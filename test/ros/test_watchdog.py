"""Tests of the watchdog and the QoS events, with incompatible publishers and subscribers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from pose_ros.msg import PersonPoseArray
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_profile_sensor_data,
)
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from pose_ros.ros import qos as peers
from pose_ros.ros.node import camera, watchdog
from pose_ros.ros.node.watchdog import Watchdog
from pose_ros.ros.qos import MAX_LISTED, describe_publishers, describe_qos, qos_events

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RELIABLE_REQUEST = QoSProfile(depth=5, reliability=RELIABLE)
SILENCE_S = 0.3
PUBLISHER = """
import sys, time
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node("driver", namespace="/front")
publisher = node.create_publisher(Image, "/image", qos_profile_sensor_data)
while rclpy.ok():
    publisher.publish(Image())
    time.sleep(0.05)
"""


@pytest.fixture
def make_other_node(graph: Any, domain_id: int) -> Iterator[Callable[..., Any]]:
    """Return ``make_other_node("driver", namespace="/front")``, which makes a node in a separate context."""
    contexts = []

    def make_other_node(name: str, **options: Any) -> Any:
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain_id)
        node = rclpy.create_node(name, context=context, **options)
        contexts.append((context, node))
        return node

    yield make_other_node
    for context, node in contexts:
        node.destroy_node()
        rclpy.shutdown(context=context)


def ignore(message: Any) -> None:
    """Ignore a message."""


def wait_for_publishers(graph: Any, topic: str, count: int = 1) -> None:
    """Wait until the graph shows this number of publishers, with the names of their nodes."""

    def is_discovered() -> bool:
        found = graph.node.get_publishers_info_by_topic(topic)
        return len(found) == count and not any(info.node_name.startswith("_") for info in found)

    graph.until(is_discovered, f"{count} publishers of {topic} are discovered")


@pytest.mark.parametrize(
    ("profile", "description"),
    [
        pytest.param(qos_profile_sensor_data, "best effort, volatile, depth 5", id="sensor data"),
        pytest.param(LATCHED, "reliable, transient local, depth 1", id="latched"),
        pytest.param(QoSProfile(history=HistoryPolicy.KEEP_ALL), "reliable, volatile, keep all", id="keep all"),
        pytest.param(
            QoSProfile(depth=1, deadline=Duration(seconds=1.5), liveliness=LivelinessPolicy.MANUAL_BY_TOPIC),
            "reliable, volatile, depth 1, deadline 1.5 s, manual liveliness",
            id="unusual policies",
        ),
        pytest.param(
            QoSProfile(depth=0, history=HistoryPolicy.UNKNOWN, reliability=BEST_EFFORT),
            "best effort, volatile",
            id="without depth, as in the graph",
        ),
    ],
)
def test_qos_is_described(profile: QoSProfile, description: str) -> None:
    assert describe_qos(profile) == description


def test_an_incompatible_publisher_is_named_with_both_profiles(graph: Any, make_other_node: Any) -> None:
    graph.node.create_subscription(Image, "/image", ignore, RELIABLE_REQUEST)
    make_other_node("driver", namespace="/front").create_publisher(Image, "/image", qos_profile_sensor_data)
    wait_for_publishers(graph, "/image")
    assert describe_publishers(graph.node, "image") == (
        "/front/driver publishes it (best effort, volatile), incompatible QoS: "
        "set qos_overrides./image.subscription.reliability; "
        "this node requests (reliable, volatile, depth 5)"
    )


SECOND = Duration(seconds=1)
PROFILES = {
    "defaults": {},
    "best effort": {"reliability": BEST_EFFORT},
    "latched": {"durability": DurabilityPolicy.TRANSIENT_LOCAL},
    "deadline 1 s": {"deadline": SECOND},
    "deadline 2 s": {"deadline": Duration(seconds=2)},
    "lease 1 s": {"liveliness_lease_duration": SECOND},
    "manual": {"liveliness": LivelinessPolicy.MANUAL_BY_TOPIC},
    "best effort, latched, deadline": {
        "reliability": BEST_EFFORT,
        "durability": DurabilityPolicy.TRANSIENT_LOCAL,
        "deadline": SECOND,
    },
}


@pytest.mark.parametrize("requested", PROFILES.values(), ids=list(PROFILES))
def test_compatibility_is_the_same_as_in_the_middleware(
    graph: Any, make_other_node: Any, requested: dict[str, Any]
) -> None:
    subscription = graph.node.create_subscription(Image, "/image", ignore, QoSProfile(depth=1, **requested))
    driver = make_other_node("driver")
    for offered in PROFILES.values():
        driver.create_publisher(Image, "/image", QoSProfile(depth=1, **offered))
    wait_for_publishers(graph, "/image", len(PROFILES))
    (graph_profile,) = [info.qos_profile for info in graph.node.get_subscriptions_info_by_topic("/image")]
    for info in graph.node.get_publishers_info_by_topic("/image"):
        compatibility, reason = qos_check_compatible(info.qos_profile, graph_profile)
        policies = peers._incompatible_policies(info.qos_profile, subscription.qos_profile)
        assert bool(policies) == (compatibility == QoSCompatibility.ERROR), reason
        assert len(policies) == reason.count("ERROR")


def test_a_compatible_publisher_is_described(graph: Any, make_other_node: Any) -> None:
    graph.node.create_subscription(Image, "/image", ignore, qos_profile_sensor_data)
    make_other_node("driver").create_publisher(Image, "/image", 1)
    wait_for_publishers(graph, "/image")
    description = describe_publishers(graph.node, "image")
    assert description.startswith("/driver publishes it (reliable, volatile), compatible QoS: it sends nothing")


def test_a_publisher_of_another_type_is_described(graph: Any, make_other_node: Any) -> None:
    graph.node.create_subscription(Image, "/image", ignore, qos_profile_sensor_data)
    make_other_node("driver").create_publisher(CompressedImage, "/image", 1)
    wait_for_publishers(graph, "/image")
    description = describe_publishers(graph.node, "image")
    assert "with type sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image" in description
    assert "set image_transport:=compressed, and remap image/compressed to /image" in description


RAW, JPEG = peers.IMAGE_TYPES
REMAP = "remap the image topic of this node to one of them"


@pytest.mark.parametrize(
    ("name", "topics", "advice"),
    [
        pytest.param("/image", {"/cam": RAW}, REMAP, id="raw"),
        pytest.param("/image", {"/image/compressed": JPEG}, "set image_transport:=compressed", id="only compressed"),
        pytest.param(
            *("/image", {"/cam/compressed": JPEG}, f"set image_transport:=compressed, and {REMAP}"), id="both differ"
        ),
        pytest.param(
            *("/image", {"/cam": RAW, "/cam/compressed": JPEG}),
            f"{REMAP}, and for CompressedImage set image_transport:=compressed",
            id="raw and compressed",
        ),
        pytest.param("/image/compressed", {"/image": RAW}, "set image_transport:=raw", id="only raw"),
        pytest.param("/image/compressed", {"/cam/compressed": JPEG}, REMAP, id="compressed"),
        pytest.param(
            *("/image/compressed", {"/jpeg": JPEG}),
            f"{REMAP}; for CompressedImage without /compressed in its name, remap image/compressed",
            id="other name",
        ),
    ],
)
def test_the_advice_fits_the_transport(name: str, topics: dict[str, str], advice: str) -> None:
    assert peers._advise_topic(name, topics) == advice


@pytest.mark.parametrize(
    ("remap", "topic"),
    [
        pytest.param("image:=/cam/image", "/cam/image/compressed", id="raw name"),
        pytest.param("image:=/cam/image/compressed", "/cam/image/compressed", id="full name"),
        pytest.param("image/compressed:=/jpeg", "/jpeg", id="other name"),
        pytest.param("other:=/cam", "/image/compressed", id="none"),
    ],
)
def test_following_the_advice_leads_to_the_topic(graph: Any, remap: str, topic: str) -> None:
    node = graph.add(rclpy.create_node("remapped", context=graph.context, cli_args=["--ros-args", "-r", remap]))
    assert camera._compressed_topic(node, "image") == topic


def test_a_latched_publisher_is_explained(graph: Any, make_other_node: Any) -> None:
    graph.node.create_subscription(Image, "/image", ignore, qos_profile_sensor_data)
    make_other_node("map").create_publisher(Image, "/image", LATCHED)
    wait_for_publishers(graph, "/image")
    advice = "set qos_overrides./image.subscription.durability to transient_local and "
    assert advice in describe_publishers(graph.node, "image")


def test_a_driver_that_dies_is_reported_without_a_subscription(graph: Any, make_other_node: Any) -> None:
    reports: list[str] = []
    ends: list[str] = []
    dog = Watchdog(graph.node, "image", SILENCE_S, reports.append, ends.append)
    dog.watch_publishers()
    driver = make_other_node("driver")
    publisher = driver.create_publisher(Image, "/image", 1)
    wait_for_publishers(graph, "/image")
    dog._image_s = seen_s = time.monotonic() - 10 * SILENCE_S
    graph.until(lambda: dog._image_s > seen_s, "the publisher counts like an image")
    assert reports == []
    driver.destroy_publisher(publisher)
    graph.until(lambda: dog.watch_publishers() or reports, "the watchdog warns")
    assert reports[0].startswith("/image: lost its publisher, for ") and ends == []
    driver.create_publisher(Image, "/image", 1)
    graph.until(lambda: ends, "the end is reported")
    assert ends == ["/image: has a publisher again"]


def test_a_limited_number_of_publishers_is_listed(graph: Any, make_other_node: Any) -> None:
    driver = make_other_node("driver")
    for _ in range(MAX_LISTED + 2):
        driver.create_publisher(Image, "/image", 1)
    wait_for_publishers(graph, "/image", MAX_LISTED + 2)
    description = describe_publishers(graph.node, "image")
    assert description.count("/driver publishes it") == MAX_LISTED
    assert description.endswith("; and 2 more; this node has not subscribed")


def test_without_publisher_the_topics_with_images_are_listed(graph: Any, make_other_node: Any) -> None:
    assert describe_publishers(graph.node, "image") == "no publisher; no other topic has images"
    driver = make_other_node("driver")
    driver.create_publisher(Image, "/cam/image_raw", 1)
    driver.create_publisher(CompressedImage, "/cam/image_raw/compressed", 1)
    driver.create_publisher(String, "/cam/name", 1)
    graph.node.create_publisher(Image, "/own/overlay", 1)
    graph.node.create_subscription(Image, "/nowhere", ignore, 1)
    wait_for_publishers(graph, "/cam/image_raw")
    wait_for_publishers(graph, "/cam/image_raw/compressed")
    assert describe_publishers(graph.node, "image") == (
        "no publisher; images are published on /cam/image_raw (Image); /cam/image_raw/compressed (CompressedImage): "
        "remap the image topic of this node to one of them, and for CompressedImage set image_transport:=compressed"
    )


def test_the_remapped_topic_is_used(graph: Any, make_other_node: Any) -> None:
    arguments = ["--ros-args", "-r", "image:=/cam/image_raw"]
    node = graph.add(rclpy.create_node("remapped", context=graph.context, cli_args=arguments))
    node.create_subscription(Image, "image", ignore, qos_profile_sensor_data)
    make_other_node("driver").create_publisher(Image, "/cam/image_raw", 1)
    wait_for_publishers(graph, "/cam/image_raw")
    assert "/driver publishes it" in describe_publishers(node, "image")
    reports: list[str] = []
    Watchdog(node, "image", SILENCE_S, reports.append)
    graph.until(lambda: reports, "the watchdog warns")
    assert reports[0].startswith("/cam/image_raw: no image for ")


def test_silence_and_its_end_are_reported(graph: Any) -> None:
    reports: list[str] = []
    dog = Watchdog(graph.node, "image", SILENCE_S, reports.append)
    assert not dog.silent
    graph.until(lambda: reports, "the watchdog warns")
    assert dog.silent
    assert "/image: no image for" in reports[0]
    assert "no publisher" in reports[0]
    graph.until(lambda: dog.record_image() or not dog.silent, "images arrive")
    warnings, last = reports[:-1], reports[-1]
    assert last == "/image: images arrive again"
    assert all(text.startswith("/image: no image for") for text in warnings)
    graph.until(lambda: dog.silent, "it warns of the next silence")
    assert reports[-1].startswith("/image: no image for")


def test_after_an_end_the_next_warning_is_not_rare(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, reports = [1000.0], []
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now_s[0])
    dog = Watchdog(graph.node, "image", 5.0, reports.append)
    for silence_s, is_silent in ((5, True), (10, True), (1, False), (5, True)):
        now_s[0] += silence_s
        if not is_silent:
            dog.record_image()
        dog._check()
        assert dog.silent == is_silent
    assert [text.partition("; ")[0] for text in reports] == [
        *("/image: no image for 5.0 s", "/image: no image for 15.0 s"),
        *("/image: images arrive again", "/image: no image for 5.0 s"),
    ]


def test_another_time_of_the_watchdog_replaces_its_timer(graph: Any, make_node: Any) -> None:
    node = make_node(watchdog_s=5.0)
    before = len(list(node.timers))
    first = node.cameras[0]._watchdog
    assert node.set_parameters([Parameter("watchdog_s", value=7.0)])[0].successful
    graph.until(lambda: node.cameras[0]._watchdog is not first, "it is replaced")
    assert len(list(node.timers)) == before and first._timer is None


def test_warnings_become_rare(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now_s[0])
    report_times_s: list[float] = []
    dog = Watchdog(graph.node, "image", 5.0, lambda text: report_times_s.append(now_s[0] - 1000))
    for _ in range(2000):
        now_s[0] += 1
        dog._check()
    assert report_times_s == [5, 10, 20, 40, 80, 160, 320, 620, 920, 1220, 1520, 1820]


def test_no_warning_while_images_arrive_or_during_a_pause(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now_s[0])
    reports: list[str] = []
    dog = Watchdog(graph.node, "image", 5.0, reports.append)

    def wait(seconds: int, has_images: bool = False) -> None:
        for _ in range(seconds):
            now_s[0] += 1
            if has_images:
                dog.record_image()
            dog._check()

    wait(60, has_images=True)
    dog.pause()
    wait(60)
    dog.resume()
    wait(4)
    assert reports == []
    wait(1)
    assert len(reports) == 1
    dog.pause()
    assert not dog.silent
    dog.resume()
    wait(4, has_images=True)
    assert len(reports) == 1  # no "images arrive again", because no silence was reported after the pause


def test_zero_is_off_and_a_closed_watchdog_has_no_timer(graph: Any) -> None:
    before = len(list(graph.node.timers))
    never, closed = Watchdog(graph.node, "image", 0.0, pytest.fail), Watchdog(graph.node, "image", 0.05, pytest.fail)
    closed.close()
    closed.close()
    never.close()
    assert len(list(graph.node.timers)) == before


def test_simulated_time_that_stands_still_does_not_stop_it(graph: Any) -> None:
    parameters = [Parameter("use_sim_time", value=True)]
    node = graph.add(rclpy.create_node("simulated", context=graph.context, parameter_overrides=parameters))
    reports: list[str] = []
    Watchdog(node, "image", SILENCE_S, reports.append)
    graph.until(lambda: reports, "the watchdog warns without a clock")
    assert node.get_clock().now().nanoseconds == 0


def test_a_clock_that_is_set_does_not_stop_the_timers_of_the_node(make_node: Any) -> None:
    """The clock of the system jumps when it is synchronised, and simulated time may stand still."""
    node = make_node(watchdog_s=1.0)
    timers = list(node.timers)
    assert timers and {timer.clock.clock_type for timer in timers} == {ClockType.STEADY_TIME}


def test_a_subscriber_reports_each_incompatible_publisher_once(graph: Any, make_other_node: Any) -> None:
    reports: list[str] = []
    events = qos_events(graph.node, "image", reports.append, is_publisher=False)
    graph.node.create_subscription(Image, "image", ignore, RELIABLE_REQUEST, event_callbacks=events)
    first = make_other_node("driver", namespace="/front")
    first.create_publisher(Image, "/image", qos_profile_sensor_data)
    make_other_node("good").create_publisher(Image, "/image", 1)
    graph.until(lambda: reports, "the first is reported")
    assert reports == [
        "/image: /front/driver offers (best effort, volatile), this node requests (reliable, volatile, depth 5): "
        "incompatible QoS, no message arrives; set qos_overrides./image.subscription.reliability"
    ]
    make_other_node("second").create_publisher(Image, "/image", qos_profile_sensor_data)
    graph.until(lambda: len(reports) > 1, "the second is reported")
    assert [text.split()[1] for text in reports] == ["/front/driver", "/second"]
    assert list(graph.node.timers) == []


@pytest.mark.parametrize("what", ["endpoint", "name", "name for ever"])
def test_a_graph_that_learns_late_delays_the_report(
    graph: Any, make_other_node: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    looks: list[int] = []
    find_peers = peers._MismatchReporter._find_peers

    def find_late(reporter: Any) -> list[Any]:
        looks.append(len(reports))
        found = find_peers(reporter)
        if what == "endpoint":
            return found if len(looks) > 3 else []
        for info in found:
            if what == "name for ever" or len(looks) <= 3:
                info.node_name = "_NODE_NAME_UNKNOWN_"
        return found

    monkeypatch.setattr(peers, "GRAPH_DELAY_S", 0.05)
    monkeypatch.setattr(peers._MismatchReporter, "_find_peers", find_late)
    reports: list[str] = []
    events = qos_events(graph.node, "image", reports.append, is_publisher=False)
    graph.node.create_subscription(Image, "image", ignore, RELIABLE_REQUEST, event_callbacks=events)
    make_other_node("driver").create_publisher(Image, "/image", qos_profile_sensor_data)
    graph.until(lambda: reports, "it is reported")
    assert looks[:4] == [0] * 4
    assert reports[0].startswith("/image: a node without a name" if what == "name for ever" else "/image: /driver ")
    graph.until(lambda: not list(graph.node.timers), "it stops to look")
    assert len(reports) == 1


def test_a_publisher_reports_each_incompatible_subscriber_once(graph: Any, make_other_node: Any) -> None:
    reports: list[str] = []
    events = qos_events(graph.node, "~/poses", reports.append, is_publisher=True)
    graph.node.create_publisher(String, "~/poses", 10, event_callbacks=events)
    make_other_node("good").create_subscription(String, "/tester/poses", ignore, qos_profile_sensor_data)
    listener = make_other_node("listener")
    listener.create_subscription(String, "/tester/poses", ignore, LATCHED)
    graph.until(lambda: reports, "the listener is reported")
    make_other_node("other").create_subscription(String, "/tester/poses", ignore, LATCHED)
    graph.until(lambda: len(reports) > 1, "the other one is reported")
    assert reports[0] == (
        "/tester/poses: /listener requests (reliable, transient local), this node offers (reliable, volatile, "
        "depth 10): incompatible QoS, no message arrives; set qos_overrides./tester/poses.publisher.durability"
    )
    assert [text.split()[1] for text in reports] == ["/listener", "/other"]


def test_a_compatible_peer_is_not_reported(graph: Any, make_other_node: Any) -> None:
    reports: list[str] = []
    events = qos_events(graph.node, "image", reports.append, is_publisher=False)
    received: list[Any] = []
    graph.node.create_subscription(Image, "image", received.append, RELIABLE_REQUEST, event_callbacks=events)
    publisher = make_other_node("driver").create_publisher(Image, "/image", 1)
    graph.until(lambda: publisher.publish(Image()) or received, "an image arrives")
    make_other_node("other").create_publisher(Image, "/image", qos_profile_sensor_data)
    graph.until(lambda: reports, "the incompatible peer that came later is reported")
    assert [text.split()[1] for text in reports] == ["/other"]


def test_a_destroyed_subscription_reports_nothing(graph: Any, make_other_node: Any) -> None:
    events = qos_events(graph.node, "image", pytest.fail, is_publisher=False)
    subscription = graph.node.create_subscription(Image, "image", ignore, RELIABLE_REQUEST, event_callbacks=events)
    make_other_node("driver").create_publisher(Image, "/image", qos_profile_sensor_data)
    graph.until(lambda: list(graph.node.timers), "the event arrives")
    assert {timer.clock.clock_type for timer in graph.node.timers} == {ClockType.STEADY_TIME}
    graph.node.destroy_subscription(subscription)
    graph.until(lambda: not list(graph.node.timers), "the event is handled")


def test_a_camera_in_another_process_is_named(graph: Any, tmp_path: Path) -> None:
    reports, warnings = [], []
    events = qos_events(graph.node, "image", reports.append, is_publisher=False)
    graph.node.create_subscription(Image, "image", ignore, RELIABLE_REQUEST, event_callbacks=events)
    dog = Watchdog(graph.node, "image", SILENCE_S, warnings.append)
    (tmp_path / "camera.py").write_text(PUBLISHER)
    with subprocess.Popen([sys.executable, str(tmp_path / "camera.py")]) as process:
        try:
            graph.until(lambda: reports, "the event is reported")
            graph.until(lambda: any("/front/driver" in text for text in warnings), "the watchdog names it")
        finally:
            process.kill()
    assert reports[0].startswith("/image: /front/driver offers (best effort")
    assert "/front/driver publishes it (best effort, volatile), incompatible QoS" in warnings[-1]
    assert dog.silent


def test_the_node_reports_an_incompatible_subscriber_without_waiting_for_events(
    graph: Any, make_node: Any, make_other_node: Any, log: Any
) -> None:
    """rclpy visits each event before every callback, so the node waits for none of its publishers."""
    node = make_node(cameras=["front", "rear"])
    assert len(list(node.publishers)) > 8
    assert not [each for each in node.waitables if "Event" in type(each).__name__]
    make_other_node("listener").create_subscription(PersonPoseArray, "/pose_estimator/rear/poses", ignore, LATCHED)
    graph.until(lambda: log.find("/listener requests"), "the subscriber is reported")
    (line,) = log.find("/listener requests")
    assert "/pose_estimator/rear/poses" in line and "qos_overrides./pose_estimator/rear/poses.publisher" in line
