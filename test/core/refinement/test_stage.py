"""Test the stage that refines people, with a small real network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crop_network import BODY, SHAPE, paint, painted_person, write_crop_network
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from pose_ros.arrays import Image
from pose_ros.config import EstimatorConfig, RefinementConfig, RuntimeConfig
from pose_ros.people import People
from pose_ros.refinement import Refiner
from pose_ros.refinement.stage import RefinementStage, load_refiner

CONFIG = RefinementConfig()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="needs onnx to make a network")
    return write_crop_network(tmp_path_factory.mktemp("crop") / "crop.onnx")


@pytest.fixture(scope="module")
def refiner(model: Path) -> Refiner:
    runtime = RuntimeConfig(backend="onnx", threads=1)
    refiner = load_refiner(EstimatorConfig(runtime=runtime, refinement=RefinementConfig(model=str(model))), BODY)
    assert refiner is not None
    return refiner


class CountingRefiner:
    """Refiner that records how many people each batch has."""

    def __init__(self, refiner: Refiner) -> None:
        self.skeleton, self._refiner = refiner.skeleton, refiner
        self.batches: list[list[int]] = []
        self.options: list[tuple[Any, ...]] = []

    def estimate(self, image: Image, people: People, chosen: np.ndarray, *options: Any) -> tuple[np.ndarray, ...]:
        self.batches.append(chosen.tolist())
        self.options.append(options)
        return self._refiner.estimate(image, people, chosen, *options)


def black(width: int = 400, height: int = 300) -> Image:
    return np.zeros((height, width, 3), np.uint8)


def crowd(*noses: tuple[float, float], score: float = 0.5) -> People:
    people = painted_person(noses[0], score=score)
    for nose in noses[1:]:
        people = people.append(painted_person(nose, score=score))
    return people


offsets = st.lists(st.floats(-9, 9), min_size=6, max_size=6)


@given(offsets, st.integers(60, 300), st.integers(30, 150))
@property_settings(max_examples=20)
def test_a_shifted_first_stage_comes_back(refiner: Refiner, shift: list[float], x: int, y: int) -> None:
    moved = painted_person((x, y), np.reshape(shift, (3, 2)))
    refined = RefinementStage(refiner, CONFIG).refine(moved, paint(black(), (x, y)))
    np.testing.assert_allclose(refined.keypoints[0], SHAPE + np.float32((x, y)), atol=2.0)
    assert refined.refined is not None and refined.refined.tolist() == [True]


@given(st.integers(16, 60))
@property_settings(max_examples=15)
def test_nobody_loses_a_limb_to_a_brighter_person_in_the_crop(refiner: Refiner, distance: int) -> None:
    image = paint(paint(black(), (150, 100), value=130), (150 + distance, 100), value=255)
    people = crowd((150, 100), (150 + distance, 100))
    refined = RefinementStage(refiner, CONFIG).refine(people, image)
    left, right = refined.keypoints[np.argsort(refined.keypoints[:, :, 0].mean(axis=1))]
    np.testing.assert_allclose(left, SHAPE + np.float32((150, 100)), atol=4.0)
    np.testing.assert_allclose(right, SHAPE + np.float32((150 + distance, 100)), atol=4.0)


def test_a_person_whom_the_first_stage_missed_steals_nothing(refiner: Refiner) -> None:
    image = paint(paint(black(), (150, 100), value=130), (195, 100), value=255)
    refined = RefinementStage(refiner, CONFIG).refine(crowd((150, 100)), image)
    np.testing.assert_allclose(refined.keypoints[0], SHAPE + np.float32((150, 100)), atol=4.0)


def test_an_absent_keypoint_is_not_taken_from_another_person(refiner: Refiner) -> None:
    first = painted_person((150, 100))
    scores = first.scores.copy()
    scores[0, 2] = 0
    first = replace(first, scores=scores, keypoints=np.where(scores[..., None] > 0, first.keypoints, 0))
    image = paint(black(), (180, 100), value=255)
    for channel, y in ((2, 100), (1, 150)):
        x = 150 if channel == 2 else 175
        image[y - 4 : y + 5, x - 4 : x + 5, channel] = 255
    refined = RefinementStage(refiner, CONFIG).refine(first.append(painted_person((180, 100))), image)
    left = int(refined.keypoints[:, 0, 0].argmin())
    assert refined.scores[left, 2] == 0


def test_a_missing_keypoint_is_found(refiner: Refiner) -> None:
    person = painted_person((150, 100))
    scores = person.scores.copy()
    scores[0, 2] = 0
    person = replace(person, scores=scores, keypoints=np.where(scores[..., None] > 0, person.keypoints, 0))
    image = black()
    for channel, (x, y) in zip((2, 1, 0), ((150, 100), (175, 150), (156, 158)), strict=True):
        image[y - 4 : y + 5, x - 4 : x + 5, channel] = 255
    refined = RefinementStage(refiner, CONFIG).refine(person, image)
    np.testing.assert_allclose(refined.keypoints[0, 2], (156, 158), atol=2.5)


@pytest.mark.parametrize("nose", [(0, 0), (399, 290), (-20, 150), (200, -60), (5000, 150), (-9000, -9000), (1e9, 1e9)])
def test_people_at_the_edge_and_outside_harm_nothing(refiner: Refiner, nose: tuple[float, float]) -> None:
    image = paint(black(), (200, 100))
    refined = RefinementStage(refiner, CONFIG).refine(crowd((200, 100), nose), image)
    assert len(refined) == 2
    np.testing.assert_allclose(
        refined.keypoints[refined.person_scores.argmax()], SHAPE + np.float32((200, 100)), atol=2.5
    )


@pytest.mark.parametrize("far", [1e4, -1e9, 3e38])
def test_a_keypoint_far_outside_harms_nothing(refiner: Refiner, far: float) -> None:
    person = painted_person((200, 100))
    keypoints = person.keypoints.copy()
    keypoints[0, 2] = far
    refined = RefinementStage(refiner, CONFIG).refine(person.with_keypoints(keypoints), paint(black(), (200, 100)))
    assert np.isfinite(refined.keypoints).all() and refined.refined.tolist() == [True]


def test_an_empty_crop_leaves_the_keypoints(refiner: Refiner) -> None:
    people = crowd((200, 100))
    refined = RefinementStage(refiner, CONFIG).refine(people, black())
    np.testing.assert_array_equal(refined.keypoints, people.keypoints)
    np.testing.assert_array_equal(refined.scores, people.scores)


def test_no_people_and_people_without_keypoints(refiner: Refiner) -> None:
    stage = RefinementStage(refiner, CONFIG)
    nobody = stage.refine(People.empty(3), black())
    assert len(nobody) == 0 and nobody.refined is not None
    blank = People(np.zeros((1, 3, 2)), np.zeros((1, 3)), np.ones(1))
    assert stage.refine(blank, black()).refined.tolist() == [False]


@pytest.mark.parametrize("kind", ["grey", "rgb", "tiny"])
def test_every_kind_of_image_is_accepted(refiner: Refiner, kind: str) -> None:
    image = {"grey": black()[..., 0], "rgb": paint(black(), (200, 100))[..., ::-1], "tiny": black(1, 1)}[kind]
    refined = RefinementStage(refiner, CONFIG).refine(
        painted_person((200, 100), (6, 6)), image, "rgb" if kind == "rgb" else "bgr"
    )
    place = (0, 0) if kind == "rgb" else (6, 6)
    np.testing.assert_allclose(refined.keypoints[0], SHAPE + np.float32((200, 100)) + np.float32(place), atol=2.0)


def test_a_batch_equals_one_by_one(refiner: Refiner) -> None:
    noses = [(60, 40), (180, 90), (320, 150)]
    image = black()
    for nose in noses:
        paint(image, nose)
    moved = crowd(*noses)
    moved = moved.with_keypoints(moved.keypoints + np.float32([[[5, -4]], [[-6, 3]], [[2, 7]]]))
    together, _ = refiner.estimate(image, moved, np.arange(3))
    alone = [refiner.estimate(image, moved, np.array([n]))[0][0] for n in range(3)]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_a_person_found_twice_is_refined_once(refiner: Refiner) -> None:
    counting = CountingRefiner(refiner)
    twice = crowd((200, 100)).append(painted_person((200, 100), (1, 1), score=0.4))
    refined = RefinementStage(counting, CONFIG).refine(twice, paint(black(), (200, 100)))
    assert counting.batches == [[0]] and len(refined) == 1


def test_the_largest_people_come_first(refiner: Refiner) -> None:
    small, large = painted_person((80, 60)), painted_person((250, 60))
    small = small.with_keypoints((small.keypoints - (80, 60)) * 0.4 + (80, 60))
    people = small.append(large)
    for change, batch in (
        ({"most_people": 1}, [1]),
        ({"min_person_px": 50.0}, [1]),
        ({"budget_ms": 1e-3}, [1]),
        ({}, [1, 0]),
    ):
        counting = CountingRefiner(refiner)
        refined = RefinementStage(counting, RefinementConfig(**change)).refine(people, black())
        assert counting.batches == [batch]
        assert refined.refined.sum() == len(batch)


def test_a_person_is_refined_in_every_nth_image(refiner: Refiner) -> None:
    counting = CountingRefiner(refiner)
    stage = RefinementStage(counting, RefinementConfig(period=3))
    marks = [stage.refine(crowd((100 + 4 * n, 100)), black()).refined.tolist() for n in range(7)]
    assert marks == [[True], [False], [False], [True], [False], [False], [True]]
    with_new = stage.refine(crowd((128, 100), (300, 100)), black())
    assert sorted(zip(with_new.keypoints[:, 0, 0].tolist(), with_new.refined.tolist(), strict=True)) == [
        (128, False),
        (300, True),
    ]
    assert RefinementStage.of_single_images(refiner, stage.config).config.period == 1


def test_the_images_of_each_input_size_count_on_their_own(refiner: Refiner) -> None:
    stage, marks = RefinementStage(refiner, RefinementConfig(period=2)), []
    for n in range(8):
        stage.view = n % 2  # two input sizes in turn: the second finds only the other person
        marks.append(stage.refine(crowd((100 + 200 * stage.view, 100)), black()).refined.tolist())
    assert marks == [[True], [True], [False], [False]] * 2


def test_the_setting_turns_the_crops(refiner: Refiner) -> None:
    for rotate in (False, True):
        counting = CountingRefiner(refiner)
        RefinementStage(counting, RefinementConfig(rotate=rotate)).refine(crowd((100, 100)), black())
        assert counting.options == [("bgr", rotate)]


def test_people_wait_for_their_turn_within_the_budget(refiner: Refiner) -> None:
    stage = RefinementStage(refiner, RefinementConfig(period=2, most_people=1))
    people = crowd((100, 100), (300, 100))
    results = [stage.refine(people, black()) for _ in range(4)]
    assert [result.keypoints[result.refined, 0, 0].tolist() for result in results] == [[100], [300], [100], [300]]


def test_without_a_model_nothing_is_loaded() -> None:
    assert load_refiner(EstimatorConfig(), BODY) is None


def test_a_wrong_model_is_refused() -> None:
    from pose_ros.models.model_file import DEFAULT_MODEL

    runtime = RuntimeConfig(backend="onnx", threads=1, warm_up=False)
    config = EstimatorConfig(runtime=runtime, refinement=RefinementConfig(model=str(DEFAULT_MODEL)))
    with pytest.raises(ValueError, match=r"refinement\.model: .*expected a network for crops of one person"):
        load_refiner(config, BODY)
    missing = replace(config, refinement=RefinementConfig(model="missing.onnx"))
    with pytest.raises(FileNotFoundError, match=r"refinement\.model: "):
        load_refiner(missing, BODY)
