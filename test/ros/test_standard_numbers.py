"""Tests of the numbers of the standard messages. They need neither ROS nor a message package."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from known_people import standing_people

from pose_ros.people import People
from pose_ros.ros.messages.standard import (
    body_name,
    boxes_3d,
    crop_to_box,
    find_bodies,
    normalise_boxes,
    normalise_keypoints,
)
from pose_ros.ros.parameters.config import CAMERA_NAME
from pose_ros.skeleton import MPII_16, OPENPOSE_18, REP_155, SKELETONS, Skeleton

HRI_INDICES = {  # constants of hri_msgs/Skeleton2D
    **{"nose": 0, "neck": 1, "right_shoulder": 2, "right_elbow": 3, "right_wrist": 4, "left_shoulder": 5},
    **{"left_elbow": 6, "left_wrist": 7, "right_hip": 8, "right_knee": 9, "right_ankle": 10, "left_hip": 11},
    **{"left_knee": 12, "left_ankle": 13, "left_eye": 14, "right_eye": 15, "left_ear": 16, "right_ear": 17},
}
SIZE_WH = (100, 50)


def numbered_people(skeleton: Skeleton) -> People:
    """Make one person. The x of each keypoint is its index, and its score grows with the index."""
    k = len(skeleton)
    xy = np.stack([np.arange(k), np.full(k, 25)], axis=1)[None]
    return People(xy, (np.arange(k)[None] + 1) / 100, np.ones(1))


@pytest.mark.parametrize("skeleton", [*SKELETONS.values(), REP_155], ids=lambda skeleton: skeleton.name)
def test_keypoints_are_mapped_by_name(skeleton: Skeleton) -> None:
    """A copy of OpenPose by index would swap the eyes and the ears."""
    points = normalise_keypoints(numbered_people(skeleton), skeleton, SIZE_WH)
    assert points.shape == (1, 18, 3)
    for name, index in HRI_INDICES.items():
        if name in skeleton.keypoint_names:
            source = skeleton.index(name)
            np.testing.assert_allclose(points[0, index], (source / 100, 0.5, (source + 1) / 100), atol=1e-6)
        elif name == "neck":
            pair = [skeleton.index("left_shoulder"), skeleton.index("right_shoulder")]
            np.testing.assert_allclose(points[0, index], (sum(pair) / 200, 0.5, (min(pair) + 1) / 100), atol=1e-6)
        else:
            assert points[0, index].tolist() == [0, 0, 0]


def test_openpose_and_rep_155_differ_in_eyes_and_ears_only() -> None:
    different = [i for i in range(18) if OPENPOSE_18.keypoint_names[i] != REP_155.keypoint_names[i]]
    assert different == [14, 15, 16, 17]
    assert normalise_keypoints(numbered_people(MPII_16), MPII_16, SIZE_WH)[0, 14:, 2].tolist() == [0, 0, 0, 0]


def test_keypoints_and_boxes_are_cut_to_the_image() -> None:
    skeleton = Skeleton("two", ("nose", "left_eye", "right_eye"), ())
    people = People([[(-20, 60), (150, -5), (0, 0)]], [[0.5, 0.6, 0]], [0.7])
    points = normalise_keypoints(people, skeleton, SIZE_WH)[0]
    np.testing.assert_allclose(points[[0, 14, 15]], [(0, 1, 0.5), (1, 0, 0.6), (0, 0, 0)], atol=1e-6)
    assert normalise_boxes(people, SIZE_WH).tolist() == [[0, 0, 1, 1]]


def test_only_people_with_an_id_and_a_keypoint_are_bodies() -> None:
    people = standing_people(*[(0, 0, 3)] * 6, ids=[7, -1, 3, 7, 0, 5])
    scores = people.scores.copy()
    scores[5] = 0
    people = replace(people, scores=scores, keypoints=np.where(scores[..., None] > 0, people.keypoints, 0))
    assert find_bodies(people).tolist() == [0, 2, 4]
    assert find_bodies(People.empty(17)).tolist() == []


@pytest.mark.parametrize(
    ("camera", "number", "name"), [("", 0, "b0"), ("", 12, "b12"), ("front", 12, "front_b12"), ("a/b", 3, "a_b_b3")]
)
def test_names_of_bodies_are_tokens_of_ros(camera: str, number: int, name: str) -> None:
    assert body_name(camera, number) == name
    assert CAMERA_NAME.fullmatch(name) and "/" not in name


@pytest.mark.parametrize(
    ("box", "x", "y"),
    [
        ((0.1, 0.2, 0.3, 0.4), (10, 31), (10, 21)),
        ((0, 0, 1, 1), (0, 100), (0, 50)),
        ((1, 1, 1, 1), (99, 100), (49, 50)),
        ((0, 0, 0, 0), (0, 1), (0, 1)),
    ],
)
def test_a_crop_has_the_pixels_of_its_box(box: tuple[float, ...], x: tuple[int, int], y: tuple[int, int]) -> None:
    image = np.arange(100 * 50 * 3, dtype=np.uint16).reshape(50, 100, 3).astype(np.uint8)
    assert np.array_equal(crop_to_box(image, np.array(box)), image[slice(*y), slice(*x)])
    assert crop_to_box(image[..., 0], np.array(box)).ndim == 2


def test_boxes_in_metres() -> None:
    people = standing_people((0, 0, 3), (1, 0, 4), (2, 0, 5))
    points = people.keypoints_3d.copy()
    points[0, :3] = np.nan
    points[0, 3:] = np.linspace((0, 1, 3), (2, 0, 4), 14)
    points[1:] = np.nan
    positions = people.positions_3d.copy()
    positions[2] = np.nan
    centres, sizes = boxes_3d(replace(people, keypoints_3d=points, positions_3d=positions))
    np.testing.assert_allclose(centres[:2], [(1, 0.5, 3.5), positions[1]], atol=1e-6)
    np.testing.assert_allclose(sizes[:2], [(2, 1, 1), (0, 0, 0)], atol=1e-6)
    assert np.isnan(centres[2]).all()
    assert np.isnan(boxes_3d(replace(people, keypoints_3d=None, positions_3d=None))[0]).all()
