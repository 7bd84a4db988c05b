"""Tests of the frames of bodies: origin, axes, links, and what is unknown."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from known_people import HEIGHT_M, standing_people

from pose_ros.depth.body_frames import HEAD, LINKS, find_body_frames, link_positions
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, CROWDPOSE_14, OPENPOSE_18, SKELETONS, Skeleton

PLACE = (0.5, 0.2, 3.0)
FACING = np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]], float)
"""Axes of a person who faces the camera. In columns: forwards to the camera, left to the right of the image, up."""
TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


def turn(people: People, rotation: np.ndarray) -> People:
    """Turn people around the middle of their hips."""
    return replace(people, keypoints_3d=(people.keypoints_3d - np.float32(PLACE)) @ rotation.T + np.float32(PLACE))


def forget(people: People, *names: str) -> People:
    """Make keypoints unknown in metres."""
    points = people.keypoints_3d.copy()
    points[:, [COCO_17.index(name) for name in names]] = np.nan
    return replace(people, keypoints_3d=points)


@pytest.mark.parametrize("skeleton", [COCO_17, OPENPOSE_18], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("vector", [(0, 0, 0), (0, 3.1, 0), (0, 1.57, 0), (0, 0, 1.57), (1.57, 0, 0), (0.3, -2, 0.9)])
def test_the_axes_turn_with_the_person(skeleton: Skeleton, vector: tuple[float, float, float]) -> None:
    rotation = cv2.Rodrigues(np.array(vector, float))[0]
    frames = find_body_frames(turn(standing_people(PLACE, skeleton=skeleton), rotation), skeleton)
    np.testing.assert_allclose(frames.origins, [PLACE], atol=1e-5)
    np.testing.assert_allclose(frames.rotations, [rotation @ FACING], atol=1e-5)


def test_links_are_where_the_body_has_them() -> None:
    rotation = cv2.Rodrigues(np.array([0.3, -2, 0.9]))[0]
    people = turn(standing_people(PLACE), rotation)
    links = link_positions(people, COCO_17, find_body_frames(people, COCO_17))
    assert set(links) == {*LINKS, HEAD} and len(links) == 13
    for link, (forwards, left, up) in {
        "l_shoulder": (0, 0.10, 0.31),
        "r_shoulder": (0, -0.10, 0.31),
        "l_wrist": (0, 0.17, 0.02),
        "r_ankle": (0, -0.08, -0.46),
        HEAD: (0, 0, 0.43),  # between the ears
    }.items():
        np.testing.assert_allclose(links[link][0], np.array([forwards, left, up]) * HEIGHT_M, atol=1e-5)


def test_an_unknown_link_is_nan_and_the_nose_replaces_the_ears() -> None:
    people = forget(standing_people(PLACE), "left_ear", "right_knee")
    links = link_positions(people, COCO_17, find_body_frames(people, COCO_17))
    assert np.isnan(links["r_knee"]).all() and np.isfinite(links["l_knee"]).all()
    np.testing.assert_allclose(links[HEAD][0], [0, 0, 0.42 * HEIGHT_M], atol=1e-5)


@pytest.mark.parametrize("known", [("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")])
def test_a_person_of_whom_one_pair_is_known_is_taken_as_upright(known: tuple[str, str]) -> None:
    rotation = cv2.Rodrigues(np.array([0, 0.7, 0.0]))[0]
    people = turn(forget(standing_people(PLACE), *set(TORSO) - set(known)), rotation)
    frames = find_body_frames(people, COCO_17)
    np.testing.assert_allclose(frames.rotations, [rotation @ FACING], atol=1e-5)
    expected = PLACE if "left_hip" in known else people.positions_3d[0]
    np.testing.assert_allclose(frames.origins, [expected], atol=1e-5)


def test_a_person_of_unknown_direction_faces_the_camera() -> None:
    place = (3.0, 0.0, 3.0)
    people = forget(standing_people(place), *TORSO)
    frames = find_body_frames(people, COCO_17)
    np.testing.assert_allclose(frames.rotations[0, :, 0], np.array([-1, 0, -1]) / 2**0.5, atol=1e-5)
    np.testing.assert_allclose(frames.rotations[0, :, 2], [0, -1, 0], atol=1e-5)
    nowhere = replace(people, positions_3d=np.full((1, 3), np.nan), keypoints_3d=None)
    frames = find_body_frames(nowhere, COCO_17)
    assert np.isnan(frames.origins).all()
    np.testing.assert_allclose(frames.rotations[0], FACING, atol=1e-6)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda skeleton: skeleton.name)
def test_every_rotation_is_a_rotation(skeleton: Skeleton) -> None:
    """Also of noise, of points that coincide, of people above the camera, and of values that are not finite."""
    random = np.random.default_rng(0)
    count, k = 200, len(skeleton)
    points = random.normal(0, 1, (count, k, 3)).astype(np.float32)
    points[random.random((count, k)) < 0.4] = np.nan
    points[:20] = 1.0
    points[20:25] = np.inf
    points[25:30] = 1e30
    positions = np.float32([[0, -2, 0]] * 50 + [[0, 0, 0]] * 50 + [[np.nan, 0, 1]] * 100)
    shape = (count, k)
    people = People(np.ones((*shape, 2)), np.ones(shape), np.ones(count), keypoints_3d=points, positions_3d=positions)
    frames = find_body_frames(people, skeleton)
    products = np.einsum("nij,nik->njk", frames.rotations, frames.rotations)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(frames.rotations), 1, atol=1e-6)


def test_without_depth_and_without_people() -> None:
    people = replace(standing_people(PLACE), keypoints_3d=None, positions_3d=None)
    assert np.isnan(find_body_frames(people, COCO_17).origins).all()
    empty = People.empty(14)
    frames = find_body_frames(empty, CROWDPOSE_14)
    assert frames.origins.shape == (0, 3) and frames.rotations.shape == (0, 3, 3)
    assert {points.shape for points in link_positions(empty, CROWDPOSE_14, frames).values()} == {(0, 3)}
