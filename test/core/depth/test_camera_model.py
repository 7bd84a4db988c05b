"""Test camera models: the rays of pixels are those that OpenCV projects to them."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from pose_ros.depth.camera_model import CameraModel

SIZE = (1280, 720)
K = np.array([[900.0, 0, 650], [0, 910, 350], [0, 0, 1]])
ROLL = cv2.Rodrigues(np.array([0.01, -0.02, 0.03]))[0]
COEFFICIENTS = {
    "plumb_bob of 5": ("plumb_bob", [-0.32, 0.12, 1e-3, -2e-3, -0.02]),
    "plumb_bob of 4": ("plumb_bob", [0.2, -0.4, 1e-3, 5e-4]),
    "rational_polynomial of 8": ("rational_polynomial", [0.6, -2.8, 1e-4, -2e-4, 1.6, 0.48, -2.6, 1.5]),
    "rational_polynomial of 12": (
        "rational_polynomial",
        [0.1, -0.2, 1e-3, 1e-3, 0.02, 0.05, -0.1, 0.0, 1e-3, 2e-4, -1e-3, 1e-4],
    ),
    "none": ("plumb_bob", []),
    "zeros": ("", [0.0] * 5),
    "equidistant": ("equidistant", [-0.02, 0.01, -3e-3, 1e-3]),
    "equidistant without coefficients": ("equidistant", []),
    "equidistant with a fifth zero": ("equidistant", [0.05, 0.0, 0.01, 0.0, 0.0]),
}


def info(**changes):
    values = {
        "width": SIZE[0],
        "height": SIZE[1],
        "distortion_model": "plumb_bob",
        "d": [-0.1, 0.02, 0.0, 0.0, 0.0],
        "k": K.ravel().tolist(),
        "r": np.eye(3).ravel().tolist(),
        "p": np.hstack([K * 0.9, np.array([[-45.0], [0], [0]])]).ravel().tolist(),
        "binning_x": 0,
        "binning_y": 0,
        "roi": SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
    }
    values["p"][10] = 1.0
    return SimpleNamespace(**(values | changes))


def points_in_view():
    x, y = np.meshgrid(np.linspace(-0.65, 0.65, 11), np.linspace(-0.38, 0.38, 7))
    return np.stack([x, y, np.ones_like(x)], axis=2)


def project(points, model, d, k=K):
    flat = points.reshape(-1, 1, 3)
    if model == "equidistant":
        xy, _ = cv2.fisheye.projectPoints(flat, np.zeros(3), np.zeros(3), k, np.resize([*d, 0.0, 0.0, 0.0, 0.0], 4))
    else:
        xy, _ = cv2.projectPoints(flat, np.zeros(3), np.zeros(3), k, np.array(d) if len(d) else None)
    return xy.reshape(*points.shape[:-1], 2)


@pytest.mark.parametrize(("model", "d"), COEFFICIENTS.values(), ids=COEFFICIENTS)
def test_rays_undo_the_projection_of_opencv(model, d):
    points = points_in_view()
    rays = CameraModel(SIZE, K, d, model).rays(project(points, model, d))
    assert rays.shape == points.shape
    np.testing.assert_allclose(rays, points, atol=1e-6)


def test_pixels_without_a_ray_are_nan():
    folds = CameraModel(SIZE, K, [-0.5, 0, 0, 0])  # r (1 - r^2 / 2) is 0.54 at most
    assert np.isfinite(folds.rays([650 + 450, 350])).all()
    assert np.isnan(folds.rays([650 + 600, 350])[:2]).all()
    fisheye = CameraModel(SIZE, K, [], "equidistant")
    assert np.isfinite(fisheye.rays([650 + 900 * 1.5, 350])).all()
    assert np.isnan(fisheye.rays([650 + 900 * 1.6, 350])[:2]).all()
    assert np.isfinite(fisheye.rays(K[:2, 2])).all()


def test_calibration_of_raw_images_uses_k_and_d():
    model = CameraModel.from_info(info(r=[0.0] * 9))
    points = points_in_view()
    np.testing.assert_allclose(model.rays(project(points, "", [-0.1, 0.02, 0, 0, 0])), points, atol=1e-6)
    assert model.size_wh == SIZE and model.rotation is None


def test_calibration_of_rectified_images_uses_p():
    points = points_in_view()
    model = CameraModel.from_info(info(), rectified=True)
    np.testing.assert_allclose(model.rays(project(points, "", [], K * [[0.9], [0.9], [1]])), points, atol=1e-6)


def test_raw_and_rectified_images_give_the_same_point():
    """R turns the frame of the lens to the frame after rectification."""
    calibration = info(r=ROLL.ravel().tolist())
    in_camera = points_in_view() * [[[2.0]]]
    in_lens = in_camera @ ROLL
    pixels = project(in_lens, "", calibration.d)
    model = CameraModel.from_info(calibration)
    found = model.rays(pixels) * in_lens[..., 2:] @ model.rotation.T
    np.testing.assert_allclose(found, in_camera, atol=1e-6)


def test_calibration_of_ros_1_has_capital_names():
    small = vars(info())
    for name in "dkrp":
        small[name.upper()] = small.pop(name)
    np.testing.assert_array_equal(CameraModel.from_info(SimpleNamespace(**small)).k, K)


def test_binning_and_region_of_interest():
    """A pixel of the image covers 2 x 2 of the sensor, from (200, 100) on."""
    roi = SimpleNamespace(x_offset=200, y_offset=100, width=800, height=400, do_rectify=False)
    model = CameraModel.from_info(info(roi=roi, binning_x=2, binning_y=2, d=[]))
    assert model.size_wh == (400, 200)
    sensor_xy = np.array([200 + 2 * 10 + 0.5, 100 + 2 * 20 + 0.5])  # middle of the four pixels
    np.testing.assert_allclose(model.rays([10, 20]), CameraModel(SIZE, K).rays(sensor_xy))


def test_resized_images_have_the_same_view():
    model = CameraModel.from_info(info(d=[]), (640, 360))
    corners = [[-0.5, -0.5], [639.5, 359.5]], [[-0.5, -0.5], [1279.5, 719.5]]
    np.testing.assert_allclose(model.rays(corners[0]), CameraModel(SIZE, K).rays(corners[1]))
    with pytest.raises(ValueError, match="camera_info: size: expected the aspect ratio of 1280 x 720, got 640 x 480"):
        CameraModel.from_info(info(), (640, 480))


def test_empty_size_is_that_of_the_images():
    assert CameraModel.from_info(info(width=0, height=0), (640, 360)).size_wh == (640, 360)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"k": [0.0] * 9}, "/front/camera_info: K: expected focal lengths above 0, .* calibrate it"),
        ({"k": [float("nan")] * 9}, "K: expected 3 x 3 finite values"),
        ({"k": [1.0] * 8}, "K: expected 3 x 3"),
        ({"distortion_model": "double_sphere"}, "distortion_model: expected one of plumb_bob, .* got 'double_sphere'"),
        ({"distortion_model": "", "d": [0.1, 0, 0, 0]}, "distortion_model: expected one of"),
        ({"d": [0.1, 0.1]}, "D: expected 0, 4, 5, 8, 12 coefficients of plumb_bob"),
        ({"d": [0.1] * 14}, "D: expected"),
        ({"d": [float("inf")] * 5}, "D: expected finite"),
        ({"distortion_model": "equidistant", "d": [0.1] * 5}, "D: expected 4 coefficients of equidistant"),
        ({"r": [2.0] * 9}, "R: expected a rotation"),
        ({"width": 0}, "size: expected width and height above 0, got 0 x 720"),
    ],
)
def test_bad_calibrations_are_named(changes, error):
    with pytest.raises(ValueError, match=error):
        CameraModel.from_info(info(**changes), name="/front/camera_info")


def test_rectified_images_of_an_uncalibrated_camera_are_named():
    with pytest.raises(ValueError, match="camera_info: P: expected focal lengths above 0"):
        CameraModel.from_info(info(p=[0.0] * 12), rectified=True)
