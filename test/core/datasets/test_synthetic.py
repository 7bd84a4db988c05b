"""Test synthetic scenes: image, 3D keypoints, depth and masks agree with each other at any time."""

import numpy as np
import pytest

from pose_ros.datasets.sample import LABELLED, UNCERTAIN, UNKNOWN
from pose_ros.datasets.synthetic.body import Cone, _align_axes
from pose_ros.datasets.synthetic.motion import random_motion
from pose_ros.datasets.synthetic.paint import PATTERNS, Paint
from pose_ros.datasets.synthetic.render import NOTHING, VirtualCamera, render
from pose_ros.datasets.synthetic.scene import SyntheticImages, scene
from pose_ros.skeleton import BODY_25, COCO_17, OPENPOSE_18

SIZE = (320, 240)
SEEDS = range(6)


@pytest.fixture(scope="module")
def scenes():
    return [scene(seed, 4, SIZE, time_s=0.7 * seed) for seed in SEEDS]


def values_at(pixels, keypoints_xy):
    cols, rows = np.rint(keypoints_xy).astype(int).T
    return pixels[rows, cols]


def test_projections_agree_with_points_in_space(scenes):
    for view in scenes:
        homogeneous = view.keypoints_3d_m @ view.camera.matrix.T
        np.testing.assert_allclose(homogeneous[..., :2] / homogeneous[..., 2:], view.keypoints_px, atol=1e-2)


def test_masks_contain_the_visible_keypoints(scenes):
    seen = 0
    for view in scenes:
        masks = view.masks
        assert masks.shape == (4, 240, 320)
        for n in range(4):
            xy = view.keypoints_px[n, view.visible[n]]
            assert values_at(masks[n], xy).all()
            seen += len(xy)
    assert seen > 150


def test_depth_matches_visible_keypoints(scenes):
    for view in scenes:
        ahead = view.keypoints_3d_m[view.visible][:, 2] - values_at(view.depth_m, view.keypoints_px[view.visible])
        assert ahead.max() < 0.2 and ahead.min() > -0.15  # thickness of limbs, and pixels next to a thin limb


def test_depth_of_people_and_room(scenes):
    for view in scenes:
        assert np.isfinite(view.depth_m).all() and view.depth_m.min() > 0.1 and view.depth_m.max() <= 11
        for n in range(4):
            if view.masks[n].sum() > 50:
                z = view.keypoints_3d_m[n, :, 2]
                assert z.min() - 0.3 < np.median(view.depth_m[view.masks[n]]) < z.max() + 0.3


def test_keypoints_behind_other_people_are_not_visible():
    for seed in range(20):
        view = scene(seed, 6, SIZE)
        hidden = ~view.visible & ~view.hidden_by_self
        inside = ((view.keypoints_px >= 0) & (view.keypoints_px <= np.array(SIZE) - 1)).all(axis=2)
        for n, k in np.argwhere(hidden & inside):
            owner = values_at(view.people_map, view.keypoints_px[n, k][None])[0]
            if owner not in (0, n + 1):
                assert values_at(view.depth_m, view.keypoints_px[n, k][None])[0] < view.keypoints_3d_m[n, k, 2] + 0.1
                return
    pytest.fail("expected a keypoint hidden by another person in twenty crowded scenes, got none")


def test_the_same_seed_gives_the_same_scene():
    first, again, other = scene(5, 3, SIZE, 1.0), scene(5, 3, SIZE, 1.0), scene(6, 3, SIZE, 1.0)
    np.testing.assert_array_equal(first.image_bgr, again.image_bgr)
    np.testing.assert_array_equal(first.keypoints_3d_m, again.keypoints_3d_m)
    assert not np.array_equal(first.image_bgr, other.image_bgr)


@pytest.mark.parametrize("seed", SEEDS)
def test_movement_is_continuous(seed):
    times = np.arange(0, 3, 0.04)
    tracks = np.array([scene(seed, 2, (16, 12), time).keypoints_3d_m for time in times])
    speed = np.linalg.norm(np.diff(tracks, axis=0), axis=-1) / 0.04
    assert speed.max() < 8  # m/s, no jumps
    lengths = np.linalg.norm(tracks[:, :, 8] - tracks[:, :, 9], axis=-1)  # right thigh
    assert np.ptp(lengths, axis=0).max() < 1e-3


def test_people_keep_their_ids_and_clothes():
    first, later = scene(3, 3, SIZE, 0.0), scene(3, 3, SIZE, 0.04)
    assert first.ids.tolist() == later.ids.tolist() == [1, 2, 3]
    for n in range(3):
        both = first.masks[n] & later.masks[n]
        if both.sum() > 200:
            change = np.abs(first.image_bgr[both].astype(int) - later.image_bgr[both]).mean()
            assert change < 25


def test_walkers_face_their_direction():
    rng, walkers = np.random.default_rng(0), 0
    while walkers < 20:
        motion = random_motion(rng, (0.0, 4.0))
        if motion.radius_m == 0:
            continue
        (before, _), (now, heading), (after, _) = (motion.position_at(time) for time in (0.999, 1.0, 1.001))
        velocity = (after - before) / 0.002
        np.testing.assert_allclose(velocity / abs(motion.speed_mps), [np.sin(heading), np.cos(heading)], atol=1e-3)
        assert np.linalg.norm(now - motion.centre_xz) == pytest.approx(motion.radius_m)
        walkers += 1


def facing_x(view, skeleton):
    """Return the x component of the unit vector from the right to the left shoulder of each person."""
    left, right = (view.keypoints_3d_m[:, skeleton.index(f"{side}_shoulder")] for side in ("left", "right"))
    return (left - right)[:, 0] / np.linalg.norm(left - right, axis=1)


def test_eyes_are_visible_from_the_front_only():
    eyes = {"front": [], "back": []}
    index = [COCO_17.index("left_eye"), COCO_17.index("right_eye")]
    for seed in range(24):
        view = scene(seed, 2, SIZE, skeleton=COCO_17)
        inside = (view.visible | view.hidden_by_self)[:, index].all(axis=1)
        for n, direction in enumerate(facing_x(view, COCO_17)):
            if inside[n] and abs(direction) > 0.9:  # the left shoulder is on the right: facing the camera
                eyes["front" if direction > 0 else "back"].append(view.visible[n, index].mean())
    assert len(eyes["front"]) > 3 and np.mean(eyes["front"]) > 0.8
    assert len(eyes["back"]) > 3 and np.mean(eyes["back"]) < 0.2


def test_feet_stand_on_the_floor():
    view = scene(1, 5, SIZE, skeleton=BODY_25)
    lowest = view.keypoints_3d_m[:, [BODY_25.index(f"{side}_heel") for side in ("left", "right")], 1].max(axis=1)
    toes = view.keypoints_3d_m[:, [BODY_25.index(f"{side}_big_toe") for side in ("left", "right")], 1].max(axis=1)
    np.testing.assert_allclose(np.maximum(lowest, toes), view.camera.height_m - 0.04, atol=1e-3)


def test_samples_contain_the_state_of_each_keypoint():
    uncertain = 0
    for seed in range(8):
        view = scene(seed, 5, SIZE)
        sample = view.to_sample()
        seen = view.visible.any(axis=1)
        assert len(sample.boxes) == seen.sum() and sample.people_map.max() <= seen.sum()
        assert (sample.states[view.visible[seen]] == LABELLED).all()
        uncertain += int((sample.states == UNCERTAIN).sum())
        inside = sample.keypoints[sample.states != 0]
        assert ((inside > -0.5) & (inside < np.array(SIZE) - 0.5)).all()
    assert uncertain > 0


def test_keypoints_that_the_body_does_not_have_are_unknown():
    from pose_ros.skeleton import Skeleton

    skeleton = Skeleton("tail", ("nose", "tail_tip"), ((0, 1),))
    for seed in range(4):
        sample = scene(seed, 3, SIZE, skeleton=skeleton).to_sample()
        assert (sample.states[:, 1] == UNKNOWN).all()


def test_any_image_can_be_the_background():
    background = np.full((50, 90, 3), (1, 2, 250), np.uint8)
    view = scene(2, 1, SIZE, background=background)
    beyond = (view.people_map == 0) & (view.depth_m == view.depth_m.max())
    assert np.median(view.image_bgr[beyond], axis=0).tolist() == [1, 2, 250]


@pytest.mark.parametrize("people", [0, 1, 9])
def test_any_number_of_people(people):
    view = scene(0, people, (64, 48))
    assert view.keypoints_px.shape == (people, len(OPENPOSE_18), 2) and view.masks.shape == (people, 48, 64)
    assert len(view.to_sample().boxes) <= people


def test_too_many_people_are_rejected():
    with pytest.raises(ValueError, match="people: expected 0 to 255, got 300"):
        scene(0, 300)


def test_scenes_form_a_data_set():
    images = SyntheticImages(COCO_17, 3, (96, 72))
    assert len(images) == 3 and images[2].size_wh == (96, 72)
    np.testing.assert_array_equal(images[1].image_bgr, images[1].image_bgr)
    assert not np.array_equal(images[0].image_bgr, images[1].image_bgr)
    with pytest.raises(IndexError):
        images[3]


# --- the renderer


def render_cone(start, end, radii, camera):
    cone = Cone(np.array(start), np.array(end), radii, Paint((200, 200, 200)), np.zeros(3), np.eye(3))
    image, depth = np.zeros((*camera.size_wh[::-1], 3), np.float32), np.full(camera.size_wh[::-1], 50, np.float32)
    return render([cone], camera, image, depth, np.array([0, 0, -1.0])), depth, image


def test_a_ball_has_the_right_size_and_depth():
    camera = VirtualCamera.from_view_angle((201, 201), 60)
    owner, depth, image = render_cone([0, 0, 4], [0, 0, 4], (0.5, 0.5), camera)
    radius_px = camera.focal_px * 0.5 / np.sqrt(16 - 0.25)  # of the cone of tangent rays
    assert (owner == 0).sum() == pytest.approx(np.pi * radius_px**2, rel=0.02)
    assert depth[100, 100] == pytest.approx(3.5) and image[100, 100].mean() > image[100, 100 - int(radius_px)].mean()
    assert owner[0, 0] == NOTHING and depth[0, 0] == 50


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ([-0.6, 0.2, 4], [0.5, -0.3, 4.5]),
        ([0, 0, 3], [0.1, 0, 6]),
        ([0.3, 0.8, 3], [-0.2, -0.8, 3]),
        ([0, 0, 6], [0, 0, 3]),
    ],
    ids=["across", "away", "upright", "towards the camera"],
)
def test_points_on_a_cone_have_the_distance_of_its_radius(start, end):
    camera, radii = VirtualCamera.from_view_angle((160, 160), 60), (0.3, 0.15)
    owner, depth, _ = render_cone(start, end, radii, camera)
    points = camera.rays()[owner == 0] * depth[owner == 0][:, None]
    axis = np.subtract(end, start)
    position = (points - start) @ axis / (axis @ axis)
    clipped = np.clip(position, 0, 1)
    distance = np.linalg.norm(points - start - clipped[:, None] * axis, axis=1)
    expected = radii[0] + clipped * (radii[1] - radii[0])
    assert len(points) > 100 and distance.max() < 0.3 + 1e-4
    on_side = (position > 0.15) & (position < 0.9)  # outside the balls at the ends
    np.testing.assert_allclose(distance[on_side], expected[on_side], atol=1e-4)


@pytest.mark.parametrize(
    ("direction", "left"),
    [((0, 0, 2), (0, 1, 0)), ((3, 0, 0), (0, 1, 0)), ((0, 1, 1), (0, 1, -1)), ((0, 2, 0), (1, 0, 0))],
    ids=["upright", "forward", "to the side", "level"],
)
def test_the_axes_of_a_cone_stay_perpendicular(direction, left):
    """A cone from shoulder to shoulder has no left axis of its own. Its pattern starts at the front."""
    axes = _align_axes(np.array(direction, float), np.eye(3))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(axes[1:], [each / np.linalg.norm(each) for each in (left, direction)], atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_gives_colours(pattern):
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (500, 3))
    colours = Paint((10, 20, 30), (200, 210, 220), pattern).colours_at(points)
    assert colours.shape == (500, 3) and colours.min() >= 5 and colours.max() <= 240
    assert (np.ptp(colours, axis=0) > 2).all()


def test_cones_behind_the_camera_are_not_drawn():
    owner, _, _ = render_cone([0, 0, -3], [0, 0, -2], (0.3, 0.3), VirtualCamera.from_view_angle((40, 40)))
    assert (owner == NOTHING).all()
