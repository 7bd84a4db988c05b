"""Test the second network in the node: loading, messages, live parameters and errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("onnx", reason="needs onnx to make a network")

from crop_network import paint, write_crop_network
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_crop_network(tmp_path_factory.mktemp("crop") / "crop.onnx"))


def set_parameter(call: Any, name: str, value: Any) -> Any:
    parameters = [Parameter(name, value=value).to_parameter_msg()]
    return call(SetParameters, "/pose_estimator/set_parameters", parameters=parameters).results[0]


def test_people_are_refined_and_marked(
    make_node: Any, make_camera: Any, image_message: Any, call: Any, model: str
) -> None:
    node = make_node(model=model, refinement__model=model)
    camera = make_camera("", 10)
    camera.connect()
    image = paint(np.zeros((200, 200, 3), np.uint8), (100, 50))
    (person,) = camera.ask(image_message(image)).people
    assert person.refined
    assert [(point.x, point.y) for point in person.keypoints] == [
        pytest.approx(xy, abs=2) for xy in ((100, 50), (125, 100), (100, 150))
    ]
    assert set_parameter(call, "refinement.min_person_px", 150.0).successful
    (person,) = camera.ask(image_message(image, stamp_s=2.0)).people
    assert not person.refined
    refused = set_parameter(call, "refinement.model", "")
    assert not refused.successful and "expected no change while the model is in use" in refused.reason
    assert node.state == "active"


@pytest.mark.parametrize(
    ("second", "error"),
    [
        ("missing.onnx", "refinement.model: .*missing.onnx"),
        ("{toy}", "refinement.model: .*expected a network for crops of one person"),
    ],
)
def test_a_second_network_that_does_not_fit_fails_the_start(
    make_node: Any, graph: Any, toy_model: Path, second: str, error: str
) -> None:
    node = make_node(refinement__model=second.replace("{toy}", str(toy_model)))
    graph.until(node.failed.is_set, "the start has failed")
    assert re.search(error, node._failure)
