"""Test that config/security/policy.xml allows every topic and service that the running nodes use, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from visualization_msgs.msg import MarkerArray

from pose_ros.live.board import Board
from pose_ros.ros.node.estimator_node import PoseEstimatorNode
from pose_ros.ros.view.viewer import Viewer

ROOT = ElementTree.parse(Path(__file__).parents[2] / "config/security/policy.xml").getroot()
RULES = {"publish": "topic", "subscribe": "topic", "reply": "service", "request": "service"}
OPTIONAL = {
    "publish": {"~/detections_2d", "~/detections_3d", "~/people", "/tf", "/humans/bodies/*", "/bond"},
    "subscribe": {
        *("/camera/image_raw/compressed", "depth/image/compressedDepth", "/tf", "/tf_static"),
        *("/clock", "/parameter_events", "/bond"),
    },
    "reply": {"~/get_type_description", "~/get_transition_graph"},
    "request": set(),
}
"""Lines for settings that are off here, for packages that are not installed, and for other distributions."""
Allowed = dict[str, set[str]]


def read_profile(node: str) -> Allowed:
    """Return the names that the policy allows a node, by rule, as they are written."""
    (profile,) = ROOT.iterfind(f".//profile[@node='{node}']")
    found: Allowed = {rule: set() for rule in RULES}
    for group in profile:
        for rule in group.attrib:
            assert group.attrib[rule] == "ALLOW"
            found[rule] |= {entry.text for entry in group.iterfind(RULES[rule])}
    return found


def resolve(name: str, node: str) -> str:
    """Return the full name, as SROS2 does."""
    return name.replace("~", f"/{node}", 1) if name[0] == "~" else f"/{name.lstrip('/')}"


def used_names(graph: Any, node: str) -> Allowed:
    """Return the names that a running node uses, from the ROS graph."""
    read = graph.node
    lists = {
        "publish": read.get_publisher_names_and_types_by_node,
        "subscribe": read.get_subscriber_names_and_types_by_node,
        "reply": read.get_service_names_and_types_by_node,
        "request": read.get_client_names_and_types_by_node,
    }
    return {rule: {name for name, _ in names(node, "/")} for rule, names in lists.items()}


def forbidden(graph: Any, node: str) -> Iterator[str]:
    """Yield the names that a node uses and the policy does not allow."""
    allowed = read_profile(node)
    for rule, names in used_names(graph, node).items():
        patterns = [resolve(pattern, node) for pattern in allowed[rule]]
        yield from (f"{rule} {name}" for name in names if not any(fnmatchcase(name, p) for p in patterns))


def unused(graph: Any, node: str) -> Iterator[str]:
    """Yield the lines that a node does not need."""
    used = used_names(graph, node)
    for rule, patterns in read_profile(node).items():
        for pattern in patterns - OPTIONAL[rule]:
            if resolve(pattern, node) not in used[rule]:
                yield f"{rule} {pattern}"


def test_the_pose_node_needs_exactly_the_listed_names(graph: Any, toy_model: Path, toy_estimator: Any) -> None:
    values = {"model": str(toy_model), "runtime.backend": "onnx", "depth.enabled": True}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    arguments = ["--ros-args", "-r", "image:=/camera/image_raw"]
    graph.add(
        PoseEstimatorNode(
            lambda *_: toy_estimator, context=graph.context, cli_args=arguments, parameter_overrides=overrides
        )
    )
    graph.node.create_publisher(Image, "/camera/image_raw", 10)
    graph.node.create_publisher(CameraInfo, "/camera/camera_info", 10)
    graph.collect(MarkerArray, "/pose_estimator/markers")
    wanted = {"/camera/image_raw", "/camera/camera_info", "/depth/image"}
    graph.until(lambda: wanted <= used_names(graph, "pose_estimator")["subscribe"], "the node subscribes")
    graph.until(lambda: not list(unused(graph, "pose_estimator")), "the node uses each listed name")
    assert list(forbidden(graph, "pose_estimator")) == []


def test_the_viewer_needs_only_the_listed_names(graph: Any, make_node: Callable[..., Any]) -> None:
    make_node()
    node = graph.add(rclpy.create_node("pose_view", context=graph.context))
    page = SimpleNamespace(
        board=Board(["/pose_estimator/poses"]), is_watched=True, call=lambda act, *values: act(*values)
    )
    Viewer(node, page, ["/pose_estimator"])
    wanted = {"/pose_estimator/poses", "/pose_estimator/overlay/compressed"}
    graph.until(lambda: wanted <= used_names(graph, "pose_view")["subscribe"], "the viewer subscribes")
    assert list(forbidden(graph, "pose_view")) == []


@pytest.mark.parametrize("missing", ["publish ~/poses", "reply ~/enable"])
def test_a_missing_line_is_found(
    graph: Any, make_node: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    rule, name = missing.split()
    make_node()
    used = resolve(name, "pose_estimator")
    graph.until(lambda: used in used_names(graph, "pose_estimator")[rule], "the name is known")
    profile = read_profile("pose_estimator")
    profile[rule].discard(name)
    monkeypatch.setitem(globals(), "read_profile", lambda _: profile)
    assert f"{rule} {used}" in list(forbidden(graph, "pose_estimator"))
