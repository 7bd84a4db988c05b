"""The launch file, where launch_ros is installed."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed: ROS 2 from wheels has no launch")

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch_ros.actions import Node, PushRosNamespace
from pose_ros.msg import PersonPoseArray
from sensor_msgs.msg import Image

LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

file, *pairs = sys.argv[1:]
arguments = [pair.split(":=") for pair in pairs]
service = LaunchService()
description = IncludeLaunchDescription(PythonLaunchDescriptionSource(file), launch_arguments=arguments)
service.include_launch_description(LaunchDescription([description]))
sys.exit(service.run())
"""
FILE = Path(__file__).resolve().parents[2] / "launch/camera.launch.py"


@pytest.fixture(scope="module")
def module() -> Any:
    """The launch file as a module."""
    spec = importlib.util.spec_from_file_location("camera_launch", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(module: Any, **arguments: str) -> list[Any]:
    """The actions that these arguments lead to."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    for entity in module.generate_launch_description().entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    (group,) = module.start(context)
    assert isinstance(group, GroupAction)
    return group.get_sub_entities()[2:-1]  # between the pushes and pops of the scope


def node(actions: list[Any], executable: str) -> Node:
    """The one node of this program."""
    (found,) = [a for a in actions if isinstance(a, Node) and a.node_executable == executable]
    return found


def remapped(node: Node) -> dict[str, str]:
    """The remappings of a node."""
    rules = node._Node__remappings
    return {a[0].text: b[0].text for a, b in rules}


def test_every_argument_is_described(module: Any) -> None:
    description = module.generate_launch_description()
    assert isinstance(description, LaunchDescription)
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert set(arguments) == set(module.ARGUMENTS)
    assert set(arguments) >= {"camera", "image_topic", "model", "runtime", "params_file", "namespace", "use_sim_time"}
    assert all(argument.description.startswith(module.ARGUMENTS[name][1]) for name, argument in arguments.items())
    assert all(argument.default_value is not None for argument in arguments.values())


@pytest.mark.parametrize(
    ("camera", "topic"),
    [
        ("none", "image"),
        ("usb_cam", "camera/image_raw"),
        ("v4l2_camera", "camera/image_raw"),
        ("realsense", "camera/camera/color/image_raw"),
        ("zed", "zed/zed_node/rgb/color/rect/image"),
        ("video", "camera/image"),
    ],
)
def test_the_images_of_each_camera_reach_the_node(module: Any, camera: str, topic: str) -> None:
    actions = started(module, camera=camera, video="people.mp4")
    assert remapped(node(actions, "pose_node")) == {"image": topic}
    started_processes = [action for action in actions if isinstance(action, (Node, IncludeLaunchDescription))]
    assert len(started_processes) == (2 if camera == "none" else 3)


def test_a_given_topic_wins(module: Any) -> None:
    actions = started(module, camera="realsense", image_topic="/mine")
    assert remapped(node(actions, "pose_node")) == {"image": "/mine"}
    assert remapped(node(actions, "rviz2"))["/image"] == "/mine"


def test_a_namespace_is_pushed_on_everything(module: Any) -> None:
    assert any(isinstance(action, PushRosNamespace) for action in started(module, namespace="robot"))
    assert not any(isinstance(action, PushRosNamespace) for action in started(module))


def test_rviz_starts_only_when_wanted(module: Any) -> None:
    for wanted in ("true", "false"):
        rviz = node(started(module, rviz=wanted), "rviz2")
        assert rviz.condition.evaluate(LaunchContext()) == (wanted == "true")


def test_a_video_needs_a_file(module: Any) -> None:
    with pytest.raises(ValueError, match="expected a file with camera:=video"):
        started(module, camera="video")


def test_an_unknown_camera_is_refused(module: Any) -> None:
    with pytest.raises(RuntimeError, match="camera"):
        started(module, camera="abacus")


def test_the_node_really_starts_answers_and_stops(
    graph: Any, tmp_path: Path, toy_model: Path, paint: Any, image_message: Any
) -> None:
    program = tmp_path / "launch_it.py"
    program.write_text(LAUNCH)
    arguments = ["camera:=none", f"model:={toy_model}", "namespace:=robot", "image_topic:=/front/image"]
    command = [sys.executable, str(program), str(FILE), *arguments]
    publisher = graph.node.create_publisher(Image, "/front/image", 1)
    answers = graph.collect(PersonPoseArray, "/robot/pose_estimator/poses")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            graph.until(lambda: publisher.get_subscription_count() == 1, "the node subscribes")
            graph.until(lambda: graph.node.count_publishers("/robot/pose_estimator/poses") == 1, "it publishes")
            message = image_message(paint(20))
            graph.until(lambda: publisher.publish(message) or answers, "the node answers")
        finally:
            process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[0]
    assert len(answers[0].people) == 1
    assert "process has finished cleanly" in said
    assert "Traceback" not in said
