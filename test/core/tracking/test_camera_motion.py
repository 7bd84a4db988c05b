"""Test the measured motion of the camera on a real-looking image that is moved by a known amount."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pose_ros.tracking.camera_motion import CameraMotion, _background

RANDOM = np.random.default_rng(0)
SCENE = cv2.resize(RANDOM.integers(0, 255, (60, 100, 3), np.uint8), (1600, 960), interpolation=cv2.INTER_CUBIC)


def view(matrix: np.ndarray, size_wh: tuple[int, int] = (1280, 720)) -> np.ndarray:
    return np.asarray(cv2.warpAffine(SCENE, matrix, size_wh, flags=cv2.INTER_LINEAR))


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(("dx", "dy", "angle", "scale"), [(12, -7, 0, 1), (0, 0, 2, 1.02), (-20, 5, -1, 0.98)])
def test_the_motion_is_measured(dx: float, dy: float, angle: float, scale: float, grey: bool) -> None:
    start = np.array([[1, 0, -100], [0, 1, -100]], float)
    step = cv2.getRotationMatrix2D((640, 360), angle, scale)
    step[:, 2] += dx, dy
    after = np.vstack([step, [0, 0, 1]]) @ np.vstack([start, [0, 0, 1]])
    images = [view(start), view(after[:2])]
    motion = CameraMotion()
    first, second = (motion.measure(cv2.cvtColor(i, cv2.COLOR_BGR2GRAY) if grey else i) for i in images)
    assert first is None and second is not None
    points = np.array([[100, 100, 1], [1200, 100, 1], [640, 600, 1]], float)
    assert np.abs(points @ second.T - points @ step.T).max() < 1.0


def test_a_walking_person_does_not_move_the_camera() -> None:
    def image(x: int) -> np.ndarray:
        background = cv2.GaussianBlur(view(np.array([[1, 0, -100], [0, 1, -100]], float)), (0, 0), 3)
        background[100:700, x : x + 700] = SCENE[100:700, 0:700]
        return background

    motion = CameraMotion()
    motion.measure(image(200))
    motion.remember_people(np.array([[190, 90, 930, 710]], np.float32))
    measured = motion.measure(image(230))
    assert measured is not None and np.abs(measured - np.eye(2, 3)).max() < 0.5


@pytest.mark.parametrize(
    "box",
    [(-50, 0, -9, 30), (0, -50, 40, -9), (60, 0, 90, 30), (-3e38, 0, -1e30, 3e38), (1e30, 0, 3e38, 3e38)],
    ids=str,
)
def test_a_person_outside_the_image_hides_no_corners(box: tuple[float, ...]) -> None:
    assert (_background((30, 40), np.array([box], np.float32)) == 255).all()


def test_a_person_hides_the_corners_inside_the_box() -> None:
    mask = _background((30, 40), np.array([(-5, 10, 3, 99)], np.float32))
    assert (mask[10:, :4] == 0).all() and (mask == 0).sum() == 20 * 4


def test_images_without_corners_have_no_motion() -> None:
    motion, flat = CameraMotion(), np.full((720, 1280, 3), 90, np.uint8)
    assert motion.measure(flat) is None and motion.measure(flat) is None
    assert motion.measure(np.full((480, 640, 3), 90, np.uint8)) is None
