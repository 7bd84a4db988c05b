"""Tests of the inputs of the node: compressed images, sizes, clocks, damaged data, and their log lines."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from pose_ros.msg import PersonPoseArray
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from pose_ros.ros.node.camera import _info_topic


def compress(image: np.ndarray, kind: str, stamp_s: int = 1) -> CompressedImage:
    """Compress an image like a camera driver."""
    message = CompressedImage(format=f"bgr8; {kind} compressed bgr8")
    message.header.stamp.sec = stamp_s
    message.header.frame_id = "lens"
    message.data.frombytes(cv2.imencode(f".{kind}", image)[1].tobytes())
    return message


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_compressed_images(make_node: Any, make_camera: Any, paint: Any, kind: str) -> None:
    make_node(image_transport="compressed")
    camera = make_camera(kind=CompressedImage)
    camera.connect()
    answer = camera.ask(compress(paint(12, 40), kind))
    assert (len(answer.people), answer.image_width, answer.image_height) == (2, 80, 64)
    assert answer.header.frame_id == "lens"


def test_the_compressed_topic_follows_the_remapped_image_topic(graph: Any, toy_model: Any) -> None:
    from pose_ros.ros.node.estimator_node import PoseEstimatorNode

    overrides = [Parameter("image_transport", value="compressed"), Parameter("autostart", value=False)]
    remap = ["--ros-args", "-r", "image:=/lens/image_raw"]
    node = PoseEstimatorNode(context=graph.context, parameter_overrides=overrides, cli_args=remap)
    graph.add(node)
    assert node.cameras[0].topic == "/lens/image_raw/compressed"
    assert node.cameras[0]._info_topic == "/lens/camera_info"


def test_damaged_compressed_images_are_reported_and_survived(
    graph: Any, make_node: Any, make_camera: Any, paint: Any, log: Any
) -> None:
    node = make_node(image_transport="compressed")
    camera = make_camera(kind=CompressedImage)
    camera.connect()
    good = compress(paint(20), "png")
    for count, data in enumerate((b"", b"no image data", bytes(good.data)[:40]), start=1):
        bad = CompressedImage(format="png")
        bad.data.frombytes(data)
        camera.send(bad)
        graph.until(lambda c=count: node.cameras[0].statistics.snapshot(0).broken == c, "it is counted")
    assert len(camera.ask(good).people) == 1
    graph.until(lambda: log.find("/image/compressed: skipped an image"), "it is logged")


def test_image_sizes_may_change(start: Any, paint: Any, image_message: Any) -> None:
    _, camera = start()
    for size_wh in ((80, 64), (320, 240), (64, 96), (81, 65), (80, 64)):
        answer = camera.ask(image_message(paint(20, size_wh=size_wh)))
        assert (answer.image_width, answer.image_height) == size_wh


def test_stamps_that_go_back_are_reported_once_and_processed(
    graph: Any, start: Any, paint: Any, image_message: Any, log: Any
) -> None:
    _, camera = start()
    for stamp_s in (10, 11, 11, 12, 10, 11, 12, 10):  # a bag of three images, which loops
        assert camera.ask(image_message(paint(20), stamp_s=stamp_s)).header.stamp.sec == stamp_s
    graph.until(lambda: log.find("went back"), "the node logs it")
    camera.ask(image_message(paint(20), stamp_s=1))
    (line,) = log.find("went back")
    assert "/image: stamps went back by 2.000 s" in line


def test_latency_uses_simulated_time(graph: Any, start: Any, paint: Any, image_message: Any) -> None:
    node, camera = start(use_sim_time=True)
    clock = graph.node.create_publisher(Clock, "/clock", 1)

    def set_clock(now_s: float) -> None:
        message = Clock()
        message.clock.sec, message.clock.nanosec = int(now_s), round(now_s % 1 * 1e9)
        now = lambda: node.get_clock().now().nanoseconds  # noqa: E731
        graph.until(lambda: clock.publish(message) or abs(now() - now_s * 1e9) < 1e3, "the node has the time")

    set_clock(50.25)
    assert camera.ask(image_message(paint(20), stamp_s=50)).latency_ms == pytest.approx(250)
    assert math.isnan(camera.ask(image_message(paint(20), stamp_s=51)).latency_ms)  # ahead
    set_clock(20.5)  # the bag starts again
    assert camera.ask(image_message(paint(20), stamp_s=20)).latency_ms == pytest.approx(500)


def test_an_incompatible_publisher_is_named(graph: Any, make_node: Any, log: Any) -> None:
    make_node(**{"qos_overrides./image.subscription.reliability": "reliable", "lazy": "off", "watchdog_s": 0.5})
    graph.node.create_publisher(Image, "image", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    graph.until(lambda: log.find("incompatible QoS, no message arrives"), "the QoS event is logged")
    graph.until(lambda: log.find("/image: no image for"), "the watchdog warns")
    assert "/tester" in log.find("/image: no image for")[0]


def test_a_latched_image_is_received_as_the_watchdog_advises(
    graph: Any, make_node: Any, paint: Any, image_message: Any
) -> None:
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    graph.node.create_publisher(Image, "image", latched).publish(image_message(paint(20)))
    answers = graph.collect(PersonPoseArray, "pose_estimator/poses")
    overrides = {"durability": "transient_local", "reliability": "reliable"}
    make_node(**{f"qos_overrides./image.subscription.{name}": value for name, value in overrides.items()})
    graph.until(lambda: answers, "the image from before is processed")


def test_simulated_time_without_a_clock_is_reported(graph: Any, make_node: Any, log: Any) -> None:
    make_node(use_sim_time=True, watchdog_s=0.5)
    graph.until(lambda: log.find("/clock: no time for"), "the node warns")
    clock = graph.node.create_publisher(Clock, "/clock", 1)
    message = Clock()
    message.clock.sec = 5
    graph.until(lambda: clock.publish(message) or log.find("/clock: time arrives"), "the node reports the end")
    assert len(log.find("/clock: no time for")) == 1


def test_unknown_parameters_are_reported(make_node: Any, log: Any, graph: Any) -> None:
    make_node(decoder__score_treshold=0.5)
    graph.until(lambda: log.find("did you mean decoder.score_threshold?"), "the node warns")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("/image.subscription.reliability", "perfect"),
        ("/image.subscription.durability", "perfect"),
        ("/image.subscription.depth", -1),
        ("/camera_info.subscription.depth", "deep"),
        ("/pose_estimator/poses.publisher.depth", -1),
    ],
)
def test_an_invalid_override_is_refused(make_node: Any, name: str, value: Any) -> None:
    with pytest.raises(RuntimeError, match=name.rpartition(".")[0]):
        make_node(**{f"qos_overrides.{name}": value})


def test_markers_use_the_frame_of_the_image_and_the_calibration(
    graph: Any, start: Any, paint: Any, image_message: Any
) -> None:
    node, camera = start()
    markers = graph.collect(MarkerArray, "pose_estimator/markers")
    infos = graph.node.create_publisher(CameraInfo, "camera_info", 1)
    graph.until(lambda: infos.get_subscription_count() == 1, "the node subscribes to the calibration")
    info = CameraInfo(width=80, height=64, k=[400.0, 0.0, 40.0, 0.0, 400.0, 32.0, 0.0, 0.0, 1.0])
    graph.until(lambda: infos.publish(info) or node.cameras[0].calibration is not None, "the calibration arrives")
    camera.ask(image_message(paint(20), frame_id="lens"))
    graph.until(lambda: markers, "the markers arrive")
    shown = [marker for marker in markers[0].markers if marker.points]
    assert shown and {marker.header.frame_id for marker in shown} == {"lens"}
    widest_m = max(abs(point.x) for marker in shown for point in marker.points)
    assert widest_m == pytest.approx(16.5 / 400, rel=0.1)  # a person at x = 23.5 px, 1 m ahead


def test_live_changes_take_effect_with_the_next_image(graph: Any, start: Any, paint: Any, image_message: Any) -> None:
    """Two settings that are set together take effect together, also under load."""
    node, camera = start()
    image = paint(4, 28, 52)
    camera.ask(image_message(image))
    pairs = [(1, 3), (2, 2), (3, 1)]
    used: list[tuple[int, int]] = []
    process = type(node._worker.estimator).process_batch

    def record_config(estimator: Any, *images: Any, **options: Any) -> Any:
        config = estimator.config.decoder
        used.append((config.max_people, config.min_keypoints))
        return process(estimator, *images, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(node._worker.estimator), "process_batch", record_config)
        for round_ in range(30):
            max_people, min_keypoints = pairs[round_ % 3]
            values = {"decoder.max_people": max_people, "decoder.min_keypoints": min_keypoints}
            node.set_parameters_atomically([Parameter(name, value=value) for name, value in values.items()])
            camera.send(*[image_message(image, stamp_s=round_ + 2)] * 3)
            last = lambda r=round_: camera.answers[-1].header.stamp.sec == r + 2  # noqa: E731
            graph.until(last, "the last image is processed")
            assert len(camera.answers[-1].people) == max_people
    assert set(used) <= set(pairs)


INFO_REMAP = ["--ros-args", "-r", "camera_info:=/other/calibration"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], "/front/camera_info", id="beside"),
        pytest.param(INFO_REMAP, "/other/calibration", id="remap"),
    ],
)
def test_the_topic_of_the_calibration(graph: Any, arguments: list[str], expected: str) -> None:
    node = graph.add(rclpy.create_node("node", context=graph.context, cli_args=arguments))
    assert _info_topic(node, "camera_info", "/front/image") == expected
