"""Test OKS and box overlap against known values and the compiled decoder."""

from __future__ import annotations

import numpy as np
import pytest

from pose_ros.decoder.duplicates import MIN_AREA, find_distinct
from pose_ros.similarity import box_iou, keypoint_similarity
from pose_ros.skeleton import BOX_FILL, COCO_17

SIGMAS = np.array(COCO_17.sigmas)


def test_keypoint_similarity_is_the_formula_of_coco() -> None:
    assert keypoint_similarity(np.zeros(1), 100.0, np.array([0.1])) == pytest.approx(1.0)
    assert keypoint_similarity(np.array([8.0]), 100.0, np.array([0.1])) == pytest.approx(np.exp(-1.0))
    assert keypoint_similarity(np.array([np.inf]), 100.0, np.array([0.1])) == 0


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param([0, 0, 2, 2], [0, 0, 2, 2], 1.0, id="the same"),
        pytest.param([0, 0, 2, 2], [1, 0, 3, 2], 1 / 3, id="half over"),
        pytest.param([0, 0, 2, 2], [2, 0, 4, 2], 0.0, id="side by side"),
        pytest.param([0, 0, 0, 0], [0, 0, 0, 0], 0.0, id="empty"),
        pytest.param([0, 0, float("nan"), 2], [0, 0, 2, 2], 0.0, id="nan"),
    ],
)
def test_box_iou(a: list[float], b: list[float], expected: float) -> None:
    assert box_iou(np.array([a]), np.array([b])) == pytest.approx(np.array([[expected]]))


def test_box_iou_of_no_boxes_and_many() -> None:
    assert box_iou(np.zeros((0, 4)), np.ones((3, 4))).shape == (0, 3)
    boxes = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]])
    assert box_iou(boxes, boxes[:2]) == pytest.approx(np.array([[1, 1 / 3], [1 / 3, 1], [0, 0]]))


@pytest.mark.parametrize("seed", range(20))
def test_the_decoder_computes_the_same_oks(seed: int) -> None:
    """A threshold just below the similarity drops the second person, one just above keeps both."""
    random = np.random.default_rng(seed)
    first = random.uniform(0, 200, (17, 2)).astype(np.float32)
    people = np.stack([first, first + random.normal(0, 4, (17, 2))]).astype(np.float32)
    sides = [np.ptp(person, axis=0) for person in people]
    area = max(MIN_AREA, *(BOX_FILL * float(side.prod()) for side in sides))
    oks = float(keypoint_similarity(((people[0] - people[1]) ** 2).sum(axis=1), area, SIGMAS).mean())
    scores = np.ones((2, 17), np.float32)
    assert find_distinct(people, scores, SIGMAS, oks - 1e-4).tolist() == [True, False]
    assert find_distinct(people, scores, SIGMAS, oks + 1e-4).tolist() == [True, True]
