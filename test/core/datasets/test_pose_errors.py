"""Test the synthesis of wrong poses: the geometry of each kind of error, and its frequency."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_people import data_set, detections_of, labels_of, person_at
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from pose_ros.datasets.pose_errors import (
    ABSENT_SHARE,
    EXACT,
    FAR,
    GOOD,
    INVERSION,
    JITTER,
    KINDS,
    MISS,
    NEAR,
    NOT_JUDGED,
    SWAP,
    ErrorRates,
    PoseErrorConfig,
    WrongPose,
    load_rates,
    measured_rates,
    published_rates,
    synthesise_pose,
)
from pose_ros.evaluation.errors import classify_keypoints
from pose_ros.similarity import keypoint_similarity
from pose_ros.skeleton import COCO_17, MPII_16, OPENPOSE_18, Skeleton

SIGMAS, MIRROR = np.array(COCO_17.sigmas), list(COCO_17.flip_order)
NOSE = COCO_17.index("nose")
seeds, distances = st.integers(0, 2**31), st.integers(40, 150)


def only(kind: int, absent: float = 0.0) -> ErrorRates:
    rates = np.zeros((17, 4))
    rates[:, kind - 1] = kind != GOOD
    return ErrorRates(rates, absent)


def two_people(distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return keypoints, labels and areas of two people next to each other."""
    labels = labels_of(person_at(200), person_at(200 + distance))
    return labels.keypoints.astype(np.float32), labels.labelled, labels.areas


def wrong_pose(rates: ErrorRates, seed: int, distance: float = 90.0) -> WrongPose:
    return synthesise_pose(*two_people(distance), 0, rates, COCO_17, np.random.default_rng(seed))


def similarity(places: np.ndarray, truth: np.ndarray, area: float, channels: list[int]) -> np.ndarray:
    return keypoint_similarity(((places - truth) ** 2).sum(axis=1), area, SIGMAS[channels])


@given(st.sampled_from(range(5)), seeds, distances)
@property_settings(max_examples=40, deadline=None)
def test_the_diagnosis_of_errors_finds_the_kinds_that_were_synthesised(kind: int, seed: int, distance: int) -> None:
    pose = wrong_pose(only(kind), seed, distance)
    image = labels_of(person_at(200), person_at(200 + distance))
    found = classify_keypoints(image, detections_of(pose.keypoints.astype(float)), np.array([0]), COCO_17)[0]
    assert found[pose.present].tolist() == pose.kinds[pose.present].tolist()
    assert set(pose.kinds.tolist()) <= {kind, GOOD} and pose.present.all()


@given(seeds)
@property_settings(max_examples=20, deadline=None)
def test_each_kind_lies_in_its_band(seed: int) -> None:
    keypoints, _, areas = two_people(90)
    every = list(range(17))
    for kind, low, high in ((GOOD, EXACT, 1.0), (JITTER, NEAR, EXACT)):
        pose = wrong_pose(only(kind), seed)
        own = similarity(pose.keypoints, keypoints[0], areas[0], every)[pose.kinds == kind]
        assert len(own) and (own >= low - 1e-3).all() and (own <= high + 1e-3).all()
    pose = wrong_pose(only(MISS), seed)
    chosen = np.flatnonzero(pose.kinds == MISS)
    all_places = [(person, order) for person in keypoints for order in (every, MIRROR)]
    near = np.max([similarity(pose.keypoints, p[order], areas[0], every) for p, order in all_places], axis=0)[chosen]
    assert len(chosen) and (near <= NEAR + 1e-3).all() and (near >= FAR - 1e-3).all()


@given(seeds)
@property_settings(max_examples=20, deadline=None)
def test_an_inversion_lies_at_the_mirror_keypoint_of_the_same_person(seed: int) -> None:
    keypoints, _, areas = two_people(150)
    pose = wrong_pose(only(INVERSION), seed, 150)
    assert pose.kinds[NOSE] == GOOD, "the nose has no mirror keypoint"
    chosen = np.flatnonzero(pose.kinds == INVERSION)
    assert len(chosen) >= 8
    mirrored = similarity(pose.keypoints, keypoints[0][MIRROR], areas[0], list(range(17)))[chosen]
    own = similarity(pose.keypoints, keypoints[0], areas[0], list(range(17)))[chosen]
    assert (mirrored >= NEAR - 1e-3).all() and (own < NEAR).all()


@given(seeds)
@property_settings(max_examples=20, deadline=None)
def test_a_swap_lies_on_another_person(seed: int) -> None:
    keypoints, _, areas = two_people(110)
    pose = wrong_pose(only(SWAP), seed, 110)
    chosen = np.flatnonzero(pose.kinds == SWAP)
    assert len(chosen) >= 10
    other = np.maximum(
        *(similarity(pose.keypoints, keypoints[1][order], areas[1], order) for order in (list(range(17)), MIRROR))
    )[chosen]
    assert (other >= NEAR - 1e-3).all()


def test_a_person_alone_has_no_swaps_and_a_single_side_no_inversions() -> None:
    keypoints, labelled, areas = two_people(90)
    alone = (keypoints[:1], labelled[:1], areas[:1])
    swapped = synthesise_pose(*alone, 0, only(SWAP), COCO_17, np.random.default_rng(0))
    assert set(swapped.kinds.tolist()) == {GOOD}
    one_side = labelled[:1].copy()
    one_side[0, [name.startswith("left") for name in COCO_17.keypoint_names]] = False
    inverted = synthesise_pose(alone[0], one_side, alone[2], 0, only(INVERSION), COCO_17, np.random.default_rng(0))
    assert set(inverted.kinds.tolist()) == {GOOD, NOT_JUDGED}
    assert not inverted.present[~one_side[0]].any() and not inverted.keypoints[~one_side[0]].any()


def test_kinds_have_their_frequencies() -> None:
    rates, count = ErrorRates(np.tile([0.2, 0.1, 0.15, 0.25], (17, 1)), 0.4), 400
    poses = [wrong_pose(rates, seed, 110) for seed in range(count)]
    kinds, present = np.array([pose.kinds for pose in poses]), np.array([pose.present for pose in poses])
    wrist = COCO_17.index("left_wrist")  # far from every other place, so that each kind is possible
    shares = np.bincount(kinds[:, wrist], minlength=5) / count
    np.testing.assert_allclose(shares, [0.3, 0.2, 0.1, 0.15, 0.25], atol=0.075)  # 3 standard deviations
    absent = ~present[kinds == MISS]
    assert absent.mean() == pytest.approx(0.4, abs=0.04) and present[kinds != MISS].all()


def test_a_seed_gives_the_same_pose() -> None:
    rates = published_rates(COCO_17).scale(2)
    first, again, other = wrong_pose(rates, 1), wrong_pose(rates, 1), wrong_pose(rates, 2)
    np.testing.assert_array_equal(first.keypoints, again.keypoints)
    np.testing.assert_array_equal(first.kinds, again.kinds)
    assert (first.keypoints != other.keypoints).any()


@pytest.mark.parametrize("skeleton", [COCO_17, OPENPOSE_18, MPII_16], ids=lambda skeleton: skeleton.name)
def test_published_frequencies_exist_for_every_skeleton(skeleton: Skeleton) -> None:
    rates = published_rates(skeleton).rates
    assert rates.shape == (len(skeleton), 4) and (rates > 0).all() and (rates.sum(axis=1) < 0.5).all()
    hip, eye = (skeleton.keypoint_names.index(name) if name in skeleton.keypoint_names else None
                for name in ("left_hip", "left_eye"))  # fmt: skip
    assert hip is not None and (eye is None or rates[hip, 1] > rates[eye, 1])


def test_scaled_frequencies_stay_below_one() -> None:
    rates = published_rates(COCO_17)
    np.testing.assert_allclose(rates.scale(1.5).rates, 1.5 * rates.rates)
    np.testing.assert_allclose(rates.scale(10).rates.sum(axis=1), 1)
    assert not rates.scale(0).rates.any()


def test_many_counts_replace_the_published_frequencies_and_few_do_not() -> None:
    row = dict(zip(KINDS, (50_000, 20_000, 10_000, 15_000, 5_000), strict=True))
    rates = measured_rates({"Left Wrist": row}, 4_500, COCO_17)
    wrist = COCO_17.index("left_wrist")
    np.testing.assert_allclose(rates.rates[wrist], [0.2, 0.1, 0.15, 0.05], atol=1e-3)
    np.testing.assert_allclose(np.delete(rates.rates, wrist, 0), np.delete(published_rates(COCO_17).rates, wrist, 0))
    assert rates.absent == pytest.approx(0.9, abs=0.01)
    none = measured_rates({"left_wrist": dict.fromkeys(KINDS, 0)}, 0, COCO_17)
    np.testing.assert_allclose(none.rates, published_rates(COCO_17).rates)
    assert none.absent == ABSENT_SHARE


def test_frequencies_are_read_from_an_evaluation(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    from pose_ros.evaluation.report import write_report
    from pose_ros.evaluation.scores import evaluate_detections

    pytest.importorskip("matplotlib")
    people = [person_at(x) for x in range(0, 9000, 300)]
    turned = [person[MIRROR] for person in people]
    images = [labels_of(person, number=n) for n, person in enumerate(people)]
    evaluation = evaluate_detections(data_set(*images), [detections_of(person) for person in turned])
    write_report(tmp_path, "turned", {"paf": evaluation}, show_failures=False)
    rates = load_rates(PoseErrorConfig(tmp_path / "evaluation.json"), COCO_17).rates
    ankle = COCO_17.index("left_ankle")
    assert rates[ankle, INVERSION - 1] == pytest.approx((30 + 50 * 0.06) / 80)


@pytest.mark.parametrize(
    "content",
    ["[]", "{}", '{"evaluations": {}}', '{"evaluations": {"a": {}}}', "no json",
     json.dumps({"evaluations": {"a": {"misses_without_place": 0, "errors_by_keypoint": {"nose": {"good": -1}}}}})],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"pose_errors.file .*: expected evaluation.json of pose_ros evaluate, got"):
        load_rates(PoseErrorConfig(tmp_path / "a.json"), COCO_17)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"pose_errors.file: expected .* got no file"):
        load_rates(PoseErrorConfig(tmp_path / "b.json"), COCO_17)
