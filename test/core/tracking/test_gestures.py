"""Test gestures and postures on synthetic people, in the image and in space, and their unknown values."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scene_gestures as scene
from scene_gestures import Actor, Noise

from pose_ros.skeleton import SKELETONS, Skeleton
from pose_ros.tracking.gesture_memory import MAX_PEOPLE, Fall, Hold, PerPerson, Waving
from pose_ros.tracking.gestures import (
    Posture,
    approach_speed_mps,
    distance_m,
    facing_angle,
    has_raised_hand,
    is_hand_raised,
    is_pointing,
    pointing_ray,
    posture,
)
from pose_ros.tracking.named_points import head, middle, name_points, torso_length

EXACT = Noise(0, 0, 0)
LYING_ACROSS = partial(scene.lie, across=True)


def actor(seed: int, noise: Noise = EXACT) -> Actor:
    return Actor(np.random.default_rng(seed), noise)


def both(seed: int, make: Callable[[Actor], Any]) -> tuple[Any, Any]:
    one = actor(seed)
    return one.see(make(one))


# One image ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_raised_hand(seed: int) -> None:
    for raised, lowered in zip(both(seed, scene.raise_hand), both(seed, scene.lower_hands), strict=True):
        assert has_raised_hand(raised) is True and has_raised_hand(lowered) is False


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda skeleton: skeleton.name)
def test_every_skeleton_by_names(skeleton: Skeleton) -> None:
    """A standing person who faces the camera, with the left hand up."""
    xy = skeleton.standing * 400 + np.array([300, 50])
    xy[skeleton.index("left_wrist")] = (360, 40)
    xy[skeleton.index("left_elbow")] = (360, 90)
    points = name_points(skeleton.keypoint_names, xy)
    assert is_hand_raised(points, "left") is True and is_hand_raised(points, "right") is False
    assert posture(points) is Posture.STANDING
    assert torso_length(points) == pytest.approx(124, abs=10) and head(points) is not None
    angle = facing_angle(points)
    assert abs(angle) < 0.7 if "nose" in points else math.isnan(angle)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda one: one.move()(0.4), Posture.STANDING),
        (scene.bend_down, Posture.STANDING),
        (scene.sit, Posture.SITTING),
        (LYING_ACROSS, Posture.LYING),
    ],
    ids=["move", "bend_down", "sit", "lie"],
)
def test_postures(seed: int, make: Callable[[Actor], Any], expected: Posture) -> None:
    image, space = both(seed, make)
    assert posture(space) is expected
    assert posture(image) in (expected, None) and (seed or posture(image) is expected)


def test_a_person_who_lies_towards_the_camera_does_not_sit_or_stand_in_space() -> None:
    assert all(posture(both(seed, scene.lie)[1]) is Posture.LYING for seed in range(20))


@pytest.mark.parametrize("degrees", range(-170, 181, 35))
def test_the_facing_angle(degrees: int) -> None:
    """A person on the optical axis of a level camera. Heading pi faces it, and less is to the right of the image."""
    one = actor(3)
    one.tilt, one.place = 0.0, np.array([0.0, 4.0])
    image, space = one.see(one.stand(math.pi - math.radians(degrees)))
    assert math.degrees(facing_angle(space)) == pytest.approx(degrees, abs=1)
    assert math.degrees(facing_angle(image)) == pytest.approx(degrees, abs=20)


def test_up_is_a_parameter() -> None:
    """The frame of a robot: x forward, y left, z up."""
    one = actor(4)
    one.tilt = 0.0
    raised = {name: np.array([z, -x, -y]) for name, (x, y, z) in one.see(scene.raise_hand(one))[1].items()}
    assert has_raised_hand(raised, up=(0, 0, 2)) is True and posture(raised, up=(0, 0, 2)) is Posture.STANDING
    assert facing_angle(raised, up=(0, 0, 1)) == pytest.approx(facing_angle(both(4, scene.raise_hand)[1]), abs=0.1)
    with pytest.raises(ValueError, match="up: expected a direction of 3 coordinates, got"):
        posture(raised, up=(0, 1))
    with pytest.raises(ValueError, match="up: expected a direction of 3 coordinates, got"):
        posture(raised, up=(0, 0, 0))


@pytest.mark.parametrize("seed", range(10))
def test_a_pointing_arm_and_its_ray(seed: int) -> None:
    image, space = both(seed, scene.point_somewhere)
    assert is_pointing(space, "right") is True and is_pointing(space, "left") is False
    ray = pointing_ray(space, "right")
    assert ray is not None and np.linalg.norm(ray.direction) == pytest.approx(1)
    along = (space["right_wrist"] - ray.origin) @ ray.direction
    assert np.allclose(ray.origin + along * ray.direction, space["right_wrist"], atol=1e-6)
    assert pointing_ray(space, "left") is None
    assert is_pointing(image, "right") is None and pointing_ray(image, "right") is None
    assert is_pointing(both(seed, scene.bend_arms)[1], "right") is False


def test_what_is_not_seen_is_unknown() -> None:
    image, space = both(5, scene.point_somewhere)
    for points in (image, space):

        def without(*names: str, points: Any = points) -> dict[str, Any]:
            return {name: point for name, point in points.items() if name.partition("_")[2] not in names}

        assert is_hand_raised(without("wrist"), "right") is None and has_raised_hand(without("wrist")) is None
        assert posture(without("knee")) is None and posture(without("hip")) is None
        assert math.isnan(facing_angle(without("shoulder")))
        assert is_pointing(without("elbow"), "right") is None
        assert middle(without("hip"), "hip") is None
    assert posture({}) is None and has_raised_hand({}) is None and head({}) is None and torso_length({}) is None
    assert math.isnan(facing_angle({})) and pointing_ray({}, "left") is None


def test_one_raised_hand_is_enough_and_one_unknown_hand_is_unknown() -> None:
    points = dict(both(1, scene.lower_hands)[0])
    del points["left_wrist"]
    assert has_raised_hand(points) is None
    points["right_wrist"] = points["right_shoulder"] - (0, 200)
    assert has_raised_hand(points) is True


def test_keypoints_without_place_or_score_are_unknown() -> None:
    points = name_points(["a", "b", "c", "d"], [[1, 2], [math.nan, 2], [3, 4], [5, 6]], [0.5, 0.9, 0.0, 0.01])
    assert list(points) == ["a"]
    assert list(name_points(["a", "b"], [[1, 2, math.nan], [0, 0, 1]])) == ["b"]


def test_all_points_at_one_place_are_no_error() -> None:
    names = SKELETONS["coco_17"].keypoint_names
    for size in (2, 3):
        points = name_points(names, np.zeros((17, size)))
        assert posture(points) is None and not has_raised_hand(points) and not is_pointing(points, "left")
        assert math.isnan(facing_angle(points)) and pointing_ray(points, "left") is None


def test_distance_and_approach_speed() -> None:
    assert distance_m((0, 3, 4)) == 5 and math.isnan(distance_m((0, math.nan, 4)))
    assert approach_speed_mps((0, 0, 4), (1, 0, -0.5)) == 0.5
    assert approach_speed_mps((0, 0, 4), (0, 0, 2)) == -2
    assert math.isnan(approach_speed_mps((0, 0, 4), (math.nan, 0, 0)))
    assert math.isnan(approach_speed_mps((0, 0, 0), (0, 0, 1)))


# Over time ----------------------------------------------------------------------------------------------------------


def hold(*answers: bool | None) -> list[bool | None]:
    held = Hold(on_s=0.2, off_s=0.4)
    return [held.update(answer, 5 + i / 10) for i, answer in enumerate(answers)]


def test_an_answer_is_held_over_wrong_and_unknown_images() -> None:
    yes, no = True, False
    assert hold(yes, yes, yes) == [None, None, yes]
    assert hold(yes, yes, yes, no, no, yes, None, None, yes)[3:] == [yes] * 6
    assert hold(yes, None, None, yes) == [None, None, None, yes]
    assert hold(yes, yes, yes, no, no, no, no, no)[3:] == [yes] * 4 + [no]
    assert hold(yes, yes, yes, *[None] * 11)[3:] == [yes] * 10 + [None]


def test_an_answer_is_not_held_over_a_gap_or_a_clock_that_goes_back() -> None:
    held = Hold(0.1, 0.4)
    answers = [held.update(True, stamp) for stamp in (5.0, 5.1, 7.0, 7.1, 3.0, 3.1)]
    assert answers == [None, True, None, True, None, True]


def test_an_answer_is_held_at_a_low_rate_and_without_a_time() -> None:
    held = Hold(on_s=0.2, off_s=0.0)
    assert [held.update(answer, i / 3) for i, answer in enumerate([True, True, False])] == [None, True, False]


def wave_answers(pose: Callable[[float], Any], one: Actor, rate_hz: float = 10) -> list[bool | None]:
    waving = Waving("right")
    return [waving.update(one.see(pose(i / rate_hz))[0], 5 + i / rate_hz) for i in range(int(3 * rate_hz))]


@pytest.mark.parametrize("seed", range(10))
def test_waving(seed: int) -> None:
    one = actor(seed, Noise(0.01, 0, 0.1))
    answers = wave_answers(scene.wave(one), one)
    assert answers[0] is None and answers[-1] is True
    assert wave_answers(scene.hold_still(one), one)[-1] is False


def test_waving_needs_the_arm() -> None:
    waving = Waving("left")
    assert [waving.update({}, i / 10) for i in range(40)] == [None] * 40


def fall_answers(pose: Callable[[float], Any], one: Actor) -> list[bool | None]:
    fall = Fall()
    return [fall.update(posture(one.see(pose(i / 10))[1]), 5 + i / 10) for i in range(50)]


@pytest.mark.parametrize("seed", range(5))
def test_a_fall(seed: int) -> None:
    one = actor(seed, Noise(0.015, 0.03, 0.1))
    answers = fall_answers(scene.fall(one), one)
    assert answers[-1] is True and True not in answers[:20]
    for make in (scene.sit_down, scene.stoop, lambda one: one.move()):
        assert True not in fall_answers(make(one), one)


def test_a_fallen_person_rises() -> None:
    fall, stand, lie = Fall(), [Posture.STANDING] * 15, [Posture.LYING] * 15
    answers = [fall.update(each, i / 10) for i, each in enumerate(stand + lie + stand)]
    assert answers[14] is False and answers[29] is True and answers[44] is False
    assert [fall.update(each, 9 + i / 10) for i, each in enumerate(lie)][-1] is False  # it lay down unseen


def test_memories_are_kept_by_id_and_forgotten() -> None:
    memories: PerPerson[list[int]] = PerPerson(list, forget_s=1.0)
    memories.get(7, 5.0).append(1)
    assert memories.get(7, 5.9) == [1] and memories.get(8, 5.9) == []
    assert memories.get(7, 7.0) == [] and len(memories) == 1
    memories.get(-1, 7.0).append(1)
    assert memories.get(-1, 7.0) == [] and len(memories) == 1
    for i in range(MAX_PEOPLE + 50):
        memories.get(i, 7.0)
    assert len(memories) == MAX_PEOPLE
    assert memories.get(7, 2.0) == []  # the clock went back
