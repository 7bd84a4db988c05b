"""Test the refinement by a network that also sees the keypoints of the first one, with a small real network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from crop_network import BODY, SHAPE, paint, painted_person, write_pose_network
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from pose_ros.arrays import Image
from pose_ros.config import EstimatorConfig, RefinementConfig, RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.model import SharedPass
from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.people import People
from pose_ros.refinement import Refiner
from pose_ros.refinement.stage import RefinementStage, load_refiner
from pose_ros.skeleton import Skeleton

SIDES = Skeleton("sides", ("right_ankle", "nose", "left_ankle", "right_hip"), ((0, 1),))
"""The keypoints of BODY in another order, and one more."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="needs onnx to make a network")
    return write_pose_network(tmp_path_factory.mktemp("pose") / "pose.onnx")


def load(model: Path, skeleton: Skeleton = BODY) -> Refiner:
    runtime = RuntimeConfig(backend="onnx", threads=1)
    refiner = load_refiner(EstimatorConfig(runtime=runtime, refinement=RefinementConfig(model=str(model))), skeleton)
    assert refiner is not None
    return refiner


@pytest.fixture(scope="module")
def refiner(model: Path) -> Refiner:
    return load(model)


def black(width: int = 400, height: int = 300) -> Image:
    return np.zeros((height, width, 3), np.uint8)


offsets = st.lists(st.floats(-7, 7), min_size=6, max_size=6)
"""Farther shifts lower the score of this network so much that the rules of merging keep the first keypoint."""


@given(offsets, st.integers(60, 300), st.integers(30, 150))
@property_settings(max_examples=15, deadline=None)
def test_a_shifted_first_stage_comes_back(refiner: Refiner, shift: list[float], x: int, y: int) -> None:
    moved = painted_person((x, y), np.reshape(shift, (3, 2)))
    refined = RefinementStage(refiner, RefinementConfig()).refine(moved, paint(black(), (x, y)))
    np.testing.assert_allclose(refined.keypoints[0], SHAPE + np.float32((x, y)), atol=2.0)


@given(st.booleans(), st.integers(70, 300), st.integers(40, 150))
@property_settings(max_examples=15, deadline=None)
def test_the_known_pose_selects_between_equal_people(refiner: Refiner, second: bool, x: int, y: int) -> None:
    noses = (x, y), (x + 40, y)
    image = paint(paint(black(), noses[0]), noses[1])
    people = painted_person(noses[second], np.float32([[2, 3], [-3, 1], [1, -2]]))
    new_keypoints, new_scores = refiner.estimate(image, people, np.array([0]))
    np.testing.assert_allclose(new_keypoints[0], SHAPE + np.float32(noses[second]), atol=2.0)
    assert (new_scores > 0.5).all()


def test_an_absent_keypoint_has_an_empty_heatmap(refiner: Refiner) -> None:
    image, people = paint(black(), (150, 100)), painted_person((152, 99))
    people.scores[0, 1], people.keypoints[0, 1] = 0, 0
    _, scores = refiner.estimate(image, people, np.array([0]))
    assert (scores[0, [0, 2]] > 0.85).all() and 0.45 < scores[0, 1] < 0.6, "half of the colour without a known keypoint"


def test_a_batch_equals_one_by_one(refiner: Refiner) -> None:
    noses = [(60, 40), (150, 100), (260, 160), (330, 30)]
    image, people = black(), painted_person((63, 38))
    for nose in noses:
        paint(image, nose)
    for x, y in noses[1:]:
        people = people.append(painted_person((x + 3, y - 2)))
    keypoints, scores = refiner.estimate(image, people, np.arange(4))
    for n in range(4):
        alone = refiner.estimate(image, people, np.array([n]))
        np.testing.assert_allclose(alone[0][0], keypoints[n], atol=1e-4)
        np.testing.assert_allclose(alone[1][0], scores[n], atol=1e-5)


def test_keypoints_are_matched_by_name(model: Path) -> None:
    refiner = load(model, SIDES)
    known = painted_person((150, 100), (3, -2))
    keypoints = np.zeros((1, 4, 2), np.float32)
    keypoints[0, [1, 3, 0]] = known.keypoints[0]
    people = People(keypoints, (keypoints.any(axis=2) * 0.5).astype(np.float32), known.person_scores)
    found, scores = refiner.estimate(paint(black(), (150, 100)), people, np.array([0]))
    np.testing.assert_allclose(found[0, [1, 3, 0]], SHAPE + np.float32((150, 100)), atol=2.0)
    assert scores[0, 2] == 0


@pytest.mark.parametrize("nose", [(-5, 40), (398, 60), (200, -60), (200, 270), (-30, -30)], ids=str)
def test_people_at_the_border_stay_finite(refiner: Refiner, nose: tuple[int, int]) -> None:
    refined = refiner.refine(paint(black(), nose), painted_person(nose, (1, 1)))
    assert np.isfinite(refined.keypoints).all() and len(refined) == 1


def test_empty_crops_and_no_people_change_no_place(refiner: Refiner) -> None:
    people = painted_person((150, 100))
    np.testing.assert_array_equal(refiner.refine(black(), people).keypoints, people.keypoints)
    assert len(refiner.refine(black(), People.empty(3))) == 0
    outside = painted_person((-900, -900))
    assert np.isfinite(refiner.refine(black(), outside).keypoints).all()


def test_it_is_no_first_model(model: Path) -> None:
    estimator = PoseEstimator.load(model, runtime="onnx")
    with pytest.raises(ValueError, match=r"model pose: expected a known pose .*: set refinement.model to it"):
        estimator.estimate(black())
    with pytest.raises(ValueError, match=r"model pose: expected a known pose"):
        SharedPass(estimator)


def test_a_description_with_other_channels_is_refused(model: Path) -> None:
    spec = ModelSpec("pose", BODY, 4, grouping="single", input=InputSpec(), heads=PoseEstimator.load(model).spec.heads)
    with pytest.raises(ValueError, match=r"expected an input of 3 channels, got 6; correct input\.pose_channels"):
        PoseEstimator.load(model, runtime="onnx", spec=spec)
