"""Test the crops of people: exact mapping in both directions, upright and turned with the torso."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from pose_ros.refinement.crops import LEAST_SIDE_PX, MARGIN, Crop, find_turn
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton

BODY = (COCO_17.standing * 200 + (300, 100)).astype(np.float32)
ALL = np.ones(17, np.float32)
angles = st.floats(-math.pi, math.pi)


def turn(points: np.ndarray, angle: float, centre: tuple[float, float] = (300, 200)) -> np.ndarray:
    """Turn points (N, 2) around a centre, from the x axis towards the y axis."""
    matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return (np.asarray(points) - centre) @ matrix.T + centre


@given(angles, st.floats(0.5, 5000), st.floats(-3000, 3000), st.integers(1, 400), st.integers(1, 400))
@property_settings(max_examples=60)
def test_points_come_back_exactly(angle: float, size: float, place: float, width: int, height: int) -> None:
    points = place + size * np.random.default_rng(0).random((9, 2))
    crop = Crop.around(points, (width, height), angle)
    placed = crop.to_crop(points)
    np.testing.assert_allclose(crop.to_image(placed), points, atol=1e-8 * (1 + abs(place) + size))
    assert (placed > -0.5).all() and (placed < (width - 0.5, height - 0.5)).all()
    steps = np.diff(points, axis=0), np.diff(placed, axis=0)
    ratios = np.linalg.norm(steps[1], axis=1) / np.linalg.norm(steps[0], axis=1)
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-6)  # one scale in all directions, so no shear
    assert np.linalg.det(crop.matrix[:, :2]) > 0  # not mirrored


@given(angles)
@property_settings(max_examples=40)
def test_the_torso_is_upright_in_the_crop(angle: float) -> None:
    keypoints = turn(BODY, angle).astype(np.float32)
    found = find_turn(keypoints, ALL, COCO_17)
    crop = Crop.around(keypoints, (256, 256), found)
    upright = Crop.around(BODY, (256, 256), find_turn(BODY, ALL, COCO_17))
    np.testing.assert_allclose(crop.to_crop(keypoints), upright.to_crop(BODY), atol=1e-2)
    difference = (found + angle + math.pi) % (2 * math.pi) - math.pi
    assert abs(difference - find_turn(BODY, ALL, COCO_17)) < 1e-3


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2, math.pi, -1.9])
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_pixels_follow_the_mapping(angle: float, scale: float) -> None:
    rows, columns = np.mgrid[:600, :600]
    image = np.stack([rows * 0, rows * 255 // 600, columns * 255 // 600], axis=2).astype(np.uint8)
    points = turn(np.array([(250, 150), (350, 250)]) * 1.0, 0.3)
    crop = Crop.around(points, (round(64 * scale), round(64 * scale)), angle)
    pixels = crop.cut(image)
    places = np.array([(5, 7), (20, 30), (28, 4)]) * scale // 1
    shown = np.array([pixels[int(y), int(x), 1:] for x, y in places], float) * 600 / 255
    np.testing.assert_allclose(shown[:, ::-1], crop.to_image(places), atol=4.0)


@pytest.mark.parametrize("angle", [0.0, 0.7, math.pi / 2])
def test_outside_the_image_a_crop_is_black(angle: float) -> None:
    image = np.full((400, 100, 3), 200, np.uint8)
    far = Crop.around(np.array([(900.0, 900), (950, 950)]), (32, 32), angle)
    assert far.cut(image).max() == 0 and far.cut(image).shape == (32, 32, 3)
    edge = Crop.around(np.array([(-20.0, 180), (20, 220)]), (64, 64), angle).cut(image)
    assert (edge == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert Crop.around(np.array([(50.0, 50)]), (32, 32), angle).cut(image[..., 0]).min() == 200
    assert Crop.around(np.array([(50.0, 50)]), (32, 32)).cut(np.zeros((0, 0, 3), np.uint8)).max() == 0


def test_the_margin_and_the_smallest_crop() -> None:
    crop = Crop.around(np.array([(0.0, 0), (10, 100)]), (280, 280))
    extent = np.ptp(crop.to_image([(0, 0), (280, 280)]), axis=0)
    np.testing.assert_allclose(extent, MARGIN * 100)
    point = Crop.around(np.array([(7.0, 9)]), (32, 32))
    np.testing.assert_allclose(np.ptp(point.to_image([(0, 0), (32, 32)]), axis=0), LEAST_SIDE_PX)


def without(*names: str) -> np.ndarray:
    scores = ALL.copy()
    scores[[COCO_17.index(name) for name in names]] = 0
    return scores


def test_a_hidden_torso_gives_an_upright_crop() -> None:
    lying = turn(BODY, math.pi / 2).astype(np.float32)
    assert abs(find_turn(lying, ALL, COCO_17) + math.pi / 2) < 0.05
    assert abs(find_turn(lying, without("left_shoulder"), COCO_17) + math.pi / 2) < 0.3  # the right side remains
    assert find_turn(lying, without("left_shoulder", "right_shoulder"), COCO_17) == 0
    assert find_turn(lying, without("left_hip", "right_hip"), COCO_17) == 0
    assert find_turn(lying, without("left_shoulder", "right_hip"), COCO_17) == 0  # a diagonal shows no direction
    assert find_turn(lying, 0 * ALL, COCO_17) == 0
    assert find_turn(lying, ALL, Skeleton("animal", tuple(map(str, range(17))), ())) == 0


def test_the_neck_replaces_the_shoulders() -> None:
    keypoints = np.zeros((18, 2), np.float32)
    scores = np.zeros(18, np.float32)
    for name, place in (("neck", (100, 50)), ("left_hip", (40, 60)), ("right_hip", (40, 40))):
        keypoints[OPENPOSE_18.index(name)], scores[OPENPOSE_18.index(name)] = place, 1
    assert find_turn(keypoints, scores, OPENPOSE_18) == pytest.approx(-math.pi / 2)


def test_a_torso_that_points_at_the_camera_gives_an_upright_crop() -> None:
    bent = turn(BODY, math.pi / 2).astype(np.float32)
    for side in ("left", "right"):
        bent[COCO_17.index(f"{side}_hip")] = bent[COCO_17.index(f"{side}_shoulder")] + (-20, 0)
    assert find_turn(bent, ALL, COCO_17) == 0
