"""Test the One-Euro filter: less jitter at rest, little lag in motion, gaps, stamps and scores."""

from __future__ import annotations

import numpy as np
import pytest

from pose_ros.config import SmoothingConfig
from pose_ros.people import People
from pose_ros.skeleton import COCO_17
from pose_ros.tracking.smoothing import Smoother, smooth_people

BODY = COCO_17.standing * 200 + (300.0, 100.0)
ONE = np.array([7])
SURE = np.full((1, 17), 0.8)


def run(offsets: np.ndarray, rate_hz: float = 30, config: SmoothingConfig | None = None) -> np.ndarray:
    """Smooth a body that is moved by offsets (T, K, 2). Return the smoothed offsets."""
    smoother = Smoother(17, config)
    return np.array(
        [smoother.smooth(ONE, BODY[None] + o, SURE, 5 + i / rate_hz)[0] - BODY for i, o in enumerate(offsets)]
    )


def test_a_resting_person_trembles_less() -> None:
    noise = np.random.default_rng(0).normal(0, 2, (300, 17, 2))
    smoothed = run(noise)[30:]
    assert smoothed.std() < 0.4 * noise.std()
    assert np.diff(smoothed, axis=0).std() < 0.2 * np.diff(noise, axis=0).std()


@pytest.mark.parametrize("rate_hz", [10, 30])
def test_a_moving_person_hardly_lags(rate_hz: float) -> None:
    """A person who walks at 0.8 heights per second lags by less than 1 / 30 of the height."""
    path = 160 * np.arange(90)[:, None, None] / rate_hz * np.ones((1, 17, 2)) * (1, 0)
    assert np.abs(run(path, rate_hz) - path)[30:].max() < 200 / 30


def test_the_smoothing_does_not_depend_on_the_size_of_the_person() -> None:
    offsets = np.random.default_rng(1).normal(0, 2, (50, 17, 2))
    large, small = Smoother(17), Smoother(17)
    for i, o in enumerate(offsets):
        a = large.smooth(ONE, (BODY + o)[None], SURE, 5 + i / 10)
        b = small.smooth(ONE, (BODY + o)[None] / 10, SURE, 5 + i / 10)
        assert np.allclose(a, b * 10, rtol=1e-5)


def test_after_a_gap_the_filter_starts_again() -> None:
    smoother = Smoother(17, SmoothingConfig(gap_s=0.5))
    smoother.smooth(ONE, BODY[None], SURE, 5.0)
    assert np.abs(smoother.smooth(ONE, BODY[None] + 10, SURE, 5.4) - BODY - 10).min() > 0.1
    assert np.allclose(smoother.smooth(ONE, BODY[None] + 50, SURE, 6.0), BODY + 50)
    assert np.allclose(smoother.smooth(ONE, BODY[None] + 90, SURE, 2.0), BODY + 90)  # the clock went back


def test_a_hidden_keypoint_starts_again_alone() -> None:
    smoother, hidden = Smoother(17), SURE.copy()
    hidden[0, 9] = 0
    for i in range(8):
        smoother.smooth(ONE, BODY[None], SURE if i == 0 else hidden, 5 + i / 10)
    result = smoother.smooth(ONE, BODY[None] + 20, SURE, 5.8)[0] - BODY
    assert np.allclose(result[9], 20) and (np.delete(result, 9, axis=0) < 19.9).all()


def test_a_keypoint_of_a_low_score_moves_the_result_less() -> None:
    def step(score: float) -> float:
        smoother = Smoother(17)
        smoother.smooth(ONE, BODY[None], SURE, 5.0)
        return float((smoother.smooth(ONE, BODY[None] + 10, SURE * 0 + score, 5.1) - BODY).mean())

    assert step(0.1) < 0.6 * step(0.8)
    assert step(1.0) == step(0.8)


def test_people_without_an_id_and_absent_keypoints_stay_unchanged() -> None:
    smoother, scores = Smoother(17), SURE.copy()
    scores[0, 3] = 0
    people = People(np.where(scores[..., None] > 0, BODY[None], 0), scores, np.ones(1), np.array([-1]))
    for stamp_s in (1.0, 1.1):
        result = smooth_people(smoother, people, stamp_s)
        assert np.array_equal(result.keypoints, people.keypoints)
    tracked = People(people.keypoints + 4 * people.visible[..., None], scores, np.ones(1), np.array([3]))
    smooth_people(smoother, people.__class__(people.keypoints, scores, np.ones(1), np.array([3])), 1.2)
    result = smooth_people(smoother, tracked, 1.25)
    assert np.array_equal(result.keypoints[0, 3], (0, 0)) and np.array_equal(result.raw_keypoints, tracked.keypoints)
    assert (result.keypoints[0, 4] < tracked.keypoints[0, 4]).all()


def test_each_person_has_a_filter_and_old_people_are_forgotten() -> None:
    smoother = Smoother(17)
    for i in range(1000):
        smoother.smooth(np.array([i, i + 1]), np.stack([BODY, BODY + 9]), np.full((2, 17), 0.5), i / 5)
    assert len(smoother._ids) < 10


def test_points_in_metres_are_smoothed_and_unknown_ones_stay_unknown() -> None:
    smoother, random = Smoother(17, dimensions=3), np.random.default_rng(0)
    body = np.concatenate([COCO_17.standing * 1.7, np.full((17, 1), 4.0)], axis=1)
    noisy = body + random.normal(0, 0.02, (100, 17, 3))
    noisy[50, 2] = np.nan
    smoothed = np.array([smoother.smooth(ONE, points[None], SURE, i / 30)[0] for i, points in enumerate(noisy)])
    assert np.isnan(smoothed[50, 2]).all() and np.isnan(smoothed).sum() == 3
    assert np.nanstd(smoothed[20:] - body) < 0.4 * 0.02


def test_equal_stamps_do_not_divide_by_zero() -> None:
    smoother = Smoother(17)
    smoother.smooth(ONE, BODY[None], SURE, 5.0)
    assert np.allclose(smoother.smooth(ONE, BODY[None] + 5, SURE, 5.0), BODY)
