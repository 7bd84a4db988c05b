"""Test the consensus of several views of one image."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene import crowd

from pose_ros.consensus import Views, consensus, flip_people
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18


def people(count: int = 3, score: float = 0.8) -> People:
    keypoints = crowd(count, (60, 90)) * 8
    shape = keypoints.shape[:2]
    return People(keypoints.astype(np.float32), np.full(shape, score, np.float32), np.full(count, score, np.float32))


def test_equal_views_give_the_same_people() -> None:
    once = people()
    merged = consensus([once, once, once], OPENPOSE_18)
    assert len(merged) == 3
    np.testing.assert_allclose(merged.keypoints, once.keypoints, atol=1e-3)
    np.testing.assert_allclose(merged.scores, once.scores, atol=1e-6)
    np.testing.assert_allclose(merged.person_scores, once.person_scores, atol=1e-6)


def test_a_person_found_by_one_view_scores_its_share() -> None:
    merged = consensus([people(3), people(3)[:2], people(3)[:2], people(3)[:2]], OPENPOSE_18)
    np.testing.assert_allclose(merged.person_scores, [0.8, 0.8, 0.2], atol=1e-6)


def test_a_keypoint_far_from_the_others_is_outvoted() -> None:
    right, wrong = people(1), people(1)
    moved = wrong.keypoints.copy()
    moved[0, 4] += 200
    merged = consensus([right, wrong.with_keypoints(moved), right], OPENPOSE_18)
    np.testing.assert_allclose(merged.keypoints[0, 4], right.keypoints[0, 4], atol=0.1)
    assert merged.scores[0, 4] == pytest.approx(0.8 * 2 / 3, abs=1e-3)
    assert merged.scores[0, 3] == pytest.approx(0.8)


def test_absent_keypoints_stay_absent() -> None:
    scores = np.full((1, 18), 0.5, np.float32)
    scores[0, 7] = 0
    partial = People(np.where(scores[..., None] > 0, people(1).keypoints, 0), scores, np.array([0.5], np.float32))
    merged = consensus([partial, partial], OPENPOSE_18)
    assert merged.scores[0, 7] == 0 and tuple(merged.keypoints[0, 7]) == (0, 0)


@pytest.mark.parametrize("answers", [[], [People.empty(18)], [People.empty(18)] * 3], ids=["none", "one", "three"])
def test_no_people(answers: list[People]) -> None:
    assert len(consensus(answers, OPENPOSE_18)) == 0


@given(st.permutations(range(4)))
def test_the_order_of_views_does_not_matter(order: list[int]) -> None:
    random = np.random.default_rng(1)
    answers = [people(4).with_keypoints(people(4).keypoints + random.normal(0, 2, (4, 18, 2))) for _ in range(4)]
    expected, got = consensus(answers, OPENPOSE_18), consensus([answers[i] for i in order], OPENPOSE_18)
    assert sorted(map(tuple, got.keypoints[:, 0].round(1))) == sorted(map(tuple, expected.keypoints[:, 0].round(1)))


def test_a_mirrored_image_exchanges_left_and_right() -> None:
    once = people(2)
    back = flip_people(flip_people(once, OPENPOSE_18, 720), OPENPOSE_18, 720)
    np.testing.assert_allclose(back.keypoints, once.keypoints, atol=1e-3)
    left, right = OPENPOSE_18.index("left_wrist"), OPENPOSE_18.index("right_wrist")
    np.testing.assert_allclose(
        flip_people(once, OPENPOSE_18, 720).keypoints[:, left, 0], 719 - once.keypoints[:, right, 0], atol=1e-3
    )


class FakeEstimator:
    """Fake estimator. It finds one person at the brightest pixel of the image."""

    skeleton, grouping, model_name = COCO_17, "paf", "scripted"

    def estimate(self, image_bgr: np.ndarray) -> People:
        y, x = np.unravel_index(image_bgr[..., 0].argmax(), image_bgr.shape[:2])
        keypoints = np.tile(np.array([x, y], np.float32), (1, 17, 1))
        keypoints[0, COCO_17.index("left_wrist"), 0] += 5 if x < image_bgr.shape[1] // 2 else -5
        return People(keypoints, np.full((1, 17), 0.9, np.float32), np.array([0.9], np.float32))


def test_views_return_image_pixels_in_the_given_skeleton() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[12, 9] = 255
    result = Views([FakeEstimator()], OPENPOSE_18).estimate(image)
    assert len(result) == 1 and result.keypoints.shape == (1, 18, 2)
    np.testing.assert_allclose(result.keypoints[0, OPENPOSE_18.index("nose")], [9, 12], atol=1e-4)


def test_views_of_the_default_model_have_the_given_skeleton(tmp_path: Path) -> None:
    from pose_ros.estimator import PoseEstimator

    estimator = PoseEstimator.load()
    views = Views([estimator], COCO_17, short_sides=(128, 192))
    result = views.estimate(np.full((100, 140, 3), 120, np.uint8))
    assert result.keypoints.shape[1:] == (17, 2)
