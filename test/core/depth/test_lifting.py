"""Test lifting keypoints to metres on synthetic scenes with known keypoints in space."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from scene_depth import measure_scene

from pose_ros.config import DepthConfig
from pose_ros.depth.camera_model import CameraModel
from pose_ros.depth.lifting import Lifter, lift, transform_points
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, MPII_16, OPENPOSE_18, Skeleton

SIZE = (640, 360)
CAMERA = CameraModel(SIZE, [[500.0, 0, 319.5], [0, 500.0, 179.5], [0, 0, 1]])
WALL_M = 6.0


@pytest.fixture(scope="module")
def scenes():
    return [measure_scene(seed, 4, (640, 360)) for seed in range(7)]


@pytest.fixture(scope="module")
def lifted(scenes):
    lifter = Lifter(OPENPOSE_18)
    return [lifter(view.people, view.depth_m, view.camera) for view in scenes]


def stand(distance_m=3.0, skeleton=COCO_17, height_m=1.7, x_px=319.5):
    """Return a person of flat limbs who faces the camera, and the depth image of it before a wall."""
    scale = CAMERA.k[0, 0] * height_m / distance_m
    xy = skeleton.standing * scale + np.array([x_px, 40.0])
    depth_m = np.full(SIZE[::-1], WALL_M, np.float32)
    rows, columns = np.indices(depth_m.shape)
    for x, y in xy:
        radius = 0.035 * CAMERA.k[0, 0] / distance_m
        depth_m[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = distance_m
    ones = np.ones((1, len(skeleton)), np.float32)
    return People(xy[None].astype(np.float32), ones, ones[:, 0]), depth_m


# Accuracy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low_m", "high_m", "limit_m"), [(2.2, 3.8, 0.02), (5.0, 7.0, 0.05)])
def test_median_error(scenes, lifted, low_m, high_m, limit_m):
    """2 cm at 3 m and 5 cm at 6 m, with errors of keypoints of 1 % of the height."""
    errors = []
    for view, result in zip(scenes, lifted, strict=True):
        truth = view.truth.keypoints_3d_m
        near = view.truth.visible & (truth[..., 2] > low_m) & (truth[..., 2] < high_m)
        errors += list((result.keypoints_m - truth)[near][:, 2])
    errors = np.array(errors)
    assert len(errors) > 80 and np.isnan(errors).mean() < 0.15
    assert np.nanmedian(np.abs(errors)) <= limit_m
    assert abs(np.nanmedian(errors)) <= limit_m / 2  # no bias: from the surface to the joint


def test_points_project_to_their_pixels(scenes, lifted):
    for view, result in zip(scenes, lifted, strict=True):
        known = np.isfinite(result.keypoints_m[..., 0])
        homogeneous = result.keypoints_m[known] @ view.camera.k.T
        np.testing.assert_allclose(homogeneous[:, :2] / homogeneous[:, 2:], view.people.keypoints[known], atol=0.01)


def test_uncertainty_agrees_with_the_errors(scenes, lifted):
    ratios = np.concatenate(
        [
            (np.abs(result.keypoints_m - view.truth.keypoints_3d_m)[..., 2] / result.sigmas_m)[view.truth.visible]
            for view, result in zip(scenes, lifted, strict=True)
        ]
    )
    ratios = ratios[np.isfinite(ratios)]
    assert 0.6 < (ratios < 1).mean() < 0.92 and (ratios < 3).mean() > 0.93


def test_positions_are_those_of_the_trunk(scenes, lifted):
    corners = [OPENPOSE_18.index(f"{side}_{name}") for side in ("left", "right") for name in ("shoulder", "hip")]
    errors = []
    for view, result in zip(scenes, lifted, strict=True):
        whole = view.truth.visible[:, corners].all(axis=1)
        truth = view.truth.keypoints_3d_m[:, corners].mean(axis=1)
        errors += list(np.linalg.norm(result.positions_m - truth, axis=1)[whole])
    assert len(errors) >= 5 and np.median(errors) < 0.06


@pytest.mark.parametrize("wall_gap_m", [0.5, 1.0, None])
def test_no_point_is_on_the_wall(wall_gap_m):
    for seed in range(4):
        view = measure_scene(seed, 1, (640, 360), jitter=0.02, wall_gap_m=wall_gap_m)
        result = lift(view.people, view.depth_m, view.camera, OPENPOSE_18)
        behind = (result - view.truth.keypoints_3d_m)[..., 2]
        assert not (behind > 0.3).any()
        assert np.isfinite(behind[view.truth.visible]).mean() > 0.6


def test_crowd_has_no_point_on_the_wall():
    view = measure_scene(9, 10, (640, 360), jitter=0.015)
    result = lift(view.people, view.depth_m, view.camera, OPENPOSE_18)
    assert not ((result - view.truth.keypoints_3d_m)[..., 2] > 0.3).any()


# Unknown ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unknown", [0.0, np.nan, np.inf, -1.0, 1e30, 1e-9])
def test_no_depth_is_nan(unknown):
    people, depth_m = stand()
    result = Lifter(COCO_17)(people, np.full_like(depth_m, unknown), CAMERA)
    for array in (result.keypoints_m, result.sigmas_m, result.positions_m, result.position_sigmas_m):
        assert array.dtype == np.float32 and np.isnan(array).all()


def test_absent_keypoints_are_nan():
    people, depth_m = stand()
    scores = people.scores.copy()
    scores[0, 3] = 0
    keypoints = np.where(scores[..., None] > 0, people.keypoints, 0)
    result = lift(People(keypoints, scores, people.person_scores), depth_m, CAMERA, COCO_17)
    assert np.isnan(result[0, 3]).all() and np.isfinite(np.delete(result[0], 3, axis=0)).all()


def test_a_keypoint_beside_its_limb_is_unknown_not_on_the_wall():
    people, depth_m = stand()
    wrist = COCO_17.index("left_wrist")
    keypoints = people.keypoints.copy()
    keypoints[0, wrist, 0] += 25
    result = lift(People(keypoints, people.scores, people.person_scores), depth_m, CAMERA, COCO_17)
    assert np.isnan(result[0, wrist]).all() and np.isfinite(np.delete(result[0], wrist, axis=0)).all()


def test_hole_at_a_keypoint_is_filled_from_its_limb():
    people, depth_m = stand()
    x, y = np.rint(people.keypoints[0, COCO_17.index("left_knee")]).astype(int)
    depth_m[y - 2 : y + 3, x - 2 : x + 3] = 0
    knee = lift(people, depth_m, CAMERA, COCO_17)[0, COCO_17.index("left_knee")]
    assert abs(knee[2] - 3.06) < 0.01


@pytest.mark.parametrize("unknown", [0.0, np.nan, -1.0])
def test_holes_around_a_near_limb_are_not_a_nearer_surface(unknown):
    depth_m = np.full(SIZE[::-1], unknown, np.float32)
    depth_m[98:103, 198:203] = 0.8
    people = People(np.full((1, 1, 2), (200, 100), np.float32), np.ones((1, 1)), np.ones(1))
    np.testing.assert_allclose(lift(people, depth_m, CAMERA)[0, 0, 2], 0.8)


def test_flying_pixels_are_ignored():
    people, depth_m = stand()
    x, y = np.rint(people.keypoints[0, COCO_17.index("left_knee")]).astype(int)
    depth_m[y, x] = 4.0
    assert abs(lift(people, depth_m, CAMERA, COCO_17)[0, COCO_17.index("left_knee"), 2] - 3.06) < 0.01


def test_an_object_in_front_of_a_wrist_is_not_the_wrist():
    people, depth_m = stand(4.0)
    wrist = COCO_17.index("right_wrist")
    x, y = np.rint(people.keypoints[0, wrist]).astype(int)
    depth_m[y - 12 : y + 13, x - 12 : x + 13] = 2.5
    result = lift(people, depth_m, CAMERA, COCO_17)
    assert np.isnan(result[0, wrist]).all() and np.isfinite(np.delete(result[0], wrist, axis=0)).all()


@pytest.mark.parametrize(("distance_m", "is_known"), [(2.85, True), (3.15, True), (3.6, False), (2.4, False)])
def test_limbs_have_a_longest_length(distance_m, is_known):
    """A forearm of a person of 1.7 m is 0.25 m long."""
    people, depth_m = stand()
    wrist = COCO_17.index("left_wrist")
    x, y = np.rint(people.keypoints[0, wrist]).astype(int)
    depth_m[y - 14 : y + 15, x - 14 : x + 15] = distance_m
    result = lift(people, depth_m, CAMERA, COCO_17)
    assert np.isfinite(result[0, wrist]).all() == is_known
    assert np.isfinite(np.delete(result[0], wrist, axis=0)).all()


def test_a_wall_is_too_far_for_a_person_of_this_size():
    """The sensor sees one keypoint of the person only, and the wall at all others."""
    people, depth_m = stand()
    nose = COCO_17.index("nose")
    x, y = np.rint(people.keypoints[0, nose]).astype(int)
    depth_m[:] = WALL_M
    depth_m[y - 9 : y + 10, x - 9 : x + 10] = 3.0
    result = lift(people, depth_m, CAMERA, COCO_17)
    assert abs(result[0, nose, 2] - 3) < 0.01
    assert np.nanmax(result[..., 2]) < 3.2  # eyes are next to the nose


@pytest.mark.parametrize("xy", [(-300.0, 50.0), (1e30, 1e30), (-1e30, 0.0), (660.0, 300.0), (3e9, 5.0)])
def test_keypoints_far_outside_the_image(xy):
    people, depth_m = stand()
    keypoints = people.keypoints.copy()
    keypoints[0, 9] = xy
    result = lift(People(keypoints, people.scores, people.person_scores), depth_m, CAMERA, COCO_17)
    assert np.isnan(result[0, 9]).all()


def test_nobody():
    result = Lifter(COCO_17)(People.empty(17), stand()[1], CAMERA)
    assert result.keypoints_m.shape == (0, 17, 3) and result.positions_m.shape == (0, 3)


# Geometry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size_wh", [(640, 360), (320, 180), (1280, 720), (848, 480)])
def test_depth_image_of_another_size(size_wh):
    """Both images have the same corners. A column of pixels at the right border is 2 m nearer."""
    people, depth_m = stand()
    rows, columns = (np.indices(size_wh[::-1]) + 0.5) * (SIZE[0] / size_wh[0]) - 0.5
    resized = depth_m[np.rint(rows).clip(0, 359).astype(int), np.rint(columns).clip(0, 639).astype(int)]
    result = lift(people, resized, CAMERA, COCO_17)
    reference = lift(people, depth_m, CAMERA, COCO_17)
    np.testing.assert_allclose(result, reference, atol=0.01)
    assert np.isfinite(result).all()


def test_points_are_below_the_surface_along_the_ray():
    people, depth_m = stand()
    joints = Lifter(COCO_17)(people, depth_m, CAMERA).keypoints_m[0].astype(float)
    surface = Lifter(COCO_17, DepthConfig(surface=True))(people, depth_m, CAMERA).keypoints_m[0].astype(float)
    np.testing.assert_allclose(surface[:, 2], 3, atol=1e-5)
    moved = np.linalg.norm(joints - surface, axis=1)
    knee, nose = COCO_17.index("left_knee"), COCO_17.index("nose")
    np.testing.assert_allclose(moved[[knee, nose]], [0.06, 0.0], atol=1e-5)
    np.testing.assert_allclose(np.cross(joints, surface), 0, atol=1e-5)


def test_without_a_skeleton_points_are_on_the_surface():
    people, depth_m = stand()
    np.testing.assert_allclose(lift(people, depth_m, CAMERA)[..., 2], 3, atol=1e-5)


def test_without_a_skeleton_keypoints_may_be_anywhere():
    keypoints = np.array([[[20, 30], [600, 40], [300, 340]]], np.float32)
    people = People(keypoints, np.ones((1, 3), np.float32), np.ones(1, np.float32))
    points = lift(people, np.full(SIZE[::-1], 7.0, np.float32), CAMERA)
    np.testing.assert_allclose(points, 7 * CAMERA.rays(keypoints), rtol=1e-5)


def test_distortion_is_undone():
    people, depth_m = stand()
    bent = CameraModel(SIZE, CAMERA.k, [-0.3, 0.1, 0, 0, 0])
    straight, found = (lift(people, depth_m, camera) for camera in (CAMERA, bent))
    knee = COCO_17.index("left_ankle")
    expected = bent.rays(people.keypoints[0, knee]) * 3
    np.testing.assert_allclose(found[0, knee], expected, atol=1e-5)
    assert abs(found[0, knee] - straight[0, knee]).max() > 0.01


def test_rotation_leads_to_the_frame_of_the_camera():
    people, depth_m = stand()
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = lift(people, depth_m, CameraModel(SIZE, CAMERA.k, rotation=quarter), COCO_17)
    np.testing.assert_allclose(turned, lift(people, depth_m, CAMERA, COCO_17) @ quarter.T, atol=1e-5)


def test_transform_to_another_frame():
    people, depth_m = stand()
    result = Lifter(COCO_17)(people, np.where(depth_m > 5, 0, depth_m), CAMERA)
    keypoints = result.keypoints_m.copy()
    keypoints[0, 2] = np.nan
    to_base = np.array([[0.0, 0, 1, 0.1], [-1, 0, 0, 0], [0, -1, 0, 1.2], [0, 0, 0, 1]])
    moved = transform_points(keypoints, to_base)
    x, y, z = np.moveaxis(keypoints, 2, 0)
    np.testing.assert_allclose(moved, np.stack([z + 0.1, -x, 1.2 - y], axis=2), atol=1e-5)
    assert np.isnan(moved[0, 2]).all() and moved.dtype == np.float32
    np.testing.assert_allclose(result.transform(to_base).positions_m, transform_points(result.positions_m, to_base))


@pytest.mark.parametrize("matrix", [np.eye(3), np.full((4, 4), np.nan), np.ones((4, 4))])
def test_other_matrices_are_refused(matrix):
    with pytest.raises(ValueError, match=r"^matrix: expected 4 x 4 finite values"):
        transform_points(np.zeros(3), matrix)


# Interface -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth_m", "error"),
    [
        (np.zeros((360, 640), np.uint16), r"depth: expected \(H, W\) floats in metres, got \(360, 640\) uint16"),
        (np.zeros((360, 640, 1), np.float32), "depth: expected"),
        (np.zeros((0, 640), np.float32), "depth: expected"),
        (np.zeros((480, 640), np.float32), "aspect ratio of 640 x 360, got 640 x 480; use an image that is registered"),
    ],
)
def test_other_depth_images_are_refused(depth_m, error):
    with pytest.raises(ValueError, match=error):
        Lifter(COCO_17)(stand()[0], depth_m, CAMERA)


def test_depth_images_of_doubles_and_of_other_layouts():
    people, depth_m = stand()
    expected = lift(people, depth_m, CAMERA, COCO_17)
    for each in (depth_m.astype(np.float64), np.asfortranarray(depth_m), np.repeat(depth_m, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(lift(people, each, CAMERA, COCO_17), expected)


def test_people_of_another_skeleton_are_refused():
    with pytest.raises(ValueError, match="people: expected 18 keypoints, got 17"):
        Lifter(OPENPOSE_18)(*stand(), CAMERA)


@pytest.mark.parametrize("skeleton", [MPII_16, Skeleton("tail", ("tip", "left_wrist"), ((0, 1),))])
def test_other_skeletons(skeleton):
    people, depth_m = stand(skeleton=MPII_16)
    keep = slice(0, len(skeleton))
    some = People(people.keypoints[:, keep], people.scores[:, keep], people.person_scores)
    assert np.isfinite(lift(some, depth_m, CAMERA, skeleton)).all()


def test_inputs_are_not_changed_and_threads_do_not_disturb_each_other():
    lifter, (people, depth_m) = Lifter(COCO_17), stand()
    before, expected, found = depth_m.copy(), lifter(people, depth_m, CAMERA).keypoints_m, []
    work = [threading.Thread(target=lambda: found.append(lifter(people, depth_m, CAMERA))) for _ in range(8)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join(120)
    assert len(found) == 8
    for result in found:
        np.testing.assert_array_equal(result.keypoints_m, expected)
    np.testing.assert_array_equal(depth_m, before)


def test_settings_limit_the_distance():
    people, depth_m = stand()
    assert np.isnan(Lifter(COCO_17, DepthConfig(max_m=2.5))(people, depth_m, CAMERA).keypoints_m).all()
    assert np.isnan(Lifter(COCO_17, DepthConfig(min_m=3.5))(people, depth_m, CAMERA).keypoints_m).all()
    with pytest.raises(ValueError, match=r"DepthConfig\.min_m: expected less than max_m, got 3\.0 and 2\.0"):
        DepthConfig(min_m=3.0, max_m=2.0)
