"""Tests of the parameters ``lazy`` and ``max_rate``, and of the service ~/enable."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray
from pose_ros.msg import PersonPoseArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import SetBool
from visualization_msgs.msg import MarkerArray

from pose_ros.ros.node.camera import RateLimit

OUTPUTS = {"poses": PersonPoseArray, "overlay": Image, "overlay/compressed": CompressedImage, "markers": MarkerArray}
OUTPUTS["pose_array"] = PoseArray


def wait_until_settled(graph: Any, node: Any) -> None:
    """Wait until the node is active and has checked its subscribers twice."""
    updates: list[int] = []
    update = node.cameras[0].update
    node.cameras[0].update = lambda *state: (update(*state), updates.append(1))[0]
    graph.until(lambda: node.state == "active" and len(updates) >= 2, "the node is active")
    node.cameras[0].update = update


@pytest.mark.parametrize("output", OUTPUTS)
def test_images_are_received_only_while_an_output_has_a_subscriber(
    graph: Any, make_node: Any, output: str, paint: Any, image_message: Any
) -> None:
    node = make_node()
    images = graph.node.create_publisher(Image, "image", 1)
    wait_until_settled(graph, node)
    assert images.get_subscription_count() == 0
    messages: list[Any] = []
    subscription = graph.node.create_subscription(OUTPUTS[output], f"pose_estimator/{output}", messages.append, 1)
    graph.until(lambda: images.get_subscription_count() == 1, "the node subscribes")
    images.publish(image_message(paint(20)))
    graph.until(lambda: messages, "the output is published")
    graph.node.destroy_subscription(subscription)
    graph.until(lambda: images.get_subscription_count() == 0, "the node unsubscribes")


def test_after_a_pause_the_statistics_start_again(graph: Any, make_node: Any) -> None:
    node = make_node(diagnostics__period_s=0.05, diagnostics__warn_age_s=2.0)
    wait_until_settled(graph, node)
    node.cameras[0].statistics.resume(time.monotonic() - 60)  # as after a pause of a minute
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    graph.collect(PersonPoseArray, "pose_estimator/poses")
    statuses = lambda: [s for r in reports for s in r.status if s.name.endswith("camera") and "IDLE" not in s.message]  # noqa: E731
    graph.until(statuses, "it is active again")
    assert (statuses()[0].level, "first image" in statuses()[0].message) == (DiagnosticStatus.STALE, True)


@pytest.mark.parametrize("policy", ["durability", "reliability"])
def test_every_policy_of_an_output_can_be_overridden(graph: Any, make_node: Any, policy: str) -> None:
    values = {"durability": "transient_local", "reliability": "best_effort"}
    make_node(**{f"qos_overrides./pose_estimator/poses.publisher.{policy}": values[policy]})
    publishers = lambda: graph.node.get_publishers_info_by_topic("/pose_estimator/poses")  # noqa: E731
    graph.until(publishers, "the node is discovered")
    assert getattr(publishers()[0].qos_profile, policy).name.lower() == values[policy]


@pytest.mark.parametrize(("lazy", "answered"), [("keep", 0), ("never", 1), ("off", 1)])
def test_keep_skips_inference_and_off_processes(
    graph: Any, make_node: Any, lazy: str, answered: int, paint: Any, image_message: Any
) -> None:
    node = make_node(lazy=lazy)
    statistics = node.cameras[0].statistics
    images = graph.node.create_publisher(Image, "image", 1)
    graph.until(lambda: images.get_subscription_count() == 1, "the node subscribes")
    images.publish(image_message(paint(20)))
    graph.until(lambda: statistics.snapshot(0).received == 1, "the image is received")
    if answered:
        graph.until(lambda: statistics.snapshot(0).answered == 1, "it is processed")
    answers = graph.collect(PersonPoseArray, "pose_estimator/poses")
    graph.until(
        lambda: node.cameras[0].wanted and node.count_subscribers("pose_estimator/poses"), "the poses have a subscriber"
    )
    images.publish(image_message(paint(20), stamp_s=2))
    graph.until(lambda: answers, "it is processed")
    assert [answer.header.stamp.sec for answer in answers] == [2]
    assert statistics.snapshot(0).answered == answered + 1


def test_lazy_changes_live(graph: Any, make_node: Any) -> None:
    from rclpy.parameter import Parameter

    node = make_node()
    images = graph.node.create_publisher(Image, "image", 1)
    wait_until_settled(graph, node)
    for lazy, count in (("keep", 1), ("drop", 0), ("off", 1)):
        assert node.set_parameters([Parameter("lazy", value=lazy)])[0].successful
        graph.until(lambda c=count: images.get_subscription_count() == c, f"lazy is {lazy}")


def test_calibrations_are_received_only_for_markers(graph: Any, make_node: Any, make_camera: Any) -> None:
    node = make_node()
    make_camera().connect()
    infos = graph.node.create_publisher(CameraInfo, "camera_info", 1)
    wait_until_settled(graph, node)
    assert infos.get_subscription_count() == 0
    graph.collect(MarkerArray, "pose_estimator/markers")
    graph.until(lambda: infos.get_subscription_count() == 1, "the node subscribes to the calibration")
    graph.until(lambda: infos.publish(CameraInfo(width=7)) or node.cameras[0].calibration, "the calibration arrives")
    node.cameras[0].outputs._markers = SimpleNamespace(get_subscription_count=lambda: 0)
    graph.until(lambda: infos.get_subscription_count() == 0, "the node unsubscribes")
    assert node.cameras[0].calibration is None  # it may be another one at the next time


@pytest.mark.parametrize("lazy", ["drop", "keep", "off"])
def test_the_node_can_be_disabled_and_enabled(
    graph: Any, start: Any, call: Any, lazy: str, paint: Any, image_message: Any
) -> None:
    node, camera = start(lazy=lazy)
    camera.ask(image_message(paint(20)))
    answer = call(SetBool, "/pose_estimator/enable", data=False)
    assert answer.success and answer.message == "disabled; the node is active"
    subscribed = int(lazy == "keep")
    graph.until(lambda: camera.publisher.get_subscription_count() == subscribed, "it pauses")
    if subscribed:
        received = node.cameras[0].statistics.snapshot(0).received
        camera.send(image_message(paint(20)))
        graph.until(lambda: node.cameras[0].statistics.snapshot(0).received > received, "the image is received")
        assert node._worker.waiting.peek(node.cameras[0]) is None
    assert call(SetBool, "/pose_estimator/enable", data=True).success
    graph.until(lambda: camera.publisher.get_subscription_count() == 1, "it subscribes again")
    assert camera.ask(image_message(paint(20), stamp_s=9)).header.stamp.sec == 9
    assert len(camera.answers) == 2


def test_the_node_stays_disabled_through_the_lifecycle(graph: Any, make_node: Any, make_camera: Any, call: Any) -> None:
    node = make_node(autostart=False)
    camera = make_camera()
    assert call(SetBool, "/pose_estimator/enable", data=False).message == "disabled; the node is unconfigured"
    node.trigger_configure()
    node.trigger_activate()
    wait_until_settled(graph, node)
    assert camera.publisher.get_subscription_count() == 0
    call(SetBool, "/pose_estimator/enable", data=True)
    camera.connect()


@pytest.mark.parametrize(
    ("camera_hz", "max_hz", "share"),
    [(30, 0, 1.0), (30, 20, 2 / 3), (30, 30, 1.0), (30, 7, 7 / 30), (5, 30, 1.0), (30, 0.5, 1 / 60)],
)
def test_the_highest_rate_holds_on_average_and_tolerates_jitter(camera_hz: float, max_hz: float, share: float) -> None:
    limit, count = RateLimit(), 3000
    arrivals_s = [100 + (i + 0.3 * (i % 3 - 1)) / camera_hz for i in range(count)]
    passed = [limit.allows(now_s, max_hz) for now_s in arrivals_s]
    assert sum(passed) / count == pytest.approx(share, abs=0.01)
    gaps = [i for i, (a, b, c) in enumerate(zip(passed[3:], passed[4:], passed[5:], strict=False)) if a and b and c]
    assert not gaps or share > 0.6  # evenly spread: never three in a row if only one of three may pass


def test_images_above_the_highest_rate_do_not_count_as_dropped(
    graph: Any, start: Any, paint: Any, image_message: Any
) -> None:
    node, camera = start(max_rate=0.001)
    for stamp_s in (1, 2, 3, 4):
        camera.send(image_message(paint(20), stamp_s=stamp_s))
    graph.until(lambda: node.cameras[0].statistics.snapshot(0).received == 4, "all are received")
    graph.until(lambda: camera.answers, "the first is processed")
    assert sum(answer.dropped for answer in camera.answers) <= 1  # one of the two that may pass after a pause
    assert {answer.header.stamp.sec for answer in camera.answers} <= {1, 2}
