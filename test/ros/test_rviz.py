"""Tests that the node publishes every topic of the RViz and Foxglove layouts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from pose_ros.msg import PersonPoseArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import Marker, MarkerArray

from pose_ros.ros.replay.recording import DEFAULT_FRAME_ID

ROOT = Path(__file__).resolve().parents[2]
RVIZ = yaml.safe_load((ROOT / "rviz/pose.rviz").read_text())
FOXGLOVE = json.loads((ROOT / "config/foxglove_layout.json").read_text())
DISPLAYS = {  # display classes that exist in every RViz since Humble, and their message types
    "rviz_default_plugins/Axes": None,
    "rviz_default_plugins/Grid": None,
    "rviz_default_plugins/Image": Image,
    "rviz_default_plugins/MarkerArray": MarkerArray,
}
OTHER_CLASSES = {
    "",
    "rviz_common/Displays",
    "rviz_common/Views",
    "rviz_default_plugins/MoveCamera",
    "rviz_default_plugins/Orbit",
}
FOXGLOVE_TYPES = {
    "/pose_estimator/overlay/compressed": CompressedImage,
    "/pose_estimator/markers": MarkerArray,
    "/pose_estimator/poses": PersonPoseArray,
    "/diagnostics": DiagnosticArray,
}


def find_values(tree: Any, key: str) -> Iterator[Any]:
    """Yield every value of a key, at any depth."""
    if isinstance(tree, dict):
        yield from [tree[key]] if key in tree else []
        tree = list(tree.values())
    for branch in tree if isinstance(tree, list) else []:
        yield from find_values(branch, key)


def rviz_topics() -> dict[str, tuple[Any, QoSProfile]]:
    """Return the topics of RViz, with message type and requested QoS."""
    topics = {}
    for display in RVIZ["Visualization Manager"]["Displays"]:
        if "Topic" in display:
            topic = display["Topic"]
            reliability = ReliabilityPolicy[topic["Reliability Policy"].upper().replace(" ", "_")]
            durability = DurabilityPolicy[topic["Durability Policy"].upper().replace(" ", "_")]
            qos = QoSProfile(depth=topic["Depth"], reliability=reliability, durability=durability)
            topics[topic["Value"]] = (DISPLAYS[display["Class"]], qos)
    return topics


def foxglove_topics() -> set[str]:
    """Return the topics of all Foxglove panels. Topics in paths of fields are included."""
    panels = FOXGLOVE["configById"]
    names = [*find_values(panels, "imageTopic"), *find_values(panels, "topicToRender"), *find_values(panels, "value")]
    names += [topic for topics in find_values(panels, "topics") for topic in topics]
    return {re.split(r"[.\[]", name)[0] for name in names}


@pytest.fixture
def node(domain_id: int, toy_model: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the node as a process."""
    command = [sys.executable, str(ROOT / "scripts/pose_node"), "--ros-args", "-p", f"model:={toy_model}"]
    with subprocess.Popen(command, text=True, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def test_every_class_in_the_rviz_file_is_known() -> None:
    displays = {display["Class"] for display in RVIZ["Visualization Manager"]["Displays"]}
    assert displays == set(DISPLAYS)
    assert set(find_values(RVIZ, "Class")) == displays | OTHER_CLASSES


def test_every_shown_topic_is_published(graph: Any, node: Any, paint: Any, image_message: Any) -> None:
    """Subscribe to all topics like RViz and Foxglove, and wait for a message on each."""
    wanted = {**rviz_topics(), **{topic: (FOXGLOVE_TYPES[topic], 1) for topic in foxglove_topics()}}
    wanted["/pose_estimator/markers"] = rviz_topics()["/pose_estimator/markers"]
    received = {topic: graph.collect(kind, topic, qos) for topic, (kind, qos) in wanted.items()}
    camera = graph.node.create_publisher(Image, "/image", 1)
    message = image_message(paint(20), frame_id=DEFAULT_FRAME_ID)
    graph.until(lambda: camera.publish(message) or all(received.values()), "every topic has a message")
    shown = [marker for marker in received["/pose_estimator/markers"][-1].markers if marker.action == Marker.ADD]
    assert {marker.ns for marker in shown} == {"person_0"}
    assert {marker.header.frame_id for marker in shown} == {DEFAULT_FRAME_ID}
    assert [person.score > 0 for person in received["/pose_estimator/poses"][-1].people] == [True]


def test_the_layouts_show_every_topic() -> None:
    assert set(rviz_topics()) == {"/image", "/pose_estimator/overlay", "/pose_estimator/markers"}
    assert foxglove_topics() == set(FOXGLOVE_TYPES)


def test_the_fixed_frame_is_that_of_the_people() -> None:
    assert RVIZ["Visualization Manager"]["Global Options"]["Fixed Frame"] == DEFAULT_FRAME_ID
    assert list(find_values(FOXGLOVE, "followTf")) == [DEFAULT_FRAME_ID]


def test_rviz_looks_where_the_camera_looks() -> None:
    """Check the view from behind, with the y axis of the image down. RViz turns about z, which is forward here."""
    view = RVIZ["Visualization Manager"]["Views"]["Current"]
    assert -1.57 < view["Pitch"] < -1
    assert view["Yaw"] == pytest.approx(3 * 3.14159265 / 2, abs=1e-4)
    assert view["Focal Point"]["Z"] > 0


def test_every_plotted_field_is_in_the_message() -> None:
    fields = PersonPoseArray.get_fields_and_field_types()
    plotted = [path["value"] for plot in find_values(FOXGLOVE, "paths") for path in plot]
    paths = [value.removeprefix("/pose_estimator/poses.") for value in plotted]
    assert len(paths) == 5
    assert {re.split(r"[.\[]", path)[0] for path in paths} <= set(fields)


def test_every_panel_of_the_foxglove_layout_has_a_place() -> None:
    placed = [
        end for key in ("first", "second") for end in find_values(FOXGLOVE["layout"], key) if isinstance(end, str)
    ]
    assert sorted(placed) == sorted(FOXGLOVE["configById"])


def test_every_plot_of_the_foxglove_layout_has_a_title() -> None:
    plots = [panel for name, panel in FOXGLOVE["configById"].items() if name.startswith("Plot!")]
    assert len(plots) == 2 and all(panel["foxglovePanelTitle"] for panel in plots)
