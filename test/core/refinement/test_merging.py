"""Test which keypoints of the second network are taken."""

from __future__ import annotations

import numpy as np

from pose_ros.people import People
from pose_ros.refinement.merging import merge_keypoints
from pose_ros.skeleton import COCO_17

SIGMAS = np.array(COCO_17.sigmas)
WRIST = COCO_17.index("left_wrist")
BODY = (COCO_17.standing * 200 + (300, 100)).astype(np.float32)
FIRST, ALL = np.array([0]), np.ones(17, np.float32)


def people_at(*shifts_x: float, score: float = 0.5) -> People:
    keypoints = np.stack([BODY + np.float32((x, 0)) for x in shifts_x])
    return People(keypoints, np.full((len(shifts_x), 17), score), np.full(len(shifts_x), score))


def merge_wrist(people: People, shift_x: float, score: float) -> tuple[float, float]:
    """Return the shift and the score of the left wrist, if the second network moves it and confirms all else."""
    new, scores = people.keypoints[FIRST].copy(), np.full((1, 17), 0.5, np.float32)
    new[0, WRIST] = BODY[WRIST] + np.float32((shift_x, 0))
    scores[0, WRIST] = score
    keypoints, merged, _ = merge_keypoints(people, FIRST, new, scores, SIGMAS)
    return float(keypoints[0, WRIST, 0] - BODY[WRIST, 0]), float(merged[0, WRIST])


def test_a_near_keypoint_is_taken_even_if_it_is_less_sure() -> None:
    assert merge_wrist(people_at(0), 4, 0.3) == (4, np.float32(0.3))


def test_a_far_keypoint_must_be_surer() -> None:
    assert merge_wrist(people_at(0), 25, 0.3)[0] == 0
    assert merge_wrist(people_at(0), 25, 0.9)[0] == 25
    assert merge_wrist(people_at(0), 120, 1.0)[0] == 0


def test_a_missing_keypoint_is_taken_unless_it_is_that_of_another_person() -> None:
    for others, expected in (((), 30.0), ((30.0,), -float(BODY[WRIST, 0]))):
        people = people_at(0, *others)
        scores = people.scores.copy()
        scores[0, WRIST] = 0
        absent = People(np.where(scores[..., None] > 0, people.keypoints, 0), scores, people.person_scores)
        assert merge_wrist(absent, 30, 0.9)[0] == expected


def test_a_keypoint_of_another_person_is_never_taken() -> None:
    assert merge_wrist(people_at(0, 20), 20, 1.0) == (0, 0.5)
    assert merge_wrist(people_at(0, 60), 20, 1.0)[0] == 20


def test_nothing_is_taken_from_another_person_as_a_whole() -> None:
    people = people_at(0)
    keypoints, scores, agreement = merge_keypoints(people, FIRST, BODY[None] + np.float32((90, 0)), ALL[None], SIGMAS)
    np.testing.assert_array_equal(keypoints[0], BODY)
    assert (scores == 0.5).all() and agreement[0] < 0.3
    assert merge_keypoints(people, FIRST, BODY[None], ALL[None], SIGMAS)[2][0] == 1
    assert merge_keypoints(people, FIRST, BODY[None], 0 * ALL[None], SIGMAS)[2][0] == 0
