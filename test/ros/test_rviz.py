"""The layouts of RViz and Foxglove: what they want to show is what the node, as a process, really publishes."""

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
DISPLAYS = {  # those of RViz that we use, in every version since Humble, and what they show
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


def found(tree: Any, key: str) -> Iterator[Any]:
    """Every value of this key, at any depth."""
    if isinstance(tree, dict):
        yield from [tree[key]] if key in tree else []
        tree = list(tree.values())
    for branch in tree if isinstance(tree, list) else []:
        yield from found(branch, key)


def rviz_topics() -> dict[str, tuple[Any, QoSProfile]]:
    """Each topic of RViz with its type, and with what the display asks for."""
    topics = {}
    for display in RVIZ["Visualization Manager"]["Displays"]:
        if "Topic" in display:
            asked = display["Topic"]
            reliability = ReliabilityPolicy[asked["Reliability Policy"].upper().replace(" ", "_")]
            durability = DurabilityPolicy[asked["Durability Policy"].upper().replace(" ", "_")]
            qos = QoSProfile(depth=asked["Depth"], reliability=reliability, durability=durability)
            topics[asked["Value"]] = (DISPLAYS[display["Class"]], qos)
    return topics


def foxglove_topics() -> set[str]:
    """Each topic that a panel names, also within the path of a field."""
    panels = FOXGLOVE["configById"]
    named = [*found(panels, "imageTopic"), *found(panels, "topicToRender"), *found(panels, "value")]
    named += [topic for topics in found(panels, "topics") for topic in topics]
    return {re.split(r"[.\[]", name)[0] for name in named}


@pytest.fixture
def node(domain_id: int, toy_model: Path) -> Iterator[subprocess.Popen[str]]:
    """The node as users start it."""
    command = [sys.executable, str(ROOT / "scripts/pose_node"), "--ros-args", "-p", f"model:={toy_model}"]
    with subprocess.Popen(command, text=True, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def test_every_class_in_the_rviz_file_is_known() -> None:
    displays = {display["Class"] for display in RVIZ["Visualization Manager"]["Displays"]}
    assert displays == set(DISPLAYS)
    assert set(found(RVIZ, "Class")) == displays | OTHER_CLASSES


def test_what_is_shown_arrives(graph: Any, node: Any, paint: Any, image_message: Any) -> None:
    """Subscribes to all of it, as RViz and Foxglove do, and waits until each topic has brought something."""
    wanted = {**rviz_topics(), **{topic: (FOXGLOVE_TYPES[topic], 1) for topic in foxglove_topics()}}
    wanted["/pose_estimator/markers"] = rviz_topics()["/pose_estimator/markers"]
    received = {topic: graph.collect(kind, topic, qos) for topic, (kind, qos) in wanted.items()}
    camera = graph.node.create_publisher(Image, "/image", 1)
    message = image_message(paint(20), frame_id=DEFAULT_FRAME_ID)
    graph.until(lambda: camera.publish(message) or all(received.values()), "everything has arrived", timeout_s=60)
    shown = [marker for marker in received["/pose_estimator/markers"][-1].markers if marker.action == Marker.ADD]
    assert {marker.ns for marker in shown} == {"person_0"}
    assert {marker.header.frame_id for marker in shown} == {DEFAULT_FRAME_ID}
    assert [person.score > 0 for person in received["/pose_estimator/poses"][-1].people] == [True]


def test_nothing_is_missing_in_either() -> None:
    assert set(rviz_topics()) == {"/image", "/pose_estimator/overlay", "/pose_estimator/markers"}
    assert foxglove_topics() == set(FOXGLOVE_TYPES)


def test_people_are_in_the_frame_that_is_shown() -> None:
    assert RVIZ["Visualization Manager"]["Global Options"]["Fixed Frame"] == DEFAULT_FRAME_ID
    assert list(found(FOXGLOVE, "followTf")) == [DEFAULT_FRAME_ID]


def test_rviz_looks_where_the_camera_looks() -> None:
    """From behind, with the image's y axis down on the screen: RViz turns about z, which is forward here."""
    view = RVIZ["Visualization Manager"]["Views"]["Current"]
    assert -1.57 < view["Pitch"] < -1
    assert view["Yaw"] == pytest.approx(3 * 3.14159265 / 2, abs=1e-4)
    assert view["Focal Point"]["Z"] > 0


def test_every_field_that_is_plotted_is_one_of_the_message() -> None:
    fields = PersonPoseArray.get_fields_and_field_types()
    plotted = [path["value"] for plot in found(FOXGLOVE, "paths") for path in plot]
    paths = [value.removeprefix("/pose_estimator/poses.") for value in plotted]
    assert len(paths) == 5
    assert {re.split(r"[.\[]", path)[0] for path in paths} <= set(fields)


def test_every_panel_of_the_foxglove_layout_has_a_place() -> None:
    placed = [end for key in ("first", "second") for end in found(FOXGLOVE["layout"], key) if isinstance(end, str)]
    assert sorted(placed) == sorted(FOXGLOVE["configById"])
