"""Tests of the node in a real graph: poses, dropped images and broken images."""

from __future__ import annotations

import array
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from pose_ros.msg import PersonPoseArray
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image
from shared_folder import SHARED

from pose_ros.config import OverlayConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.media.overlay import draw
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.people import People
from pose_ros.ros.node import outputs
from pose_ros.ros.node.estimator_node import PoseEstimatorNode
from pose_ros.ros.node.processing import Processor

StartNode = Callable[..., tuple[PoseEstimatorNode, Any]]
PHOTOS = SHARED / "images/coco_val/images"


def read_people(message: PersonPoseArray) -> People:
    """Convert a message to the type of the library."""
    shape = (len(message.people), len(message.keypoint_names))
    rows = [[(k.x, k.y, k.score) for k in person.keypoints] for person in message.people]
    numbers = np.nan_to_num(np.float32(rows).reshape(*shape, 3))
    scores = np.float32([person.score for person in message.people])
    return People(numbers[..., :2], numbers[..., 2], scores, np.int32([person.id for person in message.people]))


def assert_same(found: People, expected: People) -> None:
    """Check that all arrays are equal bit by bit."""
    for name in ("keypoints", "scores", "person_scores", "ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


def test_header_size_model_and_names_are_those_of_the_image(
    start: StartNode, toy_estimator: PoseEstimator, paint: Any, image_message: Any
) -> None:
    _, camera = start()
    answer = camera.ask(image_message(paint(20), stamp_s=12.25, frame_id="camera_optical"))
    assert (answer.header.stamp.sec, answer.header.stamp.nanosec) == (12, 250_000_000)
    assert answer.header.frame_id == "camera_optical"
    assert (answer.image_width, answer.image_height) == (80, 64)
    assert answer.model == toy_estimator.model_name
    assert answer.model.startswith("toy-")
    assert list(answer.keypoint_names) == ["head", "hip", "foot"]
    assert min(answer.preprocess_ms, answer.network_ms, answer.decode_ms) > 0
    assert answer.dropped == 0


def test_people_are_those_of_the_library(
    start: StartNode, toy_estimator: PoseEstimator, paint: Any, image_message: Any
) -> None:
    _, camera = start()
    image = paint(12, 40)
    found = read_people(camera.ask(image_message(image)))
    assert len(found) == 2
    assert_same(found, toy_estimator.estimate(image))


def test_every_image_is_answered_even_without_people(start: StartNode, paint: Any, image_message: Any) -> None:
    _, camera = start()
    counts = [
        len(camera.ask(image_message(paint(*people), stamp_s=1 + i)).people)
        for i, people in enumerate([(20,), (), (12, 40), ()])
    ]
    assert counts == [1, 0, 2, 0]
    assert [answer.header.stamp.sec for answer in camera.answers] == [1, 2, 3, 4]
    assert all(len(answer.keypoint_names) == 3 for answer in camera.answers)


def test_the_colour_order_is_respected(start: StartNode, paint: Any, image_message: Any) -> None:
    _, camera = start()
    bgr = paint(20)
    assert len(camera.ask(image_message(bgr, "rgb8")).people) == 0  # blue head and red foot: no person
    assert len(camera.ask(image_message(bgr[..., ::-1].copy(), "rgb8")).people) == 1
    assert len(camera.ask(image_message(bgr, "bgr8")).people) == 1


def test_latency_is_measured_from_the_stamp(graph: Any, start: StartNode, paint: Any, image_message: Any) -> None:
    _, camera = start()
    message = image_message(paint())
    before = graph.node.get_clock().now()
    message.header.stamp = before.to_msg()
    answer = camera.ask(message)
    elapsed_ms = (graph.node.get_clock().now() - before).nanoseconds / 1e6
    assert answer.preprocess_ms + answer.network_ms + answer.decode_ms <= answer.latency_ms <= elapsed_ms
    assert math.isnan(camera.ask(image_message(paint(), stamp_s=0)).latency_ms)


def block_on_first(graph: Any, camera: Any, slow: PoseEstimator, message: Image) -> None:
    """Send an image, and wait until the network runs."""
    camera.send(message)
    graph.until(lambda: slow.runner.started == 1, "the network has started")


def waiting_stamp(node: PoseEstimatorNode) -> int | None:
    """Return the stamp of the waiting image, s."""
    waiting = node._worker.waiting.peek(node.cameras[0])
    return waiting and waiting.header.stamp.sec


def test_only_the_newest_image_waits_and_the_others_are_counted(
    graph: Any, start: StartNode, slow: PoseEstimator, paint: Any, image_message: Any
) -> None:
    node, camera = start(slow)
    messages = [image_message(paint(), stamp_s=number) for number in range(1, 7)]
    block_on_first(graph, camera, slow, messages[0])
    for message in messages[1:5]:
        camera.send(message)
        graph.until(lambda m=message: waiting_stamp(node) == m.header.stamp.sec, "the image waits")
    slow.runner.release.release(2)
    graph.until(lambda: len(camera.answers) == 2, "both are processed")
    slow.runner.release.release()
    camera.ask(messages[5])
    assert [(a.header.stamp.sec, a.dropped) for a in camera.answers] == [(1, 0), (5, 3), (6, 0)]


def test_drops_before_a_broken_image_are_reported_with_the_next_answer(
    graph: Any, start: StartNode, slow: PoseEstimator, paint: Any, image_message: Any
) -> None:
    node, camera = start(slow)
    block_on_first(graph, camera, slow, image_message(paint(), stamp_s=1))
    for stamp_s, encoding in ((2, "bgr8"), (3, "nonsense")):
        camera.send(image_message(paint(), encoding, stamp_s=stamp_s))
        graph.until(lambda s=stamp_s: waiting_stamp(node) == s, "the image waits")
    slow.runner.release.release(2)
    graph.until(lambda: len(camera.answers) == 1, "the first is processed")
    graph.until(lambda: waiting_stamp(node) is None, "the broken one is taken")
    camera.ask(image_message(paint(), stamp_s=4))
    assert [(a.header.stamp.sec, a.dropped) for a in camera.answers] == [(1, 0), (4, 1)]


BROKEN = {
    "unknown encoding": {"encoding": "h264"},
    "no encoding": {"encoding": ""},
    "empty image": {"width": 0, "height": 0, "step": 0, "data": array.array("B")},
    "zero width": {"width": 0},
    "step too small": {"step": 3},
    "data too short": {"data": array.array("B", b"abc")},
    "giant": {"width": 2**32 - 1, "height": 2**32 - 1, "step": 2**32 - 1},
    "odd 4:2:2": {"encoding": "yuyv", "width": 79},
    "depth": {"encoding": "32FC1"},
    "invalid encoding name": {"encoding": "\udcff".encode(errors="replace").decode() + "\n" * 50},
}


def test_no_broken_image_stops_the_node_and_each_is_reported(
    graph: Any, start: StartNode, paint: Any, image_message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, camera = start()
    reports: list[str] = []
    report = node.cameras[0].report_failure
    monkeypatch.setattr(
        node.cameras[0], "report_failure", lambda m, e: (report(m, e), reports.append(f"{m.encoding} {e}"))
    )
    for number, changes in enumerate(BROKEN.values(), start=1):
        message = image_message(paint(20))
        for name, value in changes.items():
            setattr(message, name, value)
        camera.send(message)
        graph.until(lambda n=number: len(reports) == n, f"image {number} is reported")
    assert len(camera.ask(image_message(paint(20))).people) == 1
    assert all("expected" in report for report in reports)


def test_an_estimator_that_fails_on_one_image_answers_the_next(
    graph: Any, start: StartNode, toy_estimator: PoseEstimator, paint: Any, image_message: Any
) -> None:
    _, camera = start(toy_estimator)
    process, failed = toy_estimator.process_batch, []

    def fail_once(*images: Any, **options: Any) -> Any:
        if not failed:
            failed.append(1)
            raise RuntimeError("out of memory")
        return process(*images, **options)

    toy_estimator.process_batch = fail_once
    camera.send(image_message(paint()))
    graph.until(lambda: failed, "the network has failed")
    assert len(camera.ask(image_message(paint(20))).people) == 1


def test_the_overlay_is_drawn_only_for_subscribers(
    graph: Any, start: StartNode, paint: Any, image_message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    draw = outputs.draw_covered
    monkeypatch.setattr(outputs, "draw_covered", lambda *a, **k: (drawn.append(1), draw(*a, **k))[1])
    node, camera = start()
    camera.ask(image_message(paint(20)))
    camera.ask(image_message(paint(20)))  # the worker has finished the first one
    assert drawn == []

    overlays = graph.collect(Image, "/pose_estimator/overlay", 1)
    graph.until(lambda: node.cameras[0].outputs._overlay.get_subscription_count() == 1, "the overlay has a subscriber")
    bgr = paint(20)
    bgr[:, 60:] = (40, 20, 5)
    camera.send(image_message(bgr[..., ::-1].copy(), "rgb8", stamp_s=7.5, frame_id="camera"))
    graph.until(lambda: overlays, "the overlay arrives")
    overlay = overlays[0]
    assert (overlay.width, overlay.height, overlay.step, overlay.encoding) == (80, 64, 240, "bgr8")
    assert (overlay.header.stamp.sec, overlay.header.frame_id) == (7, "camera")
    pixels = np.frombuffer(overlay.data, np.uint8).reshape(64, 80, 3)
    assert (pixels != bgr).any()
    np.testing.assert_array_equal(pixels[:, 50:], bgr[:, 50:])  # unchanged away from the person
    assert drawn == [1]


def test_settings_of_the_overlay_reach_it(
    graph: Any, start: StartNode, toy_estimator: PoseEstimator, paint: Any, image_message: Any
) -> None:
    node, camera = start(overlay__boxes=True, overlay__thickness=3.0, jpeg_quality=17)
    overlays = graph.collect(CompressedImage, "/pose_estimator/overlay/compressed", 1)
    graph.until(lambda: node.cameras[0].outputs._compressed.get_subscription_count() == 1, "it has a subscriber")
    camera.send(image_message(paint(20)))
    graph.until(lambda: overlays, "the overlay arrives")
    config = OverlayConfig(boxes=True, thickness=3.0)
    expected = draw(paint(20), toy_estimator.estimate(paint(20)), toy_estimator.skeleton, config)
    assert overlays[0].data == outputs.image_to_compressed(expected, overlays[0].header, 17).data


def test_heads_are_covered_in_the_overlay(graph: Any, start: StartNode, paint: Any, image_message: Any) -> None:
    """The head of the person is the red square at 20, 12."""
    node, camera = start(overlay__anonymise="black", overlay__score_threshold=1.0)
    overlays = graph.collect(Image, "/pose_estimator/overlay", 1)
    graph.until(lambda: node.cameras[0].outputs._overlay.get_subscription_count() == 1, "it has a subscriber")
    camera.send(image_message(paint(20), stamp_s=1.0))
    graph.until(lambda: len(overlays) == 1, "the overlay arrives")
    pixels = np.frombuffer(overlays[0].data, np.uint8).reshape(64, 80, 3)
    assert pixels[14:18, 22:26].max() == 0 and np.array_equal(pixels[44:], paint(20)[44:])
    hidden = paint(20)
    hidden[20:] = 0  # the network misses the person, and the head stays covered
    camera.send(image_message(hidden, stamp_s=1.1))
    graph.until(lambda: len(overlays) == 2, "the next overlay arrives")
    assert np.frombuffer(overlays[1].data, np.uint8).reshape(64, 80, 3)[14:18, 22:26].max() == 0


def test_people_in_an_ignored_region_are_dropped(
    start: StartNode, paint: Any, image_message: Any, tmp_path: Path
) -> None:
    """The region is the left half of an image of another size."""
    path = tmp_path / "ignore.yaml"
    path.write_text("all: {image_size: [160, 128], polygons: [[[0, 0], [79, 0], [79, 127], [0, 127]]]}")
    _, camera = start(regions__ignore=str(path))
    answer = camera.ask(image_message(paint(10, 60)))
    assert [person.keypoints[0].x > 40 for person in answer.people] == [True]


def test_a_wrong_file_of_regions_is_reported(make_node: Any, graph: Any, log: Any, tmp_path: Path) -> None:
    node = make_node(regions__ignore=str(tmp_path / "none.yaml"))
    graph.until(node.failed.is_set, "the start has failed")
    graph.until(lambda: log.find("regions.ignore: expected a YAML file or an image"), "the reason is in the log")


def test_an_error_outside_the_steps_of_an_image_is_reported(
    graph: Any, start: StartNode, paint: Any, image_message: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, camera = start()
    process, failures = Processor.process, [RuntimeError("unexpected")]

    def fail_once(self: Processor, taken: Any) -> None:
        if failures:
            raise failures.pop()
        process(self, taken)

    monkeypatch.setattr(Processor, "process", fail_once)
    camera.send(image_message(paint(20)))
    graph.until(lambda: log.find("RuntimeError: unexpected"), "it is reported")
    assert node.cameras[0].statistics.snapshot(time.monotonic()).broken == 1
    assert len(camera.ask(image_message(paint(20))).people) == 1


def test_the_last_poses_are_acknowledged_before_the_publisher_is_destroyed(start: StartNode) -> None:
    node, _ = start()
    waited: list[Any] = []
    publishers = node.cameras[0].outputs
    for count in (0, 1):
        publishers._poses = SimpleNamespace(
            get_subscription_count=lambda count=count: count, wait_for_all_acked=waited.append
        )
        publishers.flush()
        assert len(waited) == count


def test_the_poses_do_not_wait_for_the_overlay(
    graph: Any, start: StartNode, paint: Any, image_message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, draw = threading.Event(), outputs.draw_covered
    monkeypatch.setattr(outputs, "draw_covered", lambda *a, **k: (release.wait(120), draw(*a, **k))[1])
    node, camera = start()
    overlays = graph.collect(Image, "/pose_estimator/overlay", 1)
    graph.until(lambda: node.cameras[0].outputs._overlay.get_subscription_count() == 1, "the overlay has a subscriber")
    camera.ask(image_message(paint(20)))
    assert overlays == []
    release.set()
    graph.until(lambda: overlays, "the overlay arrives")


@pytest.mark.parametrize("encoding", ["mono8", "mono16"])
def test_a_grey_image_has_poses_and_an_overlay(graph: Any, start: StartNode, image_message: Any, encoding: str) -> None:
    node, camera = start()
    overlays = graph.collect(Image, "/pose_estimator/overlay", 1)
    graph.until(lambda: node.cameras[0].outputs._overlay.get_subscription_count() == 1, "the overlay has a subscriber")
    camera.ask(image_message(np.zeros((64, 80), np.uint8 if encoding == "mono8" else np.uint16), encoding))
    graph.until(lambda: overlays, "the overlay arrives")
    assert overlays[0].encoding == "bgr8"


@pytest.mark.parametrize(
    "qos",
    [
        pytest.param(qos_profile_sensor_data, id="best effort"),
        pytest.param(QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE), id="reliable"),
    ],
)
def test_publishers_of_either_reliability_are_received(
    start: StartNode, paint: Any, image_message: Any, qos: QoSProfile
) -> None:
    _, camera = start(qos=qos)
    assert len(camera.ask(image_message(paint(20))).people) == 1


def test_qos_can_be_overridden(graph: Any, start: StartNode) -> None:
    start(**{"qos_overrides./image.subscription.reliability": "reliable"})
    info = graph.node.get_subscriptions_info_by_topic("/image")
    assert [entry.qos_profile.reliability for entry in info] == [ReliabilityPolicy.RELIABLE]


def test_two_nodes_in_two_namespaces_are_independent(start: StartNode, paint: Any, image_message: Any) -> None:
    (_, left), (_, right) = start(namespace="/left"), start(namespace="/right")
    assert len(left.ask(image_message(paint(20), frame_id="l")).people) == 1
    assert len(right.ask(image_message(paint(), frame_id="r")).people) == 0
    assert [a.header.frame_id for a in left.answers + right.answers] == ["l", "r"]


def test_the_model_and_the_settings_are_those_of_the_parameters(
    make_node: Any, make_camera: Any, paint: Any, image_message: Any
) -> None:
    make_node(decoder__max_people=1)
    camera = make_camera()
    camera.connect()
    assert len(camera.ask(image_message(paint(12, 40))).people) == 1


def test_a_failed_load_is_reported(graph: Any, make_node: Any) -> None:
    node = make_node(model="missing.onnx")
    graph.until(node.failed.is_set, "the node gives up")
    assert node.close(timeout_s=120)


def test_a_node_can_be_destroyed_while_it_works(
    graph: Any, start: StartNode, slow: PoseEstimator, paint: Any, image_message: Any
) -> None:
    node, camera = start(slow)
    block_on_first(graph, camera, slow, image_message(paint()))
    assert not node.close(timeout_s=0.01)
    slow.runner.release.release()
    assert node.close(timeout_s=120)


@pytest.mark.slow
@pytest.mark.skipif(not DEFAULT_MODEL.is_file(), reason="no default model in this checkout")
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="no photos: ../shared/images/coco_val/images is missing")
def test_people_of_a_photo_are_those_of_the_library(start: StartNode, image_message: Any) -> None:
    import cv2

    estimator = PoseEstimator.load()
    photos = (cv2.imread(str(path)) for path in sorted(PHOTOS.glob("*.jpg"))[:20])
    image, people = next((i, p) for i in photos if len(p := estimator.estimate(i)) > 1)
    _, camera = start(estimator)
    assert_same(read_people(camera.ask(image_message(image))), people)
