"""Synthetic scenes: pixels, points in space, depth and masks that agree with each other, at any time."""

import numpy as np
import pytest

from pose_ros.datasets.sample import LABELLED, UNCERTAIN, UNKNOWN
from pose_ros.datasets.synthetic.body import Part
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


def at(pixels, keypoints_xy):
    cols, rows = np.rint(keypoints_xy).astype(int).T
    return pixels[rows, cols]


def test_projections_agree_with_points_in_space(scenes):
    for view in scenes:
        homogeneous = view.keypoints_3d_m @ view.camera.matrix.T
        np.testing.assert_allclose(homogeneous[..., :2] / homogeneous[..., 2:], view.keypoints_px, atol=1e-2)


def test_masks_hold_the_visible_keypoints(scenes):
    seen = 0
    for view in scenes:
        masks = view.masks
        assert masks.shape == (4, 240, 320)
        for n in range(4):
            xy = view.keypoints_px[n, view.visible[n]]
            assert at(masks[n], xy).all()
            seen += len(xy)
    assert seen > 150


def test_depth_at_a_visible_keypoint_is_near_it(scenes):
    for view in scenes:
        ahead = view.keypoints_3d_m[view.visible][:, 2] - at(view.depth_m, view.keypoints_px[view.visible])
        assert ahead.max() < 0.2 and ahead.min() > -0.15  # limbs are that thick; pixels beside a thin one lie behind


def test_depth_of_people_and_room(scenes):
    for view in scenes:
        assert np.isfinite(view.depth_m).all() and view.depth_m.min() > 0.1 and view.depth_m.max() <= 11
        for n in range(4):
            if view.masks[n].sum() > 50:
                z = view.keypoints_3d_m[n, :, 2]
                assert z.min() - 0.3 < np.median(view.depth_m[view.masks[n]]) < z.max() + 0.3


def test_what_lies_behind_is_not_visible():
    for seed in range(20):
        view = scene(seed, 6, SIZE)
        hidden = ~view.visible & ~view.hidden_by_self
        inside = ((view.keypoints_px >= 0) & (view.keypoints_px <= np.array(SIZE) - 1)).all(axis=2)
        for n, k in np.argwhere(hidden & inside):
            owner = at(view.people_map, view.keypoints_px[n, k][None])[0]
            if owner not in (0, n + 1):
                assert at(view.depth_m, view.keypoints_px[n, k][None])[0] < view.keypoints_3d_m[n, k, 2] + 0.1
                return
    pytest.fail("in twenty crowded scenes nobody hid anybody")


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
    assert speed.max() < 8  # m/s; nobody jumps
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


def test_walkers_face_where_they_go():
    rng, walkers = np.random.default_rng(0), 0
    while walkers < 20:
        motion = random_motion(rng, (0.0, 4.0))
        if motion.radius_m == 0:
            continue
        (before, _), (now, heading), (after, _) = (motion.place(time) for time in (0.999, 1.0, 1.001))
        velocity = (after - before) / 0.002
        np.testing.assert_allclose(velocity / abs(motion.speed_mps), [np.sin(heading), np.cos(heading)], atol=1e-3)
        assert np.linalg.norm(now - motion.centre_xz) == pytest.approx(motion.radius_m)
        walkers += 1


def facing(view, skeleton):
    """Of each person, the share of the shoulders' line that runs to the right of the image, left shoulder first."""
    left, right = (view.keypoints_3d_m[:, skeleton.index(f"{side}_shoulder")] for side in ("left", "right"))
    return (left - right)[:, 0] / np.linalg.norm(left - right, axis=1)


def test_faces_are_seen_from_the_front_and_not_from_behind():
    eyes = {"front": [], "back": []}
    index = [COCO_17.index("left_eye"), COCO_17.index("right_eye")]
    for seed in range(24):
        view = scene(seed, 2, SIZE, skeleton=COCO_17)
        inside = (view.visible | view.hidden_by_self)[:, index].all(axis=1)
        for n, turned in enumerate(facing(view, COCO_17)):
            if inside[n] and abs(turned) > 0.9:  # the left shoulder is on the right of the image: facing us
                eyes["front" if turned > 0 else "back"].append(view.visible[n, index].mean())
    assert len(eyes["front"]) > 3 and np.mean(eyes["front"]) > 0.8
    assert len(eyes["back"]) > 3 and np.mean(eyes["back"]) < 0.2


def test_feet_stand_on_the_floor():
    view = scene(1, 5, SIZE, skeleton=BODY_25)
    lowest = view.keypoints_3d_m[:, [BODY_25.index(f"{side}_heel") for side in ("left", "right")], 1].max(axis=1)
    toes = view.keypoints_3d_m[:, [BODY_25.index(f"{side}_big_toe") for side in ("left", "right")], 1].max(axis=1)
    np.testing.assert_allclose(np.maximum(lowest, toes), view.camera.height_m - 0.04, atol=1e-3)


def test_samples_say_what_is_known():
    uncertain = 0
    for seed in range(8):
        view = scene(seed, 5, SIZE)
        sample = view.sample()
        seen = view.visible.any(axis=1)
        assert len(sample.boxes) == seen.sum() and sample.people_map.max() <= seen.sum()
        assert (sample.states[view.visible[seen]] == LABELLED).all()
        uncertain += int((sample.states == UNCERTAIN).sum())
        inside = sample.keypoints[sample.states != 0]
        assert ((inside > -0.5) & (inside < np.array(SIZE) - 0.5)).all()
    assert uncertain > 0


def test_keypoints_no_figure_has_are_unknown():
    from pose_ros.skeleton import Skeleton

    skeleton = Skeleton("tail", ("nose", "tail_tip"), ((0, 1),))
    for seed in range(4):
        sample = scene(seed, 3, SIZE, skeleton=skeleton).sample()
        assert (sample.states[:, 1] == UNKNOWN).all()


def test_any_picture_can_be_the_background():
    background = np.full((50, 90, 3), (1, 2, 250), np.uint8)
    view = scene(2, 1, SIZE, background=background)
    beyond = (view.people_map == 0) & (view.depth_m == view.depth_m.max())
    assert np.median(view.image_bgr[beyond], axis=0).tolist() == [1, 2, 250]


@pytest.mark.parametrize("people", [0, 1, 9])
def test_any_number_of_people(people):
    view = scene(0, people, (64, 48))
    assert view.keypoints_px.shape == (people, len(OPENPOSE_18), 2) and view.masks.shape == (people, 48, 64)
    assert len(view.sample().boxes) <= people


def test_too_many_people_are_refused():
    with pytest.raises(ValueError, match="people: expected 0 to 255, got 300"):
        scene(0, 300)


def test_scenes_as_a_data_set():
    pictures = SyntheticImages(COCO_17, 3, (96, 72))
    assert len(pictures) == 3 and pictures[2].size_wh == (96, 72)
    np.testing.assert_array_equal(pictures[1].image_bgr, pictures[1].image_bgr)
    assert not np.array_equal(pictures[0].image_bgr, pictures[1].image_bgr)
    with pytest.raises(IndexError):
        pictures[3]


# --- the renderer


def drawn(start, end, radii, camera):
    part = Part(np.array(start), np.array(end), radii, Paint((200, 200, 200)), np.zeros(3), np.eye(3))
    image, depth = np.zeros((*camera.size_wh[::-1], 3), np.float32), np.full(camera.size_wh[::-1], 50, np.float32)
    return render([part], camera, image, depth, np.array([0, 0, -1.0])), depth, image


def test_a_ball_is_as_large_and_as_near_as_it_should_be():
    camera = VirtualCamera.of((201, 201), 60)
    owner, depth, image = drawn([0, 0, 4], [0, 0, 4], (0.5, 0.5), camera)
    radius_px = camera.focal_px * 0.5 / np.sqrt(16 - 0.25)  # of the cone of rays that touch the ball
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
    ids=["across", "away", "upright", "towards us"],
)
def test_points_of_a_cone_are_at_its_radius(start, end):
    camera, radii = VirtualCamera.of((160, 160), 60), (0.3, 0.15)
    owner, depth, _ = drawn(start, end, radii, camera)
    points = camera.rays()[owner == 0] * depth[owner == 0][:, None]
    axis = np.subtract(end, start)
    place = (points - start) @ axis / (axis @ axis)
    clipped = np.clip(place, 0, 1)
    distance = np.linalg.norm(points - start - clipped[:, None] * axis, axis=1)
    expected = radii[0] + clipped * (radii[1] - radii[0])
    assert len(points) > 100 and distance.max() < 0.3 + 1e-4
    on_side = (place > 0.15) & (place < 0.9)  # off the balls at the ends
    np.testing.assert_allclose(distance[on_side], expected[on_side], atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_gives_colours(pattern):
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (500, 3))
    colours = Paint((10, 20, 30), (200, 210, 220), pattern).at(points)
    assert colours.shape == (500, 3) and colours.min() >= 5 and colours.max() <= 240
    assert (np.ptp(colours, axis=0) > 2).all()


def test_what_is_behind_the_camera_is_not_drawn():
    owner, _, _ = drawn([0, 0, -3], [0, 0, -2], (0.3, 0.3), VirtualCamera.of((40, 40)))
    assert (owner == NOTHING).all()
