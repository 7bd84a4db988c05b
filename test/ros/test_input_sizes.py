"""Test input sizes of the network that change from image to image, in the node."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("onnx", reason="needs onnx to make a network")

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

SIZES = {
    "alternate": {"preprocess__scales": [64, 128], "preprocess__scale_order": "alternate"},
    "auto": {"preprocess__scales": [64, 128], "preprocess__short_side": "auto"},
    "auto without scales": {"preprocess__short_side": "auto"},
    "together": {"preprocess__scales": [64, 128]},
}


@pytest.mark.parametrize("sizes", SIZES)
def test_each_camera_keeps_its_people(
    make_node: Any, make_camera: Any, paint: Any, image_message: Any, sizes: str
) -> None:
    node = make_node(cameras=["front", "rear"], tracking__hits=1, **SIZES[sizes])
    cameras = [make_camera(name=name) for name in node.get_parameter("cameras").value]
    images = [paint(20), paint(12, 40)]
    for camera in cameras:
        camera.connect()
    for turn in range(6):
        for people, camera in enumerate(cameras, start=1):
            answer = camera.ask(image_message(images[people - 1], stamp_s=1 + turn / 10))
            assert sorted(person.id for person in answer.people) == list(range(people))


def test_sizes_in_turn_keep_tracking_on(
    make_node: Any, make_camera: Any, paint: Any, image_message: Any, call: Any
) -> None:
    make_node(**SIZES["alternate"])
    camera = make_camera()
    camera.connect()

    def set_parameter(name: str, value: Any) -> Any:
        parameters = [Parameter(name, value=value).to_parameter_msg()]
        return call(SetParameters, "/pose_estimator/set_parameters", parameters=parameters).results[0]

    refused = set_parameter("tracking.enabled", False)
    assert not refused.successful and "expected together without tracking" in refused.reason
    assert set_parameter("overlay.masks", False).successful
    assert set_parameter("decoder.matching", "partition").successful
    assert len(camera.ask(image_message(paint(12, 40))).people) == 2
    assert set_parameter("decoder.matching", "greedy").successful
    assert len(camera.ask(image_message(paint(12, 40), stamp_s=2.0)).people) == 2
