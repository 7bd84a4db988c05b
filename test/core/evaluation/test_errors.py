"""Kinds of errors, what they cost, and percentages of correct keypoints, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_people import data_set, labelled, moved, nobody, seen, standing

pytest.importorskip("pycocotools")

from pose_ros.evaluation.errors import (
    GOOD,
    INVERSION,
    JITTER,
    KINDS,
    MISS,
    NOT_JUDGED,
    SWAP,
    corrected,
    counted,
    diagnose,
    without_false,
)
from pose_ros.evaluation.oks import NOBODY, matched
from pose_ros.evaluation.pck import correct_keypoints
from pose_ros.evaluation.scores import evaluate_found
from pose_ros.skeleton import COCO_17, Skeleton

ME, OTHER = standing(200), standing(400)
WRIST, MIRRORED, NOSE = COCO_17.index("left_wrist"), COCO_17.index("right_wrist"), COCO_17.index("nose")
AREA = labelled(ME).areas[0]


def away(similarity: float, keypoint: int = WRIST) -> np.ndarray:
    """A place whose similarity to my keypoint is this."""
    distance = np.sqrt(-2 * AREA * (2 * COCO_17.sigmas[keypoint]) ** 2 * np.log(similarity))
    return ME[keypoint] + (0, distance)


@pytest.mark.parametrize(
    ("keypoint", "place", "kind"),
    [
        pytest.param(WRIST, ME[WRIST], GOOD, id="exact"),
        pytest.param(WRIST, away(0.86), GOOD, id="as people differ"),
        pytest.param(WRIST, away(0.84), JITTER, id="beside"),
        pytest.param(WRIST, away(0.51), JITTER, id="just near"),
        pytest.param(WRIST, away(0.49), MISS, id="not near any more"),
        pytest.param(WRIST, ME[MIRRORED], INVERSION, id="my other wrist"),
        pytest.param(WRIST, OTHER[WRIST], SWAP, id="another's wrist"),
        pytest.param(WRIST, OTHER[MIRRORED], SWAP, id="another's other wrist"),
        pytest.param(WRIST, ME[NOSE], MISS, id="another keypoint of mine"),
        pytest.param(WRIST, OTHER[NOSE], MISS, id="another keypoint of another"),
        pytest.param(WRIST, (0, 0), MISS, id="absent"),
        pytest.param(NOSE, away(0.3, NOSE), MISS, id="what has no mirror is never inverted"),
    ],
)
def test_kinds(keypoint: int, place: np.ndarray, kind: int) -> None:
    data = data_set(labelled(ME, OTHER))
    (errors,) = diagnose(data, [seen(moved(ME, keypoint, place), OTHER)])
    assert KINDS[errors.kinds[0, keypoint]] == KINDS[kind]
    assert np.delete(errors.kinds[0], keypoint).tolist() == [GOOD] * 16
    assert errors.absent.sum() == (tuple(place) == (0, 0))
    assert counted([errors], 17).sum(axis=0)[kind] == (33 + 1 if kind == GOOD else 1)


def test_between_inversion_and_swap_the_nearer_wins() -> None:
    other = standing(ME[MIRRORED, 0] + 6 - (ME[WRIST, 0] - 200))  # its left wrist lies 6 px beside my right one
    data = data_set(labelled(ME, other))
    for x, kind in ((1, INVERSION), (5, SWAP)):
        (errors,) = diagnose(data, [seen(moved(ME, WRIST, ME[MIRRORED] + (x, 0)), other)])
        assert KINDS[errors.kinds[0, WRIST]] == KINDS[kind]


def test_only_labelled_keypoints_are_judged() -> None:
    (errors,) = diagnose(data_set(labelled(ME, without=(WRIST,))), [seen(ME)])
    assert errors.kinds[0, WRIST] == NOT_JUDGED
    assert counted([errors], 17)[WRIST].sum() == 0


def test_people_missed_and_false() -> None:
    image = labelled(ME, OTHER, standing(900))
    image.labelled[2] = False  # one without keypoints
    (errors,) = diagnose(data_set(image), [seen(standing(2000), standing(905), ME)])
    assert errors.partners.tolist() == [NOBODY, NOBODY, 0]
    assert errors.false.tolist() == [True, False, False]
    assert errors.missed.tolist() == [False, True, False]


def test_nobody_is_false_where_not_everybody_is_labelled() -> None:
    (errors,) = diagnose(data_set(labelled(ME), complete=False), [seen(OTHER, ME)])
    assert not errors.false.any()


def test_images_without_people() -> None:
    errors = diagnose(data_set(labelled(), labelled(ME)), [nobody(), nobody()])
    assert [image.missed.tolist() for image in errors] == [[], [True]]
    assert counted(errors, 17).sum() == 0


@pytest.mark.parametrize(
    ("order", "partners"), [(None, [0, 1]), ([1, 0], [NOBODY, 0])], ids=["best score first", "most similar first"]
)
def test_who_comes_first_takes_the_most_similar(order: list[int] | None, partners: list[int]) -> None:
    assert matched(np.array([[0.6, 0.05], [0.9, 0.4]]), 0.1, order).tolist() == partners


def test_correcting_an_error_gains_what_it_costs() -> None:
    data = data_set(labelled(ME, OTHER))
    wrong = moved(moved(ME, WRIST, ME[MIRRORED]), MIRRORED, ME[WRIST])
    found = [seen(standing(2000), wrong, OTHER)]
    errors = diagnose(data, found)
    np.testing.assert_allclose(corrected(data, found, errors, INVERSION)[0].keypoints[1:], [ME, OTHER])
    np.testing.assert_allclose(corrected(data, found, errors, MISS)[0].keypoints, found[0].keypoints)
    assert len(without_false(found, errors)[0]) == 2
    gains = evaluate_found(data, found).gains
    assert gains["inversion"] > 0.05 and gains["false people"] > 0.2
    assert gains["jitter"] == gains["swap"] == gains["miss"] == 0


def test_pck_by_hand() -> None:
    torso = np.linalg.norm(ME[COCO_17.index("left_shoulder")] - ME[COCO_17.index("right_hip")])
    inside = moved(ME, WRIST, ME[WRIST] + (0, 0.19 * torso))
    outside = moved(OTHER, WRIST, OTHER[WRIST] + (0.21 * torso, 0))
    data = data_set(labelled(ME, OTHER, standing(900)))  # whom nobody finds
    pck = correct_keypoints(data, [seen(inside, outside)])
    assert list(pck) == ["PCK@0.2"]  # it has no head
    assert pck["PCK@0.2"].by_keypoint[WRIST] == pytest.approx(1 / 3)
    assert pck["PCK@0.2"].total == pytest.approx((2 * 17 - 1) / (3 * 17))


def test_pck_counts_only_people_with_a_torso() -> None:
    with_torso, without = labelled(ME), labelled(OTHER, without=(COCO_17.index("right_hip"),), number=2)
    pck = correct_keypoints(data_set(with_torso, without), [seen(ME), nobody()])
    assert pck["PCK@0.2"].total == 1
    assert not correct_keypoints(data_set(without), [nobody()])


def test_pckh_by_the_length_of_the_head() -> None:
    head = Skeleton("head", ("head_top", "upper_neck", "left_wrist", "pelvis"), ())
    person = np.array([(100.0, 100), (100, 140), (150, 200), (100, 220)])  # a head of 40 px
    found = person + np.array([(0, 0), (0, 19), (0, 21), (50, 0)])
    image = labelled(person)
    pckh = correct_keypoints(data_set(image, skeleton=head, complete=False), [seen(found)])["PCKh@0.5 (segment)"]
    np.testing.assert_array_equal(pckh.by_keypoint, [1, 1, 0, np.nan])  # the pelvis does not count
    assert pckh.total == pytest.approx(2 / 3)


def test_pck_asks_the_most_similar_person() -> None:
    near = standing(212)  # like enough to be taken for me, and surer
    pck = correct_keypoints(data_set(labelled(ME), complete=False), [seen(near, ME)])
    assert pck["PCK@0.2"].total == 1
