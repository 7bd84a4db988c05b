"""The watchdog and the middleware's events, with publishers and subscribers that really do not fit."""

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
from pose_ros.ros.node import watchdog
from pose_ros.ros.node.watchdog import Watchdog
from pose_ros.ros.qos import MOST_NAMED, publishers_in_words, qos_events, qos_in_words

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
ASKS_FOR_RELIABLE = QoSProfile(depth=5, reliability=RELIABLE)
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
def others(graph: Any, domain_id: int) -> Iterator[Callable[..., Any]]:
    """Makes nodes that share nothing with the tester's but the domain: ``others("driver", namespace="/front")``."""
    contexts = []

    def others(name: str, **options: Any) -> Any:
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain_id)
        node = rclpy.create_node(name, context=context, **options)
        contexts.append((context, node))
        return node

    yield others
    for context, node in contexts:
        node.destroy_node()
        rclpy.shutdown(context=context)


def ignore(message: Any) -> None:
    """What is received does not matter."""


def heard_by(graph: Any, topic: str, count: int = 1) -> None:
    """Wait until the graph of the tester shows so many publishers, with their names."""

    def is_known() -> bool:
        found = graph.node.get_publishers_info_by_topic(topic)
        return len(found) == count and not any(info.node_name.startswith("_") for info in found)

    graph.until(is_known, f"{count} publishers of {topic} are known")


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        pytest.param(qos_profile_sensor_data, "best effort, volatile, depth 5", id="sensor data"),
        pytest.param(LATCHED, "reliable, transient local, depth 1", id="latched"),
        pytest.param(QoSProfile(history=HistoryPolicy.KEEP_ALL), "reliable, volatile, keep all", id="keep all"),
        pytest.param(
            QoSProfile(depth=1, deadline=Duration(seconds=1.5), liveliness=LivelinessPolicy.MANUAL_BY_TOPIC),
            "reliable, volatile, depth 1, deadline 1.5 s, manual liveliness",
            id="all that is unusual",
        ),
        pytest.param(
            QoSProfile(depth=0, history=HistoryPolicy.UNKNOWN, reliability=BEST_EFFORT),
            "best effort, volatile",
            id="as the graph tells it: without depth",
        ),
    ],
)
def test_a_quality_of_service_has_words(profile: QoSProfile, words: str) -> None:
    assert qos_in_words(profile) == words


def test_a_publisher_that_does_not_fit_is_named_with_both_sides(graph: Any, others: Any) -> None:
    graph.node.create_subscription(Image, "/image", ignore, ASKS_FOR_RELIABLE)
    others("driver", namespace="/front").create_publisher(Image, "/image", qos_profile_sensor_data)
    heard_by(graph, "/image")
    assert publishers_in_words(graph.node, "image") == (
        "/front/driver publishes it (best effort, volatile), which does not fit: "
        "set qos_overrides./image.subscription.reliability; "
        "ours: reliable, volatile, depth 5"
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
def test_what_fits_is_what_the_middleware_says(graph: Any, others: Any, requested: dict[str, Any]) -> None:
    asked = QoSProfile(depth=1, **requested)
    mine = graph.node.create_subscription(Image, "/image", ignore, asked)
    driver = others("driver")
    for offered in PROFILES.values():
        driver.create_publisher(Image, "/image", QoSProfile(depth=1, **offered))
    heard_by(graph, "/image", len(PROFILES))
    (graph_asks,) = [info.qos_profile for info in graph.node.get_subscriptions_info_by_topic("/image")]
    for info in graph.node.get_publishers_info_by_topic("/image"):
        compatibility, reason = qos_check_compatible(info.qos_profile, graph_asks)
        policies = peers._misfits(info.qos_profile, mine.qos_profile)
        assert bool(policies) == (compatibility == QoSCompatibility.ERROR), reason
        assert len(policies) == reason.count("ERROR")


def test_a_publisher_that_fits_is_not_blamed(graph: Any, others: Any) -> None:
    graph.node.create_subscription(Image, "/image", ignore, qos_profile_sensor_data)
    others("driver").create_publisher(Image, "/image", 1)
    heard_by(graph, "/image")
    words = publishers_in_words(graph.node, "image")
    assert words.startswith("/driver publishes it (reliable, volatile), which fits: it sends nothing")


def test_a_publisher_of_another_type_is_told(graph: Any, others: Any) -> None:
    graph.node.create_subscription(Image, "/image", ignore, qos_profile_sensor_data)
    others("driver").create_publisher(CompressedImage, "/image", 1)
    heard_by(graph, "/image")
    words = publishers_in_words(graph.node, "image")
    assert "as sensor_msgs/msg/CompressedImage, which is not sensor_msgs/msg/Image" in words


def test_every_publisher_is_told_up_to_a_few(graph: Any, others: Any) -> None:
    driver = others("driver")
    for _ in range(MOST_NAMED + 2):
        driver.create_publisher(Image, "/image", 1)
    heard_by(graph, "/image", MOST_NAMED + 2)
    words = publishers_in_words(graph.node, "image")
    assert words.count("/driver publishes it") == MOST_NAMED
    assert words.endswith("; and 2 more; this node has not subscribed")


def test_where_nobody_publishes_the_topics_with_images_are_named(graph: Any, others: Any) -> None:
    assert publishers_in_words(graph.node, "image") == "nobody publishes it; nor are there images on another topic"
    driver = others("driver")
    driver.create_publisher(Image, "/cam/image_raw", 1)
    driver.create_publisher(CompressedImage, "/cam/image_raw/compressed", 1)
    driver.create_publisher(String, "/cam/name", 1)
    graph.node.create_publisher(Image, "/own/overlay", 1)
    graph.node.create_subscription(Image, "/nowhere", ignore, 1)
    heard_by(graph, "/cam/image_raw")
    heard_by(graph, "/cam/image_raw/compressed")
    assert publishers_in_words(graph.node, "image") == (
        "nobody publishes it; images are on /cam/image_raw (Image); /cam/image_raw/compressed (CompressedImage): "
        "remap this node's to one of them"
    )


def test_the_remapped_topic_is_asked_for(graph: Any, others: Any) -> None:
    arguments = ["--ros-args", "-r", "image:=/cam/image_raw"]
    node = graph.add(rclpy.create_node("remapped", context=graph.context, cli_args=arguments))
    node.create_subscription(Image, "image", ignore, qos_profile_sensor_data)
    others("driver").create_publisher(Image, "/cam/image_raw", 1)
    heard_by(graph, "/cam/image_raw")
    assert "/driver publishes it" in publishers_in_words(node, "image")
    said: list[str] = []
    Watchdog(node, "image", SILENCE_S, said.append)
    graph.until(lambda: said, "the watchdog warns")
    assert said[0].startswith("no image on /cam/image_raw for ")


def test_silence_is_told_and_the_end_of_it(graph: Any) -> None:
    said: list[str] = []
    dog = Watchdog(graph.node, "image", SILENCE_S, said.append)
    assert not dog.silent
    graph.until(lambda: said, "the watchdog warns")
    assert dog.silent
    assert "no image on /image for" in said[0]
    assert "nobody publishes it" in said[0]
    graph.until(lambda: dog.saw_image() or not dog.silent, "it sees the images")
    warnings, last = said[:-1], said[-1]
    assert last == "images are back on /image"
    assert all(text.startswith("no image on") for text in warnings)
    graph.until(lambda: dog.silent, "it warns of the next silence")
    assert said[-1].startswith("no image on")


def test_warnings_become_rare(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now_s[0])
    said_s: list[float] = []
    dog = Watchdog(graph.node, "image", 5.0, lambda text: said_s.append(now_s[0] - 1000))
    for _ in range(2000):
        now_s[0] += 1
        dog._check()
    assert said_s == [5, 10, 20, 40, 80, 160, 320, 620, 920, 1220, 1520, 1820]


def test_nothing_is_said_while_images_come_nor_in_a_pause(graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now_s[0])
    said: list[str] = []
    dog = Watchdog(graph.node, "image", 5.0, said.append)

    def wait(seconds: int, see: bool = False) -> None:
        for _ in range(seconds):
            now_s[0] += 1
            if see:
                dog.saw_image()
            dog._check()

    wait(60, see=True)
    dog.pause()
    wait(60)
    dog.resume()
    wait(4)
    assert said == []
    wait(1)
    assert len(said) == 1
    dog.pause()
    assert not dog.silent
    dog.resume()
    wait(4, see=True)
    assert len(said) == 1  # no "images are back": nobody was told of a silence after the pause


def test_zero_never_warns_and_a_closed_one_is_gone(graph: Any) -> None:
    before = len(list(graph.node.timers))
    never, closed = Watchdog(graph.node, "image", 0.0, pytest.fail), Watchdog(graph.node, "image", 0.05, pytest.fail)
    closed.close()
    closed.close()
    never.close()
    assert len(list(graph.node.timers)) == before


def test_simulated_time_that_stands_still_does_not_stop_it(graph: Any) -> None:
    parameters = [Parameter("use_sim_time", value=True)]
    node = graph.add(rclpy.create_node("simulated", context=graph.context, parameter_overrides=parameters))
    said: list[str] = []
    Watchdog(node, "image", SILENCE_S, said.append)
    graph.until(lambda: said, "the watchdog warns without a clock")
    assert node.get_clock().now().nanoseconds == 0


def test_a_subscriber_tells_each_publisher_that_does_not_fit_once(graph: Any, others: Any) -> None:
    said: list[str] = []
    events = qos_events(graph.node, "image", said.append, is_publisher=False)
    graph.node.create_subscription(Image, "image", ignore, ASKS_FOR_RELIABLE, event_callbacks=events)
    first = others("driver", namespace="/front")
    first.create_publisher(Image, "/image", qos_profile_sensor_data)
    others("good").create_publisher(Image, "/image", 1)
    graph.until(lambda: said, "the first is told")
    assert said == [
        "/image: /front/driver publishes and offers best effort, volatile; we ask for reliable, volatile, depth 5: we "
        "receive nothing; set qos_overrides./image.subscription.reliability"
    ]
    others("second").create_publisher(Image, "/image", qos_profile_sensor_data)
    graph.until(lambda: len(said) > 1, "the second is told")
    assert [text.split()[1] for text in said] == ["/front/driver", "/second"]
    assert list(graph.node.timers) == []


def test_a_publisher_tells_each_subscriber_that_does_not_fit_once(graph: Any, others: Any) -> None:
    said: list[str] = []
    events = qos_events(graph.node, "~/poses", said.append, is_publisher=True)
    graph.node.create_publisher(String, "~/poses", 10, event_callbacks=events)
    others("good").create_subscription(String, "/tester/poses", ignore, qos_profile_sensor_data)
    listener = others("listener")
    listener.create_subscription(String, "/tester/poses", ignore, LATCHED)
    graph.until(lambda: said, "the listener is told")
    others("other").create_subscription(String, "/tester/poses", ignore, LATCHED)
    graph.until(lambda: len(said) > 1, "the other one is told")
    assert said[0] == (
        "/tester/poses: /listener subscribes and asks for reliable, transient local; we offer reliable, volatile, "
        "depth 10: it receives nothing; set qos_overrides./tester/poses.publisher.durability"
    )
    assert [text.split()[1] for text in said] == ["/listener", "/other"]


def test_who_fits_is_not_told_of(graph: Any, others: Any) -> None:
    said: list[str] = []
    events = qos_events(graph.node, "image", said.append, is_publisher=False)
    received: list[Any] = []
    graph.node.create_subscription(Image, "image", received.append, qos_profile_sensor_data, event_callbacks=events)
    publisher = others("driver").create_publisher(Image, "/image", 1)
    graph.until(lambda: publisher.publish(Image()) or received, "an image arrives")
    end_s = time.monotonic() + 2 * peers.GRAPH_DELAY_S
    graph.until(lambda: time.monotonic() > end_s, "an event would have been told")
    assert said == []


def test_a_subscription_that_is_gone_has_no_complaints(graph: Any, others: Any) -> None:
    events = qos_events(graph.node, "image", pytest.fail, is_publisher=False)
    subscription = graph.node.create_subscription(Image, "image", ignore, ASKS_FOR_RELIABLE, event_callbacks=events)
    others("driver").create_publisher(Image, "/image", qos_profile_sensor_data)
    graph.until(lambda: list(graph.node.timers), "the event comes")
    graph.node.destroy_subscription(subscription)
    graph.until(lambda: not list(graph.node.timers), "it is looked into")


def test_a_camera_in_another_process_is_named(graph: Any, tmp_path: Path) -> None:
    told, warned = [], []
    events = qos_events(graph.node, "image", told.append, is_publisher=False)
    graph.node.create_subscription(Image, "image", ignore, ASKS_FOR_RELIABLE, event_callbacks=events)
    dog = Watchdog(graph.node, "image", SILENCE_S, warned.append)
    (tmp_path / "camera.py").write_text(PUBLISHER)
    with subprocess.Popen([sys.executable, str(tmp_path / "camera.py")]) as process:
        try:
            graph.until(lambda: told, "the event is told")
            graph.until(lambda: any("/front/driver" in text for text in warned), "the watchdog warns of it")
        finally:
            process.kill()
    assert told[0].startswith("/image: /front/driver publishes and offers best effort")
    assert "/front/driver publishes it (best effort, volatile), which does not fit" in warned[-1]
    assert dog.silent
