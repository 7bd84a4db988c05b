"""Tests of the standard outputs: what they publish, when they exist, and that they agree with the poses."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from known_people import KnownEstimator, standing_people

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import PointStamped, PoseArray, TwistStamped
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from pose_ros.depth.body_frames import find_body_frames
from pose_ros.media.image_messages import decode_message
from pose_ros.people import People
from pose_ros.ros.messages.body_poses import body_transforms, pose_array
from pose_ros.skeleton import COCO_17

PACKAGES = {"vision_msgs": "vision_msgs", "people_msgs": "people_msgs", "hri": "hri_msgs", "tf": "tf2_msgs"}
"""Package of each parameter."""
INSTALLED = {name for name, package in PACKAGES.items() if importlib.util.find_spec(package)}
ALL = {f"outputs__{name}": True for name in INSTALLED}
PLACES = ((-0.6, 0.1, 3.0), (0.7, 0.2, 4.0))
SIZE_WH = (80, 64)


def needs(*parameters: str) -> Any:
    """Skip a test if a package is not installed."""
    missing = [PACKAGES[name] for name in parameters if name not in INSTALLED]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def xyz(point: Any) -> list[float]:
    """Return the coordinates of a point or vector."""
    return [point.x, point.y, point.z]


def rotation_of(quaternion: Any) -> np.ndarray:
    """Convert a quaternion to a matrix, (3, 3)."""
    q, w = np.array(xyz(quaternion)), quaternion.w
    cross = np.array([[0, -q[2], q[1]], [q[2], 0, -q[0]], [-q[1], q[0], 0]])
    return (w * w - q @ q) * np.eye(3) + 2 * np.outer(q, q) + 2 * w * cross


@pytest.fixture
def run(make_node: Any, make_camera: Any, toy_estimator: Any, image_message: Any) -> Callable[..., Any]:
    """Return ``run(people, **parameters)``, which starts a node that finds these people in every image.

    It returns the estimator, and a function that sends an image and returns its poses.
    """

    def run(
        people: People, name: str = "", frame_id: str = "camera_optical", **parameters: Any
    ) -> tuple[KnownEstimator, Callable[[], Any]]:
        estimator = KnownEstimator(toy_estimator, people)
        if name:
            parameters["cameras"] = [name, "unused"]
        make_node(lambda *_: estimator, **{"tracking__hits": 1, **parameters})
        camera = make_camera(name=name)
        camera.connect()
        stamps = iter(range(100, 1000))
        image = np.random.default_rng(0).integers(0, 255, (*SIZE_WH[::-1], 3), dtype=np.uint8)
        return estimator, lambda: camera.ask(image_message(image, stamp_s=next(stamps) / 10, frame_id=frame_id))

    return run


def listen(graph: Any, kind: Any, topic: str, qos: Any = 10) -> list[Any]:
    """Subscribe to a topic, and wait until its publisher is discovered."""
    messages = graph.collect(kind, topic, qos)
    graph.until(lambda: graph.node.count_publishers(topic), f"{topic} is published")
    return messages


def answer(graph: Any, send: Callable[[], Any], *topics: list[Any]) -> Any:
    """Send images until each topic has a message of the last image, and return its poses. Discovery may be late."""
    for _ in range(100):
        poses = send()
        end_s = time.monotonic() + 0.3
        while time.monotonic() < end_s:
            if all(topic and stamp_of(topic[-1]) == stamp_of(poses) for topic in topics):
                return poses
            graph.executor.spin_once(timeout_sec=0.02)
    pytest.fail("a topic has no message of the last image")


def stamp_of(message: Any) -> Any:
    """Return the stamp of a message. A list of transforms has that of its first."""
    header = message.transforms[0].header if hasattr(message, "transforms") else message.header
    return (header.stamp.sec, header.stamp.nanosec)


def find_people(*places_m: tuple[float, float, float], **more: Any) -> People:
    """Make people of whom one knee is unknown in metres, and one keypoint of the image is absent."""
    people = standing_people(*places_m, size_wh=SIZE_WH, **more)
    scores, points = people.scores.copy(), people.keypoints_3d.copy()
    scores[:, COCO_17.index("left_ear")] = 0
    points[:, [COCO_17.index(name) for name in ("left_ear", "right_knee")]] = np.nan
    return replace(people, scores=scores, keypoints_3d=points).with_keypoints(people.keypoints)


def test_pose_array_has_the_people_of_known_position(graph: Any, run: Any) -> None:
    people = standing_people(*PLACES, (0, 0, 2))
    people = replace(people, positions_3d=np.vstack([people.positions_3d[:2], [[np.nan, 0, 2]]]))
    _, send = run(people)
    arrays = listen(graph, PoseArray, "/pose_estimator/pose_array")
    poses = answer(graph, send, arrays)
    assert (arrays[-1].header, len(arrays[-1].poses)) == (poses.header, 2)
    for pose, position in zip(arrays[-1].poses, people.positions_3d, strict=False):
        np.testing.assert_allclose(xyz(pose.position), position, atol=1e-6)
        np.testing.assert_allclose(rotation_of(pose.orientation)[:, 0], (0, 0, -1), atol=1e-6)  # to the camera


@pytest.mark.parametrize(
    "vector", [(0, 0, 0), (0, np.pi, 0), (np.pi, 0, 0), (0, 0, -np.pi), (1e-4, 0, 0), (1, -2, 1.5)]
)
def test_orientations_are_the_directions_of_the_people(vector: tuple[float, float, float]) -> None:
    people = standing_people((0, 0, 3))
    turned = (people.keypoints_3d - np.float32([0, 0, 3])) @ cv2.Rodrigues(np.array(vector, float))[0].T + [0, 0, 3]
    people = replace(people, keypoints_3d=turned)
    (pose,) = pose_array(people, COCO_17, Header()).poses
    expected = find_body_frames(people, COCO_17).rotations[0]
    np.testing.assert_allclose(rotation_of(pose.orientation), expected, atol=1e-6)


def test_transforms_have_a_tree_of_links_for_each_person_with_an_id() -> None:
    people = find_people(*PLACES, (0, 0, 2), ids=[4, -1, 9])
    people = replace(people, positions_3d=None)
    transforms = {t.child_frame_id: t for t in body_transforms(people, COCO_17, Header(frame_id="eye"), "front")}
    assert sum(name.endswith("_front_b4") for name in transforms) == 13  # the body, its head, and 11 of 12 links
    assert len(transforms) == 26 and "r_knee_front_b4" not in transforms
    for number, person in ((4, people[0]), (9, people[2])):
        body = transforms[f"body_front_b{number}"]
        assert body.header.frame_id == "eye"
        for link, keypoint in (("l_wrist", "left_wrist"), ("r_ankle", "right_ankle"), ("head", "nose")):
            transform = transforms[f"{link}_front_b{number}"]
            assert transform.header.frame_id == f"body_front_b{number}"
            inside = rotation_of(body.transform.rotation) @ xyz(transform.transform.translation)
            place = inside + xyz(body.transform.translation)
            np.testing.assert_allclose(place, person.keypoints_3d[0, COCO_17.index(keypoint)], atol=1e-5)


def test_poses_without_depth_and_without_people_are_empty() -> None:
    flat = replace(standing_people(*PLACES, ids=[0, 1]), positions_3d=None, keypoints_3d=None)
    for people in (flat, People.empty(17)):
        assert pose_array(people, COCO_17, Header()).poses == []
        assert body_transforms(people, COCO_17, Header()) == []


@pytest.mark.skipif(len(INSTALLED) < len(PACKAGES), reason=f"needs {', '.join(PACKAGES.values())}")
def test_all_outputs_agree_with_the_poses(graph: Any, run: Any) -> None:
    from hri_msgs.msg import IdsList, NormalizedRegionOfInterest2D, Skeleton2D
    from people_msgs.msg import People as SocialPeople
    from tf2_msgs.msg import TFMessage
    from vision_msgs.msg import Detection2DArray, Detection3DArray

    people = find_people(*PLACES)
    _, send = run(people, **ALL)
    private = {"pose_array": PoseArray, "detections_2d": Detection2DArray, "detections_3d": Detection3DArray}
    private["people"] = SocialPeople
    lists = {name: listen(graph, kind, f"/pose_estimator/{name}") for name, kind in private.items()}
    lists["tracked"] = listen(graph, IdsList, "/humans/bodies/tracked")
    lists["tf"] = listen(graph, TFMessage, "/tf")
    answer(graph, send, *lists.values())
    kinds = {"roi": NormalizedRegionOfInterest2D, "skeleton2d": Skeleton2D, "cropped": Image}
    kinds |= {"position": PointStamped, "velocity": TwistStamped}
    for number in (0, 1):
        for topic, kind in kinds.items():
            lists[f"{topic}{number}"] = listen(graph, kind, f"/humans/bodies/b{number}/{topic}")
    poses = answer(graph, send, *lists.values())
    last = {name: messages[-1] for name, messages in lists.items()}
    assert [p.id for p in poses.people] == [0, 1]
    assert last["tracked"].ids == ["b0", "b1"]
    frames = {t.child_frame_id: t for t in last["tf"].transforms}
    assert all(message.header == poses.header for name, message in last.items() if name != "tf")
    for i, person in enumerate(poses.people):
        box, position, velocity = list(person.box), xyz(person.position_3d), xyz(person.velocity_3d)
        flat, solid = last["detections_2d"].detections[i], last["detections_3d"].detections[i]
        social, roi, skeleton = last["people"].people[i], last[f"roi{i}"], last[f"skeleton2d{i}"].skeleton
        # Identity and score
        assert [flat.id, solid.id, social.name] == [str(person.id)] * 3
        scores = [flat.results[0].hypothesis.score, solid.results[0].hypothesis.score, social.reliability, roi.c]
        np.testing.assert_allclose(scores, person.score, atol=1e-6)
        assert flat.results[0].hypothesis.class_id == solid.results[0].hypothesis.class_id == "person"
        # Boxes in pixels
        centre, size = flat.bbox.center.position, (flat.bbox.size_x, flat.bbox.size_y)
        np.testing.assert_allclose([centre.x - size[0] / 2, centre.y - size[1] / 2], box[:2], atol=1e-4)
        np.testing.assert_allclose([centre.x + size[0] / 2, centre.y + size[1] / 2], box[2:], atol=1e-4)
        scaled = np.array([roi.xmin, roi.ymin, roi.xmax, roi.ymax]) * [*SIZE_WH, *SIZE_WH]
        np.testing.assert_allclose(scaled, np.clip(box, 0, [*SIZE_WH, *SIZE_WH]), atol=1e-4)
        # Keypoints in pixels, by name
        by_name = dict(zip(poses.keypoint_names, person.keypoints, strict=True))
        for name, keypoint in by_name.items():
            point = skeleton[getattr(Skeleton2D, name.upper())]
            expected = [keypoint.x, keypoint.y] if keypoint.score else [0, 0]
            np.testing.assert_allclose([point.x * SIZE_WH[0], point.y * SIZE_WH[1]], expected, atol=1e-4)
            assert point.c == keypoint.score
        # Positions and velocities
        pose = last["pose_array"].poses[i]
        places = [pose.position, solid.results[0].pose.pose.position, social.position, last[f"position{i}"].point]
        np.testing.assert_allclose([xyz(place) for place in places], [position] * 4, atol=1e-6)
        moves = [social.velocity, last[f"velocity{i}"].twist.linear]
        np.testing.assert_allclose([xyz(move) for move in moves], [velocity] * 2, atol=1e-6)
        # Keypoints in metres
        points = np.array([xyz(point) for point in person.keypoints_3d])
        low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
        np.testing.assert_allclose(xyz(solid.bbox.center.position), (low + high) / 2, atol=1e-5)
        np.testing.assert_allclose(xyz(solid.bbox.size), high - low, atol=1e-5)
        body = frames[f"body_b{i}"]
        assert body.header == poses.header
        hips = points[[poses.keypoint_names.index(f"{side}_hip") for side in ("left", "right")]]
        np.testing.assert_allclose(xyz(body.transform.translation), hips.mean(axis=0), atol=1e-5)
        for link, name in (("l_wrist", "left_wrist"), ("r_elbow", "right_elbow"), ("head", "nose")):
            inside = xyz(frames[f"{link}_b{i}"].transform.translation)
            place = rotation_of(body.transform.rotation) @ inside + xyz(body.transform.translation)
            np.testing.assert_allclose(place, points[poses.keypoint_names.index(name)], atol=1e-5)
        assert f"r_knee_b{i}" not in frames  # unknown
        # Pixels
        crop, _ = decode_message(last[f"cropped{i}"])
        assert abs(crop.shape[1] - (box[2] - box[0])) < 2 and crop.shape[0] <= SIZE_WH[1]


@needs("hri")
def test_bodies_come_and_go(graph: Any, run: Any) -> None:
    from hri_msgs.msg import IdsList, Skeleton2D

    people = standing_people(*PLACES, ids=[3, 8])
    estimator, send = run(people, outputs__hri=True, tracking__enabled=False, outputs__hri_prefix="robot/humans")
    tracked = listen(graph, IdsList, "/robot/humans/bodies/tracked")
    answer(graph, send, tracked)
    assert tracked[-1].ids == ["b3", "b8"]
    topic = "/robot/humans/bodies/b8/skeleton2d"
    skeletons = listen(graph, Skeleton2D, topic, qos_profile_sensor_data)
    answer(graph, send, tracked, skeletons)
    # Without people: an empty list, and no topics of bodies
    estimator.people = People.empty(17)
    answer(graph, send, tracked)
    assert tracked[-1].ids == []
    graph.until(lambda: not graph.node.count_publishers(topic), "the topics of the body are gone")
    assert not [name for name, _ in graph.node.get_topic_names_and_types() if "/b3/" in name]
    # A person without an id is no body
    estimator.people = replace(people, ids=np.array([-1, 8]))
    answer(graph, send, tracked)
    assert tracked[-1].ids == ["b8"]


@needs("hri")
@pytest.mark.skipif(os.environ.get("ROS_DISTRO") == "humble", reason="needs callbacks with the time of sending")
def test_the_list_comes_before_the_bodies(graph: Any, run: Any) -> None:
    from hri_msgs.msg import IdsList, Skeleton2D

    _, send = run(standing_people(*PLACES, ids=[3, 8]), outputs__hri=True, tracking__enabled=False)
    sent: dict[str, dict[Any, int]] = {"tracked": {}, "b8/skeleton2d": {}}
    for topic, kind in (("tracked", IdsList), ("b8/skeleton2d", Skeleton2D)):

        def record(message: Any, info: Any, times: dict[Any, int] = sent[topic]) -> None:
            times[stamp_of(message)] = info["source_timestamp"]

        graph.node.create_subscription(kind, f"/humans/bodies/{topic}", lambda m, i, record=record: record(m, i), 10)
    shared = lambda: sent["tracked"].keys() & sent["b8/skeleton2d"].keys()  # noqa: E731
    graph.until(lambda: send() and shared(), "an image has both")
    assert all(sent["tracked"][stamp] < sent["b8/skeleton2d"][stamp] for stamp in shared())


@needs("hri")
def test_bodies_leave_nothing_behind(graph: Any, run: Any) -> None:
    """Ids grow without end, so a node that keeps anything of a body grows, too."""
    from hri_msgs.msg import IdsList

    estimator, send = run(standing_people(*PLACES, ids=[0, 1]), outputs__hri=True, tracking__enabled=False)
    node = graph.nodes[-1]
    tracked = listen(graph, IdsList, "/humans/bodies/tracked")
    answer(graph, send, tracked)

    def count() -> tuple[int, int, int]:
        return len(list(node.publishers)), len(list(node.waitables)), len(node.list_parameters([], 0).names)

    before = count()
    for number in range(1, 30):
        estimator.people = standing_people(*PLACES, ids=[2 * number, 2 * number + 1])
        send()
    graph.until(lambda: tracked[-1].ids == ["b58", "b59"], "the last bodies are listed")
    assert count() == before


@needs("hri")
def test_a_node_that_stops_has_no_bodies(graph: Any, run: Any, call: Any) -> None:
    from hri_msgs.msg import IdsList

    _, send = run(standing_people(*PLACES), "front", outputs__hri=True)
    node = graph.nodes[-1]
    tracked = listen(graph, IdsList, "/humans/front/bodies/tracked")
    answer(graph, send, tracked)
    assert tracked[-1].ids == ["front_b0", "front_b1"]
    call(SetBool, "/pose_estimator/enable", data=False)
    graph.until(lambda: not tracked[-1].ids, "the list is empty")
    assert tracked[-1].header.frame_id == "camera_optical"
    call(SetBool, "/pose_estimator/enable", data=True)
    answer(graph, send, tracked)
    assert tracked[-1].ids == ["front_b0", "front_b1"]
    node.close()  # as at the end of the process
    graph.until(lambda: not tracked[-1].ids, "the list is empty")


def hide_package(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Forget that a package was imported."""
    for module in [name for name in sys.modules if f"{name}.".startswith((f"{package}.", "pose_ros.ros.node.bodies."))]:
        monkeypatch.delitem(sys.modules, module)


@pytest.mark.parametrize("parameter", PACKAGES)
def test_a_missing_package_is_named_and_stops_nothing(
    run: Any, log: Any, monkeypatch: pytest.MonkeyPatch, parameter: str
) -> None:
    package = PACKAGES[parameter]
    hide_package(monkeypatch, package)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    _, send = run(standing_people(*PLACES), **{f"outputs__{parameter}": True})
    assert len(send().people) == 2
    (line,) = log.find(f"expected the package {package}")
    assert "which is not installed; sudo apt install ros-jazzy-" + package.replace("_", "-") in line
    assert f"outputs.{parameter}: " in line


def test_a_broken_package_stops_nothing(run: Any, log: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    hide_package(monkeypatch, "people_msgs")
    (tmp_path / "people_msgs").mkdir()
    (tmp_path / "people_msgs/__init__.py").write_text("raise OSError('libpeople.so: wrong ELF class')")
    monkeypatch.syspath_prepend(tmp_path)
    _, send = run(standing_people(*PLACES), outputs__people_msgs=True)
    assert len(send().people) == 2
    (line,) = log.find("outputs.people_msgs: expected the package people_msgs, which cannot be used: ")
    assert "libpeople.so: wrong ELF class" in line


@needs("tf")
def test_a_failure_of_one_output_stops_no_other(graph: Any, run: Any, log: Any) -> None:
    from tf2_msgs.msg import TFMessage

    _, send = run(standing_people(*PLACES), frame_id="", outputs__tf=True)
    transforms = listen(graph, TFMessage, "/tf")
    arrays = listen(graph, PoseArray, "/pose_estimator/pose_array")
    answer(graph, send, arrays)
    graph.until(lambda: send() and log.find("/tf: could not publish"), "the error is logged")
    answer(graph, send, arrays)
    assert len(arrays[-1].poses) == 2 and not transforms
    (line,) = log.find("/tf: could not publish")
    assert "expected the frame of the camera, got an empty name" in line


def test_the_log_says_why_an_output_is_empty(graph: Any, run: Any, log: Any) -> None:
    flat = replace(standing_people(*PLACES), positions_3d=None, keypoints_3d=None, velocities_3d=None)
    _, send = run(flat, **ALL, tracking__enabled=False)
    arrays = listen(graph, PoseArray, "/pose_estimator/pose_array")
    answer(graph, send, arrays)
    answer(graph, send, arrays)
    assert arrays[-1].poses == []
    assert len(log.find("/pose_estimator/pose_array: has no people, because their distance is unknown")) == 1
    for name in INSTALLED - {"vision_msgs"}:
        assert len(log.find(f"outputs.{name}: stays empty without ids; set tracking.enabled to true")) == 1


@pytest.mark.parametrize("prefix", ["", "/", "/humans/", "hum ans", "/1a", "a//b"])
def test_a_wrong_prefix_is_refused(make_node: Any, prefix: str) -> None:
    with pytest.raises(ValueError, match=r"outputs\.hri_prefix: expected a namespace such as /humans"):
        make_node(outputs__hri_prefix=prefix)


def test_cameras_whose_bodies_would_have_the_same_names_are_refused(make_node: Any) -> None:
    with pytest.raises(ValueError, match="cameras: expected names that differ"):
        make_node(cameras=["a/b", "a_b"], outputs__tf=True)
    make_node(cameras=["a/b", "a_b"])
