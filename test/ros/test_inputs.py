"""What comes in: compressed images, other sizes, other clocks, damaged things; and what the node says of it."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import MarkerArray


def compressed(picture: np.ndarray, kind: str, stamp_s: int = 1) -> CompressedImage:
    """The picture as a camera driver sends it."""
    message = CompressedImage(format=f"bgr8; {kind} compressed bgr8")
    message.header.stamp.sec = stamp_s
    message.header.frame_id = "lens"
    message.data.frombytes(cv2.imencode(f".{kind}", picture)[1].tobytes())
    return message


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_compressed_images(make_node: Any, make_camera: Any, paint: Any, kind: str) -> None:
    make_node(image_transport="compressed")
    camera = make_camera(kind=CompressedImage)
    camera.connect()
    answer = camera.ask(compressed(paint(12, 40), kind))
    assert (len(answer.people), answer.image_width, answer.image_height) == (2, 80, 64)
    assert answer.header.frame_id == "lens"


def test_the_compressed_topic_is_that_of_the_remapped_images(graph: Any, toy_model: Any) -> None:
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
    good = compressed(paint(20), "png")
    for count, data in enumerate((b"", b"nothing of the kind", bytes(good.data)[:40]), start=1):
        bad = CompressedImage(format="png")
        bad.data.frombytes(data)
        camera.send(bad)
        graph.until(lambda c=count: node.cameras[0].statistics.snapshot(0).broken == c, "it is counted")
    assert len(camera.ask(good).people) == 1
    graph.until(lambda: log.said("of /image/compressed: "), "it is told")


def test_sizes_may_change_in_the_stream(start: Any, paint: Any, image_message: Any) -> None:
    _, camera = start()
    for size_wh in ((80, 64), (320, 240), (64, 96), (81, 65), (80, 64)):
        answer = camera.ask(image_message(paint(20, size_wh=size_wh)))
        assert (answer.image_width, answer.image_height) == size_wh


def test_stamps_that_go_back_are_told_once_and_answered(
    graph: Any, start: Any, paint: Any, image_message: Any, log: Any
) -> None:
    _, camera = start()
    for stamp_s in (10, 11, 12, 10, 11, 12, 10):  # a bag of three images, which loops
        assert camera.ask(image_message(paint(20), stamp_s=stamp_s)).header.stamp.sec == stamp_s
    graph.until(lambda: log.said("went back"), "the node tells")
    camera.ask(image_message(paint(20), stamp_s=1))
    (told,) = log.said("went back")
    assert "/image went back by 2.000 s" in told


def test_simulated_time_is_the_clock_of_the_latency(graph: Any, start: Any, paint: Any, image_message: Any) -> None:
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
    set_clock(20.5)  # the bag begins again
    assert camera.ask(image_message(paint(20), stamp_s=20)).latency_ms == pytest.approx(500)


def test_an_incompatible_publisher_is_named(graph: Any, make_node: Any, log: Any) -> None:
    make_node(**{"qos_overrides./image.subscription.reliability": "reliable", "lazy": "off", "watchdog_s": 0.5})
    graph.node.create_publisher(Image, "image", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    graph.until(lambda: log.said("we receive nothing"), "the node tells of the quality of service")
    graph.until(lambda: log.said("no image on /image"), "the watchdog tells")
    assert "/tester" in log.said("no image on /image")[0]


def test_an_override_that_is_none_does_not_end_the_node(graph: Any, make_node: Any, log: Any) -> None:
    node = make_node(**{"qos_overrides./image.subscription.reliability": "perfect", "lazy": "off"})
    graph.until(lambda: log.said("perfect"), "the node tells")
    graph.until(lambda: node.state == "active", "the node goes on")


def test_markers_lie_in_the_frame_of_the_image_and_take_the_calibration(
    graph: Any, start: Any, paint: Any, image_message: Any
) -> None:
    node, camera = start()
    markers = graph.collect(MarkerArray, "pose_estimator/markers")
    infos = graph.node.create_publisher(CameraInfo, "camera_info", 1)
    graph.until(lambda: infos.get_subscription_count() == 1, "the node wants the calibration")
    info = CameraInfo(width=80, height=64, k=[400.0, 0.0, 40.0, 0.0, 400.0, 32.0, 0.0, 0.0, 1.0])
    graph.until(lambda: infos.publish(info) or node.cameras[0].calibration is not None, "the calibration arrives")
    camera.ask(image_message(paint(20), frame_id="lens"))
    graph.until(lambda: markers, "the markers arrive")
    shown = [marker for marker in markers[0].markers if marker.points]
    assert shown and {marker.header.frame_id for marker in shown} == {"lens"}
    widest_m = max(abs(point.x) for marker in shown for point in marker.points)
    assert widest_m == pytest.approx(16.5 / 400, rel=0.1)  # a person at x = 23.5 px, 1 m ahead


def test_live_changes_count_with_the_next_image(graph: Any, start: Any, paint: Any, image_message: Any) -> None:
    """Under load, and atomically: two settings that are set together are never seen apart."""
    node, camera = start()
    image = paint(4, 28, 52)
    camera.ask(image_message(image))
    pairs = [(1, 3), (2, 2), (3, 1)]
    seen: list[tuple[int, int]] = []
    process = type(node._worker.estimator).process_batch

    def watched(estimator: Any, *images: Any) -> Any:
        config = estimator.config.decoder
        seen.append((config.max_people, config.min_keypoints))
        return process(estimator, *images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(node._worker.estimator), "process_batch", watched)
        for round_ in range(30):
            most, least = pairs[round_ % 3]
            values = {"decoder.max_people": most, "decoder.min_keypoints": least}
            node.set_parameters_atomically([Parameter(name, value=value) for name, value in values.items()])
            camera.send(*[image_message(image, stamp_s=round_ + 2)] * 3)
            last = lambda r=round_: camera.answers[-1].header.stamp.sec == r + 2  # noqa: E731
            graph.until(last, "the last image is answered")
            assert len(camera.answers[-1].people) == most
    assert set(seen) <= set(pairs)
