"""Test AP and AR: published numbers, and the rules behind them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_people import data_set, detections_of, labels_of, move_keypoint, no_detections, person_at
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pycocotools")

from pose_ros.evaluation.coco import METRICS, average_precision
from pose_ros.evaluation.data import read_coco, skeleton_of
from pose_ros.evaluation.detections import coco_entries, read_results, to_detections
from pose_ros.evaluation.errors import GOOD
from pose_ros.evaluation.oks import oks
from pose_ros.evaluation.scores import evaluate_detections
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18

PUBLISHED = {
    ("fce_kp_gt", "fce_kp_dt"): dict(
        zip(
            METRICS,
            (0.504884, 0.722772, 0.633663, 0.466337, 0.750495, 0.518182, 0.727273, 0.636364, 0.466667, 0.75),
            strict=True,
        )
    ),
    ("example_coco_val", "example_coco_preds"): dict(
        zip(
            METRICS,
            (0.860890, 0.993145, 0.910891, 0.775578, 0.937252, 0.875, 1.0, 0.916667, 0.78, 0.942857),
            strict=True,
        )
    ),
    ("example_crowdpose_val", "example_crowdpose_preds"): {
        **{"AP": 0.787722, "AP50": 0.988119, "AP75": 0.731436, "AR": 0.822222, "AR50": 1.0, "AR75": 0.777778},
        **{"AP_easy": 1.0, "AP_medium": 0.980198, "AP_hard": 0.411551},
    },
}


@pytest.fixture
def published_results(shared: Path) -> Path:
    folder = shared / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"published results not found in {folder}")
    return folder


@pytest.mark.parametrize("files", PUBLISHED, ids=lambda files: files[0])
def test_published_numbers(published_results: Path, files: tuple[str, str]) -> None:
    data = read_coco(published_results / f"{files[0]}.json")
    scores = average_precision(data, read_results(published_results / f"{files[1]}.json", data))
    assert scores == pytest.approx(PUBLISHED[files], abs=1e-6)


def test_oks_equals_that_of_pycocotools(published_results: Path, tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels = json.loads((published_results / "example_coco_val.json").read_text())
    for annotation in labels["annotations"][::3]:  # some people without keypoints
        annotation.update(keypoints=[0] * 51, num_keypoints=0)
    truth = COCO()
    truth.dataset = labels
    truth.createIndex()
    reference = COCOeval(truth, truth.loadRes(str(published_results / "example_coco_preds.json")), "keypoints")
    reference.evaluate()
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    data = read_coco(tmp_path / "labels.json")
    detections = read_results(published_results / "example_coco_preds.json", data)
    for image, people in zip(data.images, detections, strict=True):
        np.testing.assert_allclose(oks(people[:20], image, np.array(COCO_17.sigmas)), reference.ious[image.id, 1])


@settings(max_examples=20)
@given(count=st.integers(1, 5), without=st.sets(st.integers(0, 16), max_size=12))
def test_perfect_results_have_perfect_scores(count: int, without: set[int]) -> None:
    people = [person_at(100 + 300 * n) for n in range(count)]
    data = data_set(labels_of(*people, without=tuple(without)), labels_of(number=2))
    evaluation = evaluate_detections(data, [detections_of(*people), no_detections()])
    assert all(score in (None, pytest.approx(1)) for score in evaluation.scores.values())
    numbers = evaluation.numbers()
    assert numbers["errors"]["good"] == count * (17 - len(without)) == sum(numbers["errors"].values())
    assert (numbers["missed_people"], numbers["false_people"]) == (0, 0)
    assert all(pck["all"] == 1 for pck in numbers["pck"].values())
    assert all(gain in (None, pytest.approx(0)) for gain in evaluation.gains.values())
    assert (evaluation.errors[0].kinds[:, [k for k in range(17) if k not in without]] == GOOD).all()


def test_no_detections_score_0() -> None:
    scores = average_precision(data_set(labels_of(person_at(100))), [no_detections()])
    assert (scores["AP"], scores["AR50"]) == (0, 0)


def test_without_labelled_people_scores_are_none() -> None:
    assert set(average_precision(data_set(labels_of()), [detections_of(person_at(100))]).values()) == {None}


def test_an_absent_keypoint_lowers_ap_only_if_labelled() -> None:
    person = person_at(300)
    detected = move_keypoint(person, 9, (0, 0))
    all_labelled = average_precision(data_set(labels_of(person)), [detections_of(detected)])["AP"]
    not_labelled = average_precision(data_set(labels_of(person, without=(9,))), [detections_of(detected)])["AP"]
    assert not_labelled == pytest.approx(1)
    assert all_labelled == pytest.approx(0.9)  # 16 of 17 keypoints: OKS .94, below .95 alone


@pytest.mark.parametrize("crowd", [False, True], ids=["no crowd", "crowd"])
def test_detections_in_a_crowd_are_ignored(crowd: bool) -> None:
    image = labels_of(person_at(100), person_at(600))
    image.labelled[1], image.crowds[1] = False, crowd
    if not crowd:
        image = labels_of(person_at(100))
    detections = detections_of(person_at(560), person_at(640), person_at(100))
    assert average_precision(data_set(image), [detections])["AP50"] == pytest.approx(1.0 if crowd else 1 / 3)


def test_only_twenty_detections_per_image_count() -> None:
    others = [person_at(300 + 250 * n) for n in range(20)]
    late = average_precision(data_set(labels_of(person_at(100))), [detections_of(*others, person_at(100))])
    assert late["AR"] == 0


def test_written_results_are_read_back_unchanged(tmp_path: Path) -> None:
    data = data_set(labels_of(person_at(100), number=5), labels_of(number=7))
    detections = [detections_of(move_keypoint(person_at(105), 3, (0, 0)), person_at(400)), no_detections()]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(coco_entries(data, detections)))
    for before, after in zip(detections, read_results(file, data), strict=True):
        np.testing.assert_array_equal(before.keypoints, after.keypoints)
        np.testing.assert_array_equal(before.scores, after.scores)
        np.testing.assert_allclose(before.areas, after.areas)


def test_keypoints_are_mapped_by_name() -> None:
    xy = person_at(100, OPENPOSE_18).astype(np.float32)[None]
    people = People(xy, np.full((1, 18), 0.5), np.array([0.25]))
    detections = to_detections(people, OPENPOSE_18, skeleton_of(["Head", "neck", "left_wrist"]))
    np.testing.assert_allclose(detections.keypoints[0], [(0, 0), xy[0, 1], xy[0, 7]])
    assert detections.present.tolist() == [[False, True, True]] and detections.scores.tolist() == [0.25]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected a JSON list of people with image_id"),
        ('[{"keypoints": []}]', "expected a JSON list of people with image_id"),
        ('[{"image_id": 9, "keypoints": [], "score": 1}]', "expected image ids of by hand, got other image ids"),
        ('[{"image_id": 1, "keypoints": [1, 2, 3], "score": 1}]', "expected people of 17 keypoints"),
        (json.dumps([{"image_id": 1, "keypoints": [0] * 51}]), "51 numbers and no score"),
    ],
    ids=["no JSON", "no image id", "other images", "other skeleton", "no score"],
)
def test_bad_results_are_reported(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_results(file, data_set(labels_of(person_at(100))))


def test_the_levels_of_crowdpose_have_the_published_limits() -> None:
    images = [
        replace(labels_of(person_at(200), number=number), crowd_index=index)
        for number, index in enumerate((0.15, 0.19, 0.2, 0.79, 0.8), 1)
    ]
    found = detections_of(person_at(200))
    nothing = no_detections()
    for level, people in {
        "AP_easy": [found, found, nothing, nothing, nothing],
        "AP_medium": [nothing, nothing, found, found, nothing],
        "AP_hard": [nothing, nothing, nothing, nothing, found],
    }.items():
        scores = average_precision(data_set(*images), people)
        assert {name: scores[name] for name in ("AP_easy", "AP_medium", "AP_hard")} == pytest.approx(
            {"AP_easy": 0.0, "AP_medium": 0.0, "AP_hard": 0.0, level: 1.0}
        )
