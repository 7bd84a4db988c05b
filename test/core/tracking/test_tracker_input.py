"""Test the tracker and the filters with people that no detector should report: the rules hold for all of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose_ros.config import SmoothingConfig, TrackingConfig
from pose_ros.people import People, TrackState
from pose_ros.skeleton import COCO_17
from pose_ros.tracking.motion import COVARIANCE, POSITION_VAR, VELOCITY_VAR
from pose_ros.tracking.stage import TrackingStage

IMAGE = np.zeros((8, 8, 3), np.uint8)
SIZES = (0.0, 1e-30, 1e-3, 1.0, 200.0, 1e5, 1e18, 1e30, 3e38)
STEPS_S = (0.0, 1e-9, 1 / 30, 0.1, 0.7, 2.0, 59.0, 1e6, 1e12, -0.1, -0.9, -5.0, -1e9)


def random_people(random: np.random.Generator, count: int) -> People:
    """Make people of any size at any place. Some are copies of each other, some have few or no keypoints."""
    size = random.choice(SIZES, (count, 1, 1))
    place = random.choice(SIZES, (count, 1, 2)) * random.uniform(-1, 1, (count, 1, 2))
    keypoints = COCO_17.standing * size * random.uniform(0.5, 1.5, (count, 17, 1)) + place
    keypoints = np.clip(keypoints, -3e38, 3e38)
    scores = random.choice([0.0, 1e-30, 0.1, 0.5, 1.0], (count, 17)) * (random.random((count, 1)) > 0.1)
    if count > 1:
        source = random.integers(0, count, count // 3)
        keypoints[: len(source)], scores[: len(source)] = keypoints[source], scores[source]
    ids, masks = random.integers(-5, 3, count), random.random((count, 2, 2)) > 0.5
    keypoints = np.where(scores[..., None] > 0, keypoints, 0)
    return People(keypoints, scores, random.choice([0.0, 0.1, 0.3, 1.0], count), ids, masks)


def check_rules(before: People, after: People, is_bridged: bool, used: set[int]) -> None:
    """Check what holds for every image. ``used`` collects the ids that have been used."""
    count = len(before)
    assert len(after) >= count if is_bridged else len(after) == count
    raw = after.keypoints if after.raw_keypoints is None else after.raw_keypoints
    assert np.array_equal(raw[:count], before.keypoints) and np.array_equal(after.scores[:count], before.scores)
    assert after.masks is None if before.masks is None else np.array_equal(after.masks[:count], before.masks)
    assert np.isfinite(after.keypoints).all()
    ids = after.ids[after.ids >= 0]
    assert len(set(ids.tolist())) == len(ids)
    new = set(ids.tolist()) - used
    assert not new or min(new) > max(used, default=-1)
    used |= new
    assert ((after.ids >= 0) == np.isin(after.states, (TrackState.TRACKED, TrackState.LOST))).all()
    assert (after.states[:count] != TrackState.LOST).all() and (after.states[count:] == TrackState.LOST).all()
    assert after.velocities is not None and not np.isinf(after.velocities).any()
    assert (np.isfinite(after.velocities).all(axis=1) == (after.ids >= 0)).all()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    hits=st.integers(1, 3),
    lost_s=st.sampled_from([0.0, 1.0, 60.0]),
    bridge_s=st.sampled_from([0.0, 1.0, 60.0]),
    smoothing=st.booleans(),
)
def test_any_people_keep_the_rules(seed: int, hits: int, lost_s: float, bridge_s: float, smoothing: bool) -> None:
    random = np.random.default_rng(seed)
    config = TrackingConfig(hits=hits, lost_s=lost_s, bridge_s=bridge_s)
    stage, used, stamp_s = TrackingStage(COCO_17, config, SmoothingConfig(enabled=smoothing)), set[int](), 100.0
    people = random_people(random, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(12):
            if random.random() < 0.6:  # otherwise the same people again, so that tracks live on
                people = random_people(random, int(random.choice([0, 1, 3, 12])))
            stamp_s += random.choice(STEPS_S) if random.random() < 0.5 else 0.1
            result = stage.smooth(stage.track(people, IMAGE, stamp_s), stamp_s)
            check_rules(people, result, bridge_s > 0, used)
            check_states(stage)


def check_states(stage: TrackingStage) -> None:
    """Check that the covariances of all tracks are positive semidefinite."""
    states = stage._tracker._tracks.states
    position, covariance, velocity = states[:, [POSITION_VAR, COVARIANCE, VELOCITY_VAR]].T
    assert np.isfinite(states).all() and (position > 0).all() and (velocity >= 0).all()
    assert (covariance**2 <= position * velocity * (1 + 1e-6)).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_people_who_are_often_hidden_keep_the_rules(seed: int) -> None:
    """A walking person at a low rate: seen a few times, hidden for seconds, seen again."""
    random, used, stamp_s = np.random.default_rng(seed), set[int](), 100.0
    stage = TrackingStage(COCO_17, TrackingConfig(hits=1, lost_s=60.0), SmoothingConfig())
    for _ in range(30):
        stamp_s += random.choice([0.03, 0.1, 0.5, 2.0, 5.0])
        keypoints = COCO_17.standing[None] * 80 * random.uniform(0.5, 2) + random.normal(400, 30, (1, 1, 2))
        people = People(keypoints, np.full((1, 17), 0.9), np.ones(1))
        people = people[:0] if random.random() < 0.4 else people
        check_rules(people, stage.track(people, IMAGE, stamp_s), False, used)
        check_states(stage)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_images_of_a_moving_camera_keep_the_rules(seed: int) -> None:
    random, used = np.random.default_rng(seed), set[int]()
    stage = TrackingStage(COCO_17, TrackingConfig(hits=1, camera_motion=True), SmoothingConfig())
    shape = [(1, 3000), (3000, 1), (2, 2), (200, 300), (200, 300, 3), (90, 1500, 3)][random.integers(6)]
    noise = random.integers(0, 255, shape, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(4):
            people = random_people(random, int(random.choice([0, 1, 8])))
            image = noise if random.random() < 0.5 else np.roll(noise, random.integers(20), axis=1)
            check_rules(people, stage.track(people, np.ascontiguousarray(image), 5 + i / 10), False, used)
            check_states(stage)


def test_a_thousand_people_keep_the_rules() -> None:
    random, used = np.random.default_rng(1), set[int]()
    stage = TrackingStage(COCO_17, TrackingConfig(hits=1, lost_s=60.0), SmoothingConfig(enabled=True))
    for i in range(3):
        people = random_people(random, 1000)
        check_rules(people, stage.smooth(stage.track(people, IMAGE, 5 + i / 10), 5 + i / 10), False, used)


def test_lost_people_do_not_pile_up() -> None:
    """Other people in each image, for longer than ``lost_s``: only those of the last seconds are remembered."""
    stage = TrackingStage(COCO_17, TrackingConfig(hits=1, lost_s=1.0), SmoothingConfig())
    for i in range(200):
        keypoints = COCO_17.standing[None] * 50 + np.array([1000.0 * i, 0.0])
        stage.track(People(keypoints, np.full((1, 17), 0.9), np.ones(1)), IMAGE, 5 + i / 10)
    assert len(stage._tracker._tracks) <= 12


@pytest.mark.parametrize("stamp_s", [np.nan, np.inf, -np.inf])
def test_a_stamp_that_is_no_time_is_an_error(stamp_s: float) -> None:
    stage = TrackingStage(COCO_17, TrackingConfig(), SmoothingConfig())
    with pytest.raises(ValueError, match="stamp_s: expected a finite time"):
        stage.track(random_people(np.random.default_rng(0), 1), IMAGE, stamp_s)
