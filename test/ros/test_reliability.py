"""Tests of the reliability that the node requests, and of the warning about lost images."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from pose_ros.ros.node.loss import LossReporter
from pose_ros.ros.node.stamp_gaps import StampGaps
from pose_ros.ros.node.statistics import CameraStatistics

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
LARGE_IMAGES = """
import array, sys, time
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

rclpy.init()
node = rclpy.create_node("driver")
qos = QoSProfile(depth=10, reliability=ReliabilityPolicy[sys.argv[1]])
publisher = node.create_publisher(Image, "/image", qos)
image = Image(height=1, width=1_000_000, step=1_000_000, encoding="mono8", data=array.array("B", bytes(1_000_000)))
reliability = lambda: [info.qos_profile.reliability for info in node.get_subscriptions_info_by_topic("/image")]
while not (publisher.get_subscription_count() and reliability() == [qos.reliability]):
    time.sleep(0.02)
time.sleep(0.3)
for number in range(1, 41):
    image.header.stamp.nanosec = number
    publisher.publish(image)
    time.sleep(0.03)
sys.stdin.read()
"""


def subscriptions(graph: Any) -> list[Any]:
    return graph.node.get_subscriptions_info_by_topic("/image")


def wait_for(graph: Any, reliability: ReliabilityPolicy) -> bytes:
    """Wait until the node requests this reliability. Return the identity of its subscription."""

    def is_requested() -> bool:
        return [info.qos_profile.reliability for info in subscriptions(graph)] == [reliability]

    graph.until(is_requested, f"the node requests {reliability.name}")
    return bytes(subscriptions(graph)[0].endpoint_gid)


def test_the_reliability_follows_the_publishers(
    graph: Any, start: Any, paint: Any, image_message: Any, log: Any
) -> None:
    _, camera = start()
    first = wait_for(graph, RELIABLE)
    camera.ask(image_message(paint(20), stamp_s=1))
    other = graph.node.create_publisher(Image, "image", QoSProfile(depth=1, reliability=BEST_EFFORT))
    second = wait_for(graph, BEST_EFFORT)
    graph.until(lambda: camera.publisher.get_subscription_count() == other.get_subscription_count() == 1, "connected")
    camera.ask(image_message(paint(20), stamp_s=2))
    camera.answers.clear()
    graph.until(lambda: other.publish(image_message(paint(20), stamp_s=3)) or camera.answers, "the other is received")
    graph.node.destroy_publisher(other)
    third = wait_for(graph, RELIABLE)
    graph.until(lambda: camera.publisher.get_subscription_count() == 1, "it is connected again")
    camera.publisher.publish(image_message(paint(20), stamp_s=4))
    graph.until(lambda: camera.answers[-1].header.stamp.sec == 4, "it is received")
    assert len({first, second, third}) == 3
    assert third == wait_for(graph, RELIABLE)  # not created again without need
    assert not log.find("no message arrives")  # the node saw the other one only for a moment


def test_without_publishers_the_subscription_stays(
    graph: Any, make_node: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node(lazy="off")
    wait_for(graph, RELIABLE)
    publisher = graph.node.create_publisher(Image, "image", QoSProfile(depth=1, reliability=BEST_EFFORT))
    graph.until(lambda: publisher.get_subscription_count() == 1, "a late best-effort publisher is connected")
    before = wait_for(graph, BEST_EFFORT)
    graph.node.destroy_publisher(publisher)
    graph.until(lambda: graph.node.count_publishers("/image") == 0, "there is no publisher")
    images, updates = node.cameras[0]._images, []
    update = images.update
    monkeypatch.setattr(images, "update", lambda needed: updates.append(update(needed)))
    graph.until(lambda: updates, "the node has looked at the publishers")
    assert before == wait_for(graph, BEST_EFFORT)
    graph.node.create_publisher(Image, "image", 1)
    wait_for(graph, RELIABLE)
    assert not log.find("no message arrives")


@pytest.mark.parametrize("wanted", ["best_effort", "Reliable"])
def test_an_override_wins(graph: Any, start: Any, paint: Any, image_message: Any, wanted: str) -> None:
    _, camera = start(**{"qos_overrides./image.subscription.reliability": wanted})
    camera.ask(image_message(paint(20)))
    assert subscriptions(graph)[0].qos_profile.reliability == ReliabilityPolicy[wanted.upper()]


@pytest.mark.parametrize("value", ["perfect", "unknown", 1])
def test_an_invalid_reliability_is_refused(make_node: Any, value: Any) -> None:
    with pytest.raises(RuntimeError, match=r"qos_overrides./image.subscription.reliability: expected one of auto, "):
        make_node(**{"qos_overrides./image.subscription.reliability": value})


@pytest.mark.parametrize("reliability", ["RELIABLE", "BEST_EFFORT"])
def test_large_images_of_another_process(graph: Any, make_node: Any, log: Any, reliability: str) -> None:
    """With the default shared memory, a best-effort subscriber loses most of these images."""
    node = make_node(lazy="keep", watchdog_s=0.0, diagnostics__period_s=0.1, diagnostics__warn_age_s=60.0)
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    statistics = node.cameras[0].statistics
    driver = subprocess.Popen([sys.executable, "-c", LARGE_IMAGES, reliability], stdin=subprocess.PIPE)
    try:
        if reliability == "RELIABLE":
            graph.until(lambda: statistics.snapshot(0).received == 40, "every image arrives")
            assert statistics.snapshot(0).lost == 0 and not log.find("of the images are lost")
            return
        graph.until(lambda: log.find("of the images are lost before they arrive"), "the node warns")
        (line,) = log.find("of the images are lost before they arrive")
        assert "/image: " in line and "(best effort subscription); start the camera driver with FAST" in line
        assert "/config/fastdds.xml" in line and "WARN" in line
        assert statistics.snapshot(0).lost >= 1
    finally:
        driver.communicate(b"")
    assert any(key.key == "lost" for key in reports[-1].status[1].values)


def test_the_diagnostics_warn_of_lost_images(graph: Any, start: Any) -> None:
    node, _ = start(diagnostics__period_s=0.1)
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    graph.until(lambda: node.state == "active" and node.cameras[0].wanted, "it works")
    for _ in range(20):
        node.cameras[0].statistics.count_received(node.cameras[0].statistics._start_s + 60)
    node.cameras[0]._count_lost(30)
    text = "60% of the images are lost before they arrive: see the log"
    graph.until(lambda: [s for r in reports for s in r.status if text in s.message], "it warns")


def test_the_share_of_lost_images_counts_from_the_subscription() -> None:
    statistics = CameraStatistics(100.0)
    for number in range(30):
        statistics.count_received(101 + 0.1 * number)
    statistics.count_lost(10, 104)
    assert statistics.loss(104)[0] == statistics.snapshot(104).lost_share == 0.25
    assert statistics.loss(200)[0] == 0
    statistics.restart_loss(104.5)
    statistics.count_lost(9, 105)  # too few to tell
    assert statistics.loss(106)[0] == 0
    assert statistics.snapshot(106).lost == 19


def test_a_loss_is_reported_once(graph: Any) -> None:
    reports: list[str] = []
    reporter = LossReporter(graph.node, "/image", reports.append)
    reporter.check((0.09, 0.0), 0.1, BEST_EFFORT, 1000)
    assert reports == []
    for now_s in range(1000, 1290, 10):
        reporter.check((0.1, 0.9), 0.1, BEST_EFFORT, now_s)
    assert len(reports) == 1 and reports[0].startswith("/image: 10% of the images are lost")
    reporter.check((0.0, 0.6), 0.1, RELIABLE, 1300)
    assert reports[1] == (
        "/image: by their stamps, 60% of the images are missing (reliable subscription); "
        "the camera, the network or this computer is too slow: reduce the size or rate of the images"
    )
    reporter.check((1.0, 1.0), 1.0, BEST_EFFORT, 2000)  # off
    graph.node.create_publisher(Image, "/image", 1)
    graph.until(lambda: graph.node.count_publishers("/image"), "there is a publisher")
    reporter.check((0.2, 0.0), 0.1, BEST_EFFORT, 3000)
    assert len(reports) == 3 and "remove qos_overrides./image.subscription.reliability" in reports[2]


def share_of(stamps_s: Any) -> float:
    gaps = StampGaps()
    for stamp_s in stamps_s:
        gaps.add(round(1e9 * stamp_s))
    return gaps.missing_share()


def regular(count: int, jitter: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(0)
    return (1000 + np.arange(count) + jitter * random.uniform(-1, 1, count)) / 30


@pytest.mark.parametrize("jitter", [0.0, 0.1])
def test_missing_stamps_of_a_regular_camera(jitter: float) -> None:
    stamps = regular(400, jitter)
    random = np.random.default_rng(1)
    assert share_of(stamps) == 0
    assert share_of(stamps[random.random(400) < 0.35]) == pytest.approx(0.65, abs=0.15)
    assert share_of(stamps[np.arange(400) % 3 > 0]) == 0  # 20 of 30 images may be intended
    assert share_of(stamps[::4]) == 0
    assert share_of(np.concatenate([stamps[:24], stamps[24::3]])[:48]) == 0  # the camera became slower
    assert share_of(stamps[random.random(400) < 0.35][:20]) == 0  # too few to tell


def test_irregular_stamps_are_no_loss() -> None:
    random = np.random.default_rng(2)
    assert share_of(np.cumsum(random.exponential(1, 200))) == 0
    assert share_of(np.cumsum(np.tile([0.02, 0.18], 60))) == 0  # images that arrive in pairs
    assert share_of(np.zeros(100)) == share_of(np.full(100, 5.0)) == 0
    assert share_of(np.tile(np.arange(20), 5)) == 0  # a bag that loops
