"""Test keypoints in metres through the real node: a bag with colour, depth and camera_info of a synthetic scene."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from depth_bag import COLOUR, DEPTH, INFO, DepthScene, make_scenes, write_depth_bag
from pose_ros.msg import PersonPoseArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import Marker, MarkerArray

from pose_ros.media.bag import Bag
from pose_ros.ros.messages.markers import KEYPOINTS, LABEL, LIMBS, TRAIL

COUNT = 8
TOPICS = {COLOUR: ("image", Image), DEPTH: ("depth/image", Image), INFO: ("camera_info", CameraInfo)}
NODE = {"preprocess.short_side": 160, "runtime.backend": "onnx", "tracking.hits": 2, "depth.enabled": True}


class Player:
    """Plays a bag into the node, one image after the other. Each waits for its poses."""

    def __init__(self, graph: Any, bag: Bag, compressed: bool = False) -> None:
        self.graph, self.bag = graph, bag
        self.poses: list[PersonPoseArray] = graph.collect(PersonPoseArray, "/pose_estimator/poses")
        kinds = dict(TOPICS)
        if compressed:
            kinds[DEPTH] = ("depth/image/compressedDepth", CompressedImage)
        self.kinds = {topic: kind for topic, (_, kind) in kinds.items()}
        self.publishers = {
            topic: graph.node.create_publisher(kind, name, 10) for topic, (name, kind) in kinds.items()
        }

    def play(self, without: tuple[str, ...] = (), edit: Callable[[str, Any], None] = lambda *_: None) -> list[Any]:
        """Publish the messages in recorded order, except those of some topics. Return the poses of this run."""
        used = [topic for topic in self.publishers if topic not in without]
        for topic in used:
            self.graph.until(lambda t=topic: self.publishers[t].get_subscription_count() == 1, f"{topic} is read")
        start, sent = len(self.poses), 0
        for recorded in self.bag.messages(used):
            if recorded.topic == COLOUR:  # the node keeps only the newest image
                self.wait(start + sent)
            message = deserialize_message(recorded.data, self.kinds[recorded.topic])
            edit(recorded.topic, message)
            self.publishers[recorded.topic].publish(message)
            sent += recorded.topic == COLOUR
        self.wait(start + sent)
        return self.poses[start:]

    def wait(self, count: int) -> None:
        self.graph.until(lambda: len(self.poses) >= count, f"{count} images are processed")


@pytest.fixture(scope="module")
def scenes() -> list[DepthScene]:
    return make_scenes(COUNT)


@pytest.fixture(scope="module")
def bag(scenes: list[DepthScene], tmp_path_factory: pytest.TempPathFactory) -> Bag:
    return Bag(write_depth_bag(tmp_path_factory.mktemp("depth") / "bag", scenes), COLOUR)


@pytest.fixture
def make_depth_node(graph: Any) -> Any:
    """Return a function that makes the node with the model of this package and depth."""
    from rclpy.parameter import Parameter

    from pose_ros.ros.node.estimator_node import PoseEstimatorNode

    def make(**parameters: Any) -> Any:
        values = NODE | {name.replace("__", "."): value for name, value in parameters.items()}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        return graph.add(PoseEstimatorNode(context=graph.context, parameter_overrides=overrides))

    return make


def points(person: Any) -> np.ndarray:
    return np.array([(p.x, p.y, p.z) for p in person.keypoints_3d]).reshape(-1, 3)


def position(person: Any) -> np.ndarray:
    return np.array([person.position_3d.x, person.position_3d.y, person.position_3d.z])


def velocity(person: Any) -> np.ndarray:
    return np.array([person.velocity_3d.x, person.velocity_3d.y, person.velocity_3d.z])


def errors_m(message: Any, scene: DepthScene) -> np.ndarray:
    """Return the distances of all known keypoints from the truth of the nearest person, m."""
    truth = scene.truth.keypoints_3d_m
    found = []
    for person in message.people:
        nearest = np.nanmean(np.linalg.norm(truth - points(person), axis=2), axis=1).argmin()
        found.append(np.linalg.norm(points(person) - truth[nearest], axis=1))
    return np.concatenate(found)


def test_a_bag_with_depth_gives_keypoints_ids_and_velocities_in_metres(
    graph: Any, make_depth_node: Any, bag: Bag, scenes: list[DepthScene]
) -> None:
    make_depth_node()
    poses = Player(graph, bag).play()
    assert [len(message.people) for message in poses] == [2] * COUNT
    last = poses[-1]
    assert last.header.frame_id == "camera_optical" and last.frame_3d == ""
    assert sorted(person.id for person in last.people) == [0, 1]
    errors = errors_m(last, scenes[-1])
    assert np.isfinite(errors).mean() > 0.6 and np.nanmedian(errors) < 0.12
    for person in last.people:
        known = np.isfinite(points(person)).all(axis=1)
        deviations = np.array(person.deviations_3d)
        assert len(person.keypoints_3d) == len(person.keypoints) == len(deviations)
        assert (np.isfinite(deviations) == known).all() and not (points(person) == 0).all(axis=1).any()
        assert 0 < person.position_deviation_3d < 0.2
    speeds = [np.linalg.norm(velocity(person)) for person in last.people]
    assert max(speeds) < 0.5  # these two stand
    assert all(math.isnan(person.velocity_3d.x) for person in poses[0].people)


def test_without_depth_there_is_no_3d_and_nothing_more_is_subscribed(graph: Any, make_depth_node: Any, bag: Bag) -> None:
    make_depth_node(depth__enabled=False)
    player = Player(graph, bag)
    poses = player.play(without=(DEPTH, INFO))
    assert player.publishers[DEPTH].get_subscription_count() == 0
    assert player.publishers[INFO].get_subscription_count() == 0
    for person in poses[-1].people:
        assert len(person.keypoints_3d) == len(person.deviations_3d) == 0 and math.isnan(person.position_3d.x)


def test_markers_in_space_with_labels_and_trails(
    graph: Any, make_depth_node: Any, bag: Bag, scenes: list[DepthScene]
) -> None:
    make_depth_node(markers__ids=True, markers__trails_s=1.0)
    arrays = graph.collect(MarkerArray, "/pose_estimator/markers")
    Player(graph, bag).play()
    graph.until(lambda: len(arrays) == COUNT, "all markers are there")
    shown = [marker for marker in arrays[-1].markers if marker.action == Marker.ADD]
    assert {marker.id for marker in shown} == {LIMBS, KEYPOINTS, LABEL, TRAIL}
    assert sorted(marker.text for marker in shown if marker.id == LABEL) == ["0", "1"]
    depths_m = [point.z for marker in shown if marker.id == KEYPOINTS for point in marker.points]
    truth_m = scenes[-1].truth.keypoints_3d_m[..., 2]
    assert abs(min(depths_m) - truth_m.min()) < 0.3 and abs(max(depths_m) - truth_m.max()) < 0.3
    trails = [marker for marker in shown if marker.id == TRAIL]
    assert len(trails) == 2 and all(len(trail.points) >= COUNT - 3 for trail in trails)


def test_compressed_depth(graph: Any, make_depth_node: Any, tmp_path: Path) -> None:
    bag = Bag(write_depth_bag(tmp_path / "bag", make_scenes(2, compressed=True)), COLOUR)
    make_depth_node(depth__transport="compressedDepth")
    poses = Player(graph, bag, compressed=True).play()
    assert np.isfinite(points(poses[-1].people[0])).any()


def test_late_depth_is_unknown_and_never_that_of_another_image(graph: Any, make_depth_node: Any, bag: Bag, log: Any) -> None:
    """The stamps differ by 54 ms, more than the tolerance."""

    def delay(topic: str, message: Any) -> None:
        if topic == DEPTH:
            message.header.stamp.nanosec += 50_000_000

    make_depth_node()
    poses = Player(graph, bag).play(edit=delay)
    for person in poses[-1].people:
        assert len(person.keypoints_3d) == len(person.keypoints) and np.isnan(points(person)).all()
        assert np.isnan(position(person)).all()
    assert log.find("/depth/image: expected a depth image within 20 ms")


@pytest.mark.parametrize(
    ("topic", "change", "text"),
    [
        (INFO, {"k": np.zeros(9)}, "/camera_info: K: expected focal lengths above 0"),
        (DEPTH, {"encoding": "rgb8"}, "/depth/image: cannot use a depth image"),
        (DEPTH, {"height": 200}, "expected the aspect ratio"),
        (DEPTH, {"step": 3}, "/depth/image: cannot use a depth image"),
    ],
    ids=["not calibrated", "not depth", "another view", "damaged"],
)
def test_unusable_inputs_are_named_and_the_people_stay(
    graph: Any, make_depth_node: Any, bag: Bag, log: Any, topic: str, change: dict[str, Any], text: str
) -> None:
    def break_message(where: str, message: Any) -> None:
        if where == topic:
            for name, value in change.items():
                setattr(message, name, value)

    make_depth_node()
    poses = Player(graph, bag).play(edit=break_message)
    assert len(poses[-1].people) == 2
    assert all(np.isnan(points(person)).all() for person in poses[-1].people)
    assert len(log.find(text)) == 1


def test_without_tf2_the_target_frame_is_unknown_and_one_line_says_why(
    graph: Any, make_depth_node: Any, bag: Bag, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    make_depth_node(depth__target_frame="base_link")
    last = Player(graph, bag).play()[-1]
    assert last.frame_3d == "base_link" and last.header.frame_id == "camera_optical"
    assert all(np.isnan(points(person)).all() for person in last.people)
    assert len(log.find("depth.target_frame: expected tf2_ros to be installed")) == 1


def test_results_are_in_the_target_frame_at_the_stamp_of_the_image(
    graph: Any, make_depth_node: Any, bag: Bag, scenes: list[DepthScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera that looks along x of a robot that drives: the frame moves by 0.1 m per image."""
    from geometry_msgs.msg import TransformStamped

    asked: list[tuple[str, str, int]] = []

    class Buffer:
        def __init__(self, **_: Any) -> None: ...

        def can_transform(self, *_: Any) -> bool:
            return True

        def lookup_transform(self, target: str, source: str, time: Any) -> TransformStamped:
            asked.append((target, source, time.nanoseconds))
            found = TransformStamped()
            rotation, translation = found.transform.rotation, found.transform.translation
            rotation.x, rotation.y, rotation.z, rotation.w = -0.5, 0.5, -0.5, 0.5  # from optical to x forwards, z up
            translation.x, translation.z = (time.nanoseconds - asked[0][2]) / 1e9, 1.3
            return found

    class TransformListener:
        def __init__(self, *_: Any) -> None: ...

        def unregister(self) -> None: ...

    module = types.ModuleType("tf2_ros")
    module.Buffer, module.TransformListener = Buffer, TransformListener  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tf2_ros", module)
    make_depth_node(depth__target_frame="odom")
    last = Player(graph, bag).play()[-1]
    assert last.frame_3d == "odom"
    stamp = last.header.stamp
    assert asked[-1] == ("odom", "camera_optical", stamp.sec * 1_000_000_000 + stamp.nanosec)
    truth = scenes[-1].truth.keypoints_3d_m.mean(axis=1)
    for person in last.people:
        x, y, z = position(person)
        assert np.abs([-y - truth[:, 0], 1.3 - z - truth[:, 1], x - 0.1 * (COUNT - 1) - truth[:, 2]]).max(axis=0).min() < 0.5
        if np.isfinite(velocity(person)).all():
            assert abs(velocity(person)[0] - 1.0) < 0.4  # relative to odom, in which the camera moves


def test_the_distance_without_depth_is_an_option(
    graph: Any, make_depth_node: Any, bag: Bag, scenes: list[DepthScene]
) -> None:
    make_depth_node(depth__monocular=True)
    player = Player(graph, bag)
    last = player.play(without=(DEPTH,))[-1]
    truth_m = np.linalg.norm(scenes[-1].truth.keypoints_3d_m.mean(axis=1), axis=1)
    for person in last.people:
        distance_m = float(np.linalg.norm(position(person)))
        assert len(person.keypoints_3d) == 0 and np.abs(distance_m / truth_m - 1).min() < 0.3
        assert person.position_deviation_3d == pytest.approx(0.15 * distance_m, rel=0.01)
