"""Test kinds of errors, AP gains, and percentages of correct keypoints with known results."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_people import data_set, detections_of, labels_of, move_keypoint, no_detections, person_at

pytest.importorskip("pycocotools")

from pose_ros.evaluation.errors import (
    GOOD,
    INVERSION,
    JITTER,
    KINDS,
    MISS,
    NOT_JUDGED,
    SWAP,
    correct_kind,
    count_kinds,
    diagnose,
    drop_false_positives,
)
from pose_ros.evaluation.oks import NO_MATCH, match_people, oks
from pose_ros.evaluation.pck import correct_keypoints
from pose_ros.evaluation.scores import evaluate_detections
from pose_ros.skeleton import COCO_17, Skeleton

PERSON, OTHER = person_at(200), person_at(400)
WRIST, MIRRORED, NOSE = COCO_17.index("left_wrist"), COCO_17.index("right_wrist"), COCO_17.index("nose")
AREA = labels_of(PERSON).areas[0]


def position_with_similarity(similarity: float, keypoint: int = WRIST) -> np.ndarray:
    """Return a position with this similarity to a keypoint of PERSON."""
    distance = np.sqrt(-2 * AREA * (2 * COCO_17.sigmas[keypoint]) ** 2 * np.log(similarity))
    return PERSON[keypoint] + (0, distance)


@pytest.mark.parametrize(
    ("keypoint", "place", "kind"),
    [
        pytest.param(WRIST, PERSON[WRIST], GOOD, id="exact"),
        pytest.param(WRIST, position_with_similarity(0.86), GOOD, id="human accuracy"),
        pytest.param(WRIST, position_with_similarity(0.84), JITTER, id="next to it"),
        pytest.param(WRIST, position_with_similarity(0.51), JITTER, id="barely near"),
        pytest.param(WRIST, position_with_similarity(0.49), MISS, id="not near"),
        pytest.param(WRIST, PERSON[MIRRORED], INVERSION, id="other wrist of the person"),
        pytest.param(WRIST, OTHER[WRIST], SWAP, id="wrist of another person"),
        pytest.param(WRIST, OTHER[MIRRORED], SWAP, id="other wrist of another person"),
        pytest.param(WRIST, PERSON[NOSE], MISS, id="another keypoint of the person"),
        pytest.param(WRIST, OTHER[NOSE], MISS, id="another keypoint of another person"),
        pytest.param(WRIST, (0, 0), MISS, id="absent"),
        pytest.param(NOSE, position_with_similarity(0.3, NOSE), MISS, id="no inversion without mirror keypoint"),
    ],
)
def test_kinds(keypoint: int, place: np.ndarray, kind: int) -> None:
    data = data_set(labels_of(PERSON, OTHER))
    (errors,) = diagnose(data, [detections_of(move_keypoint(PERSON, keypoint, place), OTHER)])
    assert KINDS[errors.kinds[0, keypoint]] == KINDS[kind]
    assert np.delete(errors.kinds[0], keypoint).tolist() == [GOOD] * 16
    assert errors.absent.sum() == (tuple(place) == (0, 0))
    assert count_kinds([errors], 17).sum(axis=0)[kind] == (33 + 1 if kind == GOOD else 1)


def test_between_inversion_and_swap_the_nearer_wins() -> None:
    # The left wrist of the other person is 6 px right of the right wrist of PERSON.
    other = person_at(PERSON[MIRRORED, 0] + 6 - (PERSON[WRIST, 0] - 200))
    data = data_set(labels_of(PERSON, other))
    for x, kind in ((1, INVERSION), (5, SWAP)):
        (errors,) = diagnose(data, [detections_of(move_keypoint(PERSON, WRIST, PERSON[MIRRORED] + (x, 0)), other)])
        assert KINDS[errors.kinds[0, WRIST]] == KINDS[kind]


def test_only_labelled_keypoints_are_classified() -> None:
    (errors,) = diagnose(data_set(labels_of(PERSON, without=(WRIST,))), [detections_of(PERSON)])
    assert errors.kinds[0, WRIST] == NOT_JUDGED
    assert count_kinds([errors], 17)[WRIST].sum() == 0


def test_missed_people_and_false_positives() -> None:
    image = labels_of(PERSON, OTHER, person_at(900))
    image.labelled[2] = False  # a person without keypoints
    (errors,) = diagnose(data_set(image), [detections_of(person_at(2000), person_at(905), PERSON)])
    assert errors.partners.tolist() == [NO_MATCH, NO_MATCH, 0]
    assert errors.false.tolist() == [True, False, False]
    assert errors.missed.tolist() == [False, True, False]


def test_incomplete_labels_have_no_false_positives() -> None:
    (errors,) = diagnose(data_set(labels_of(PERSON), complete=False), [detections_of(OTHER, PERSON)])
    assert not errors.false.any()


def test_images_without_people() -> None:
    errors = diagnose(data_set(labels_of(), labels_of(PERSON)), [no_detections(), no_detections()])
    assert [image.missed.tolist() for image in errors] == [[], [True]]
    assert count_kinds(errors, 17).sum() == 0


def test_people_in_an_image_without_labels_are_false_positives() -> None:
    data = data_set(labels_of(person_at(100)), labels_of(number=2))
    evaluation = evaluate_detections(data, [detections_of(person_at(100)), detections_of(person_at(300))])
    assert evaluation.scores["AP"] == pytest.approx(1)
    assert (evaluation.numbers()["missed_people"], evaluation.numbers()["false_people"]) == (0, 1)


@pytest.mark.parametrize(
    ("order", "partners"), [(None, [0, 1]), ([1, 0], [NO_MATCH, 0])], ids=["best score first", "most similar first"]
)
def test_the_first_detection_gets_the_most_similar_person(order: list[int] | None, partners: list[int]) -> None:
    assert match_people(np.array([[0.6, 0.05], [0.9, 0.4]]), 0.1, order).tolist() == partners


def test_gains_of_corrected_errors() -> None:
    data = data_set(labels_of(PERSON, OTHER))
    swapped = move_keypoint(move_keypoint(PERSON, WRIST, PERSON[MIRRORED]), MIRRORED, PERSON[WRIST])
    detections = [detections_of(person_at(2000), swapped, OTHER)]
    errors = diagnose(data, detections)
    np.testing.assert_allclose(correct_kind(data, detections, errors, INVERSION)[0].keypoints[1:], [PERSON, OTHER])
    np.testing.assert_allclose(correct_kind(data, detections, errors, MISS)[0].keypoints, detections[0].keypoints)
    assert len(drop_false_positives(detections, errors)[0]) == 2
    gains = evaluate_detections(data, detections).gains
    assert gains["inversion"] > 0.05 and gains["false people"] > 0.2
    assert gains["jitter"] == gains["swap"] == gains["miss"] == 0


def test_pck_of_known_positions() -> None:
    torso = np.linalg.norm(PERSON[COCO_17.index("left_shoulder")] - PERSON[COCO_17.index("right_hip")])
    inside = move_keypoint(PERSON, WRIST, PERSON[WRIST] + (0, 0.19 * torso))
    outside = move_keypoint(OTHER, WRIST, OTHER[WRIST] + (0.21 * torso, 0))
    data = data_set(labels_of(PERSON, OTHER, person_at(900)))  # the last person is missed
    pck = correct_keypoints(data, [detections_of(inside, outside)])
    assert list(pck) == ["PCK@0.2"]  # COCO has no head keypoints
    assert pck["PCK@0.2"].by_keypoint[WRIST] == pytest.approx(1 / 3)
    assert pck["PCK@0.2"].total == pytest.approx((2 * 17 - 1) / (3 * 17))


def test_pck_counts_only_people_with_a_torso() -> None:
    with_torso = labels_of(PERSON)
    without = labels_of(OTHER, without=(COCO_17.index("right_hip"),), number=2)
    pck = correct_keypoints(data_set(with_torso, without), [detections_of(PERSON), no_detections()])
    assert pck["PCK@0.2"].total == 1
    assert not correct_keypoints(data_set(without), [no_detections()])


def test_pckh_by_the_length_of_the_head() -> None:
    head = Skeleton("head", ("head_top", "upper_neck", "left_wrist", "pelvis"), ())
    person = np.array([(100.0, 100), (100, 140), (150, 200), (100, 220)])  # the head is 40 px long
    moved = person + np.array([(0, 0), (0, 19), (0, 21), (50, 0)])
    image = labels_of(person)
    data = data_set(image, skeleton=head, complete=False)
    pckh = correct_keypoints(data, [detections_of(moved)])["PCKh@0.5 (segment)"]
    np.testing.assert_array_equal(pckh.by_keypoint, [1, 1, 0, np.nan])  # the pelvis does not count
    assert pckh.total == pytest.approx(2 / 3)


def test_pck_uses_the_most_similar_detection() -> None:
    near = person_at(212)  # similar enough to match, with a higher score
    pck = correct_keypoints(data_set(labels_of(PERSON), complete=False), [detections_of(near, PERSON)])
    assert pck["PCK@0.2"].total == 1


def shift_of(low: float, high: float) -> float:
    """Return a shift of a person, px, at which the OKS with its label lies between two limits."""
    image, sigmas = labels_of(PERSON), np.array(COCO_17.sigmas)
    shifts = np.arange(1.0, 100.0)
    values = [oks(detections_of(person_at(200 + shift)), image, sigmas).item() for shift in shifts]
    return float(next(shift for shift, value in zip(shifts, values, strict=True) if low < value < high))


def test_a_person_is_found_from_an_oks_of_a_tenth() -> None:
    (errors,) = diagnose(data_set(labels_of(PERSON)), [detections_of(person_at(200 + shift_of(0.12, 0.28)))])
    assert errors.partners.tolist() == [0] and not errors.missed.any()
    (errors,) = diagnose(data_set(labels_of(PERSON)), [detections_of(person_at(200 + shift_of(0.02, 0.08)))])
    assert errors.missed.all()


def test_a_detection_of_an_ignored_person_is_no_false_positive() -> None:
    image = labels_of(PERSON)
    image.crowds[0] = True
    for low, high, is_false in ((0.55, 0.85, False), (0.2, 0.45, True)):
        (errors,) = diagnose(data_set(image), [detections_of(person_at(200 + shift_of(low, high)))])
        assert errors.false.tolist() == [is_false]


def test_only_the_best_20_people_of_an_image_are_judged() -> None:
    people = [person_at(200 + 300 * i) for i in range(25)]
    data, detections = data_set(labels_of(people[0])), [detections_of(*people)]
    errors = diagnose(data, detections)
    assert len(errors[0].false) == 20 and errors[0].false.sum() == 19
    assert len(drop_false_positives(detections, errors)[0]) == 1


def test_a_tie_between_inversion_and_swap_is_an_inversion() -> None:
    other = person_at(400)
    other[WRIST] = PERSON[MIRRORED]
    detections = detections_of(move_keypoint(PERSON, WRIST, PERSON[MIRRORED]))
    (errors,) = diagnose(data_set(labels_of(PERSON, other)), [detections])
    assert KINDS[errors.kinds[0, WRIST]] == KINDS[INVERSION]


def test_a_match_may_have_exactly_the_lowest_oks() -> None:
    assert match_people(np.array([[0.25]]), 0.25).tolist() == [0]
