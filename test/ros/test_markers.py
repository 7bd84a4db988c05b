"""Tests of the markers: positions, colours, sizes, and removal of people who have left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header
from visualization_msgs.msg import Marker, MarkerArray

from pose_ros.config import MarkersConfig
from pose_ros.media.overlay import SIDE_COLOURS
from pose_ros.people import People
from pose_ros.ros.messages.markers import KEYPOINTS, LIMBS, people_markers
from pose_ros.skeleton import COCO_17, SKELETONS, Skeleton

STICK = Skeleton("stick", ("head", "left_hand", "right_hand", "foot"), ((0, 1), (0, 2), (0, 3), (1, 2)), ((1, 2),))
SIZE_WH = (640, 480)
HEADER = Header(frame_id="camera_optical")
HEADER.stamp.sec = 12
REGION = RegionOfInterest(x_offset=100, y_offset=50, width=640, height=480)


def crowd(count: int = 1, skeleton: Skeleton = STICK, **changes: Any) -> People:
    """Make people side by side, with every keypoint visible."""
    k = len(skeleton)
    xy = np.float32([[(100 + 150 * n + 20 * j, 200 + 30 * j) for j in range(k)] for n in range(count)]).reshape(
        -1, k, 2
    )
    scores = np.full((count, k), 0.9, np.float32)
    return People(**{"keypoints": xy, "scores": scores, "person_scores": np.ones(count), **changes})


def hide(people: People, *absent: tuple[int, int]) -> People:
    """Hide keypoints, given as (person, keypoint) pairs."""
    scores = people.scores.copy()
    for pair in absent:
        scores[pair] = 0
    return People(np.where(scores[..., None] > 0, people.keypoints, 0), scores, people.person_scores, people.ids)


def markers(
    people: People, skeleton: Skeleton = STICK, config: MarkersConfig | None = None, **more: Any
) -> list[Marker]:
    """Make markers, serialise them and read them back."""
    array = people_markers(people, skeleton, HEADER, SIZE_WH, config or MarkersConfig(), **more)
    return list(deserialize_message(serialize_message(array), MarkerArray).markers)


def find_marker(found: list[Marker], marker_id: int) -> Marker:
    """Return the single marker with this id that is added."""
    (marker,) = [m for m in found if m.id == marker_id and m.action == Marker.ADD]
    return marker


def xyz(marker: Marker) -> np.ndarray:
    """Return the points of a marker, (P, 3)."""
    return np.array([(p.x, p.y, p.z) for p in marker.points]).reshape(-1, 3)


def rgb(colours: Any) -> list[tuple[int, ...]]:
    """Convert colours to values from 0 to 255."""
    return [tuple(round(255 * value) for value in (c.r, c.g, c.b)) for c in colours]


def camera(fx: float = 500, fy: float = 600, cx: float = 320, cy: float = 240, **more: Any) -> CameraInfo:
    """Make a calibration."""
    info = CameraInfo(**{"width": SIZE_WH[0], "height": SIZE_WH[1], **more})
    info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    return info


def test_each_person_has_limbs_and_keypoints_in_a_separate_namespace() -> None:
    config = MarkersConfig(keypoint_m=0.05, limb_m=0.02, lifetime_s=1.5)
    found = markers(crowd(2), config=config)
    kinds = [(m.ns, m.id, m.type, len(m.points)) for m in found]
    limbs, keypoints = (LIMBS, Marker.LINE_LIST, 6), (KEYPOINTS, Marker.SPHERE_LIST, 4)
    assert kinds == [("person_0", *limbs), ("person_0", *keypoints), ("person_1", *limbs), ("person_1", *keypoints)]
    for marker in found:
        assert (marker.header.frame_id, marker.header.stamp.sec) == ("camera_optical", 12)
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (1, 500_000_000)
        assert marker.pose.orientation.w == 1
    assert found[1].scale.x / found[0].scale.x == pytest.approx(2.5)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))
def test_a_limb_ends_at_the_keypoints_that_it_connects(skeleton: Skeleton) -> None:
    found = markers(crowd(1, skeleton), skeleton)
    keypoints, ends = xyz(find_marker(found, KEYPOINTS)), xyz(find_marker(found, LIMBS)).reshape(-1, 2, 3)
    np.testing.assert_array_equal(ends, [[keypoints[a], keypoints[b]] for a, b in skeleton.drawn_limbs])


def test_absent_and_uncertain_keypoints_are_not_shown() -> None:
    people = hide(crowd(), (0, 1))
    people.scores[0, 2] = 0.2
    found = markers(people, config=MarkersConfig(score_threshold=0.3))
    np.testing.assert_array_equal(
        xyz(find_marker(found, KEYPOINTS)), xyz(find_marker(markers(crowd()), KEYPOINTS))[[0, 3]]
    )
    assert len(find_marker(found, LIMBS).points) == 2


@pytest.mark.parametrize(
    ("info", "pixels", "expected_xyz"),
    [
        pytest.param(None, (0, 0), (-639 / 1280, -479 / 1280, 1), id="without camera_info: width = distance"),
        pytest.param(None, (639, 479), (639 / 1280, 479 / 1280, 1), id="the other corner"),
        pytest.param(CameraInfo(width=640, height=480), (319.5, 239.5), (0, 0, 1), id="not calibrated"),
        pytest.param(camera(), (320, 240), (0, 0, 1), id="principal point"),
        pytest.param(camera(), (370, 120), (0.1, -0.2, 1), id="right and up"),
        pytest.param(camera(width=0, height=0), (370, 120), (0.1, -0.2, 1), id="calibration without a size"),
        pytest.param(
            camera(1000, 1200, 640.5, 480.5, width=1280, height=960),
            (370, 120),
            (0.1, -0.2, 1),
            id="image of half the size",
        ),
        pytest.param(
            camera(500, 600, 420, 290, width=1280, height=960, roi=REGION),
            (370, 120),
            (0.1, -0.2, 1),
            id="image is a region",
        ),
    ],
)
def test_without_depth_people_are_on_the_image_plane(
    info: CameraInfo | None, pixels: tuple[float, float], expected_xyz: tuple[float, float, float]
) -> None:
    people = crowd(keypoints=np.full((1, 4, 2), pixels, np.float32))
    for plane_m in (1.0, 2.5):
        found = markers(people, config=MarkersConfig(plane_m=plane_m), camera_info=info)
        np.testing.assert_allclose(xyz(find_marker(found, KEYPOINTS))[0], np.multiply(expected_xyz, plane_m), atol=1e-6)


@given(
    st.tuples(st.floats(100, 3000), st.floats(100, 3000), st.floats(0, 639), st.floats(0, 479)),
    st.tuples(st.floats(0, 640), st.floats(0, 480)),
    st.floats(0.05, 50),
)
def test_the_camera_sees_the_markers_where_the_people_are(
    lens: tuple[float, ...], pixel: tuple[float, float], plane_m: float
) -> None:
    info = camera(*lens)
    people = crowd(keypoints=np.full((1, 4, 2), pixel, np.float32))
    x, y, z = xyz(find_marker(markers(people, config=MarkersConfig(plane_m=plane_m), camera_info=info), KEYPOINTS))[0]
    fx, fy, cx, cy = lens
    assert z == pytest.approx(plane_m)
    np.testing.assert_allclose([fx * x / z + cx, fy * y / z + cy], pixel, atol=1e-3)


@pytest.mark.parametrize(
    ("height_px", "factor"),
    [
        pytest.param(480, 1, id="fills the image"),
        pytest.param(224, 0.5, id="half the size"),
        pytest.param(0, 0.1, id="a dot"),
    ],
)
def test_on_the_image_plane_markers_shrink_with_the_person(height_px: int, factor: float) -> None:
    people = crowd(keypoints=np.float32([[(9, 0), (9, 0), (9, 0), (9, height_px)]]))
    found, config = markers(people), MarkersConfig()
    assert find_marker(found, LIMBS).scale.x == pytest.approx(factor * config.limb_m)
    assert find_marker(found, KEYPOINTS).scale.x == pytest.approx(factor * config.keypoint_m)
    in_space = markers(people, points_xyz=np.ones((1, 4, 3)))
    assert find_marker(in_space, KEYPOINTS).scale.x == config.keypoint_m


def test_with_depth_people_are_in_space_and_unknown_points_are_not_shown() -> None:
    points = np.arange(12, dtype=float).reshape(1, 4, 3)
    points[0, 1], points[0, 2, 2] = np.nan, np.inf
    found = markers(crowd(), points_xyz=points)
    np.testing.assert_array_equal(xyz(find_marker(found, KEYPOINTS)), points[0, [0, 3]])
    np.testing.assert_array_equal(xyz(find_marker(found, LIMBS)), points[0, [0, 3]])


@pytest.mark.parametrize(
    ("people", "previous_count", "clears"),
    [
        pytest.param(crowd(0), 0, True, id="no people"),
        pytest.param(crowd(0), 2, True, id="all have left"),
        pytest.param(crowd(2), 3, True, id="one has left"),
        pytest.param(crowd(2), 2, False, id="as many as before"),
        pytest.param(crowd(2), 0, False, id="first people"),
        pytest.param(crowd(2, ids=[4, 9]), 2, True, id="tracked: ids may have changed"),
    ],
)
def test_people_who_have_left_are_deleted(people: People, previous_count: int, clears: bool) -> None:
    found = markers(people, previous_count=previous_count)
    assert [m.action == Marker.DELETEALL for m in found] == [True] * clears + [False] * 2 * len(people)
    assert found[0].header.frame_id == "camera_optical"


def shown_namespaces(messages: list[list[Marker]]) -> set[str]:
    """Return the namespaces that a viewer shows after these messages."""
    shown: dict[tuple[str, int], Marker] = {}
    for message in messages:
        for marker in message:
            if marker.action == Marker.DELETEALL:
                shown.clear()
            elif marker.action == Marker.DELETE:
                shown.pop((marker.ns, marker.id), None)
            else:
                shown[marker.ns, marker.id] = marker
    return {ns for ns, _ in shown}


def test_the_node_deletes_the_markers_of_people_who_have_left(
    graph: Any, start: Any, paint: Any, image_message: Any
) -> None:
    node, camera = start()
    messages = graph.collect(MarkerArray, "/pose_estimator/markers", 10)
    graph.until(lambda: node.cameras[0].outputs.has_marker_subscribers, "the markers have a subscriber")
    for people in ((8, 40), (8,), ()):
        camera.ask(image_message(paint(*people)))
    graph.until(lambda: len(messages) == 3, "the markers arrive")
    assert [message.markers[0].action == Marker.DELETEALL for message in messages] == [False, True, True]


@given(st.lists(st.lists(st.integers(0, 5), unique=True, max_size=4), min_size=1, max_size=6))
def test_a_viewer_shows_exactly_the_present_people(scenes: list[list[int]]) -> None:
    messages, previous_count = [], 0
    for ids in scenes:
        messages.append(markers(crowd(len(ids), ids=ids), previous_count=previous_count))
        previous_count = len(ids)
    assert shown_namespaces(messages) == {f"person_{number}" for number in scenes[-1]}


@pytest.mark.parametrize(
    ("ids", "namespaces"),
    [
        pytest.param([7, 3], ["person_7", "person_3"], id="tracked"),
        pytest.param([-1, -1], ["person_0", "person_1"], id="not tracked"),
        pytest.param([1, -1], ["person_0", "person_1"], id="one is not tracked"),
        pytest.param([4, 4], ["person_0", "person_1"], id="duplicate ids"),
    ],
)
def test_namespaces_are_unique(ids: list[int], namespaces: list[str]) -> None:
    found = [m for m in markers(crowd(2, ids=ids)) if m.action == Marker.ADD]
    assert [m.ns for m in found[::2]] == namespaces
    assert len({(m.ns, m.id) for m in found}) == len(found)


def test_empty_markers_are_deleted() -> None:
    partial = hide(crowd(2), (0, 0), (1, 0), (1, 1), (1, 2), (1, 3))
    found = markers(partial, previous_count=2)
    kinds = [(m.ns, m.id, m.action) for m in found]
    assert kinds == [
        ("person_0", LIMBS, Marker.DELETE),
        ("person_0", KEYPOINTS, Marker.ADD),
        ("person_1", LIMBS, Marker.DELETE),
        ("person_1", KEYPOINTS, Marker.DELETE),
    ]


def test_colours_by_side_are_those_of_the_overlay() -> None:
    found = markers(crowd())
    left, right, centre = (SIDE_COLOURS[side][::-1] for side in ("left", "right", "centre"))
    assert rgb(find_marker(found, KEYPOINTS).colors) == [centre, left, right, centre]
    assert rgb(find_marker(found, LIMBS).colors) == [left, left, right, right, centre, centre]
    assert all(colour.a == 1 for marker in found for colour in (*marker.colors, marker.color))


def test_colours_by_person_follow_the_id() -> None:
    by_person = MarkersConfig(colour="person")
    colour = {m.ns: set(rgb(m.colors)) for m in markers(crowd(3, ids=[5, 6, 7]), config=by_person) if m.points}
    later = {m.ns: set(rgb(m.colors)) for m in markers(crowd(2, ids=[7, 5]), config=by_person) if m.points}
    assert len(set.union(*colour.values())) == 3
    assert all(later[ns] == colour[ns] for ns in later)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"people": crowd(1, COCO_17)}, r"expected 4 keypoints \(stick\), got 17", id="skeleton"),
        pytest.param({"points_xyz": np.zeros((2, 4, 3))}, r"expected shape \(1, 4, 3\), got \(2, 4, 3\)", id="points"),
    ],
)
def test_wrong_shapes_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        markers(**{"people": crowd(), **wrong})


def test_markers_arrive_in_a_graph(graph: Any) -> None:
    received = graph.collect(MarkerArray, "/markers")
    publisher = graph.node.create_publisher(MarkerArray, "/markers", 1)
    graph.until(publisher.get_subscription_count, "the subscriber is connected")
    sent = people_markers(crowd(20, COCO_17), COCO_17, HEADER, SIZE_WH, MarkersConfig())
    publisher.publish(sent)
    graph.until(lambda: received, "the markers arrive")
    assert received[0] == deserialize_message(serialize_message(sent), MarkerArray)


def standing_person(x_px: float, height_px: float) -> np.ndarray:
    """Return the keypoints of a person standing and facing the camera, (17, 2)."""
    return COCO_17.standing * height_px + np.float32([x_px, 40])


def render(found: list[Marker], lens: tuple[float, ...], size_wh: tuple[int, int], path: Path) -> np.ndarray:
    """Render the markers for a camera at the origin of the optical frame, with sizes to scale. Return (H, W, 3) RGB."""
    figure_module = pytest.importorskip("matplotlib.figure", reason="needs matplotlib to draw")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    fx, fy, cx, cy = lens
    figure = figure_module.Figure(figsize=(size_wh[0] / 100, size_wh[1] / 100), dpi=100, facecolor="#303030")
    canvas, axes = FigureCanvasAgg(figure), figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.5, size_wh[0] - 0.5), ylim=(size_wh[1] - 0.5, -0.5))
    axes.axis("off")
    for marker in (m for m in found if m.action == Marker.ADD):
        points, colours = xyz(marker), [(c.r, c.g, c.b) for c in marker.colors]
        uv = points[:, :2] / points[:, 2:] * (fx, fy) + (cx, cy)
        width_points = marker.scale.x * fx / points[0, 2] * 0.72  # 72 points, 100 pixels an inch
        if marker.type == Marker.LINE_LIST:
            for ends, colour in zip(uv.reshape(-1, 2, 2), colours[::2], strict=True):
                axes.plot(*ends.T, color=colour, linewidth=width_points, zorder=1)
        else:
            axes.scatter(*uv.T, s=width_points**2, c=colours, linewidths=0, zorder=2)
    canvas.draw()
    figure.savefig(path)
    return np.asarray(canvas.buffer_rgba())[..., :3]


def test_a_rendering_of_the_markers_shows_the_people(tmp_path: Path) -> None:
    lens = (600.0, 600.0, 320.0, 240.0)
    keypoints = np.stack([standing_person(180, 400), standing_person(440, 300)])
    people = crowd(2, COCO_17, keypoints=keypoints)
    found = markers(people, COCO_17, MarkersConfig(plane_m=2.0), camera_info=camera(*lens))
    image = render(found, lens, SIZE_WH, tmp_path / "markers.png")
    separate = [COCO_17.index(f"{side}_{part}") for side in ("left", "right") for part in ("wrist", "knee", "ankle")]
    for person in keypoints:
        for keypoint in separate:
            x, y = np.rint(person[keypoint]).astype(int)
            assert tuple(image[y, x]) == SIDE_COLOURS[COCO_17.side(keypoint)][::-1], COCO_17.keypoint_names[keypoint]
    assert tuple(image[5, 5]) == (0x30, 0x30, 0x30)
