"""AP and AR: published numbers, and what decides them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_people import data_set, labelled, moved, nobody, seen, standing
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pycocotools")

from pose_ros.evaluation.coco import METRICS, average_precision
from pose_ros.evaluation.data import read_coco, skeleton_of
from pose_ros.evaluation.detections import coco_entries, read_results, to_detections
from pose_ros.evaluation.errors import GOOD
from pose_ros.evaluation.oks import oks
from pose_ros.evaluation.scores import evaluate_found
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
def fixtures(shared: Path) -> Path:
    folder = shared / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"the published results are not here ({folder})")
    return folder


@pytest.mark.parametrize("files", PUBLISHED, ids=lambda files: files[0])
def test_published_numbers(fixtures: Path, files: tuple[str, str]) -> None:
    data = read_coco(fixtures / f"{files[0]}.json")
    scores = average_precision(data, read_results(fixtures / f"{files[1]}.json", data))
    assert scores == pytest.approx(PUBLISHED[files], abs=1e-6)


def test_oks_is_that_of_pycocotools(fixtures: Path, tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    labels = json.loads((fixtures / "example_coco_val.json").read_text())
    for annotation in labels["annotations"][::3]:  # some people without keypoints
        annotation.update(keypoints=[0] * 51, num_keypoints=0)
    truth = COCO()
    truth.dataset = labels
    truth.createIndex()
    theirs = COCOeval(truth, truth.loadRes(str(fixtures / "example_coco_preds.json")), "keypoints")
    theirs.evaluate()
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    data = read_coco(tmp_path / "labels.json")
    found = read_results(fixtures / "example_coco_preds.json", data)
    for image, people in zip(data.images, found, strict=True):
        np.testing.assert_allclose(oks(people[:20], image, np.array(COCO_17.sigmas)), theirs.ious[image.id, 1])


@settings(max_examples=20)
@given(count=st.integers(1, 5), without=st.sets(st.integers(0, 16), max_size=12))
def test_perfect_results_have_every_score(count: int, without: set[int]) -> None:
    people = [standing(100 + 300 * n) for n in range(count)]
    data = data_set(labelled(*people, without=tuple(without)), labelled(number=2))
    evaluation = evaluate_found(data, [seen(*people), nobody()])
    assert all(score in (None, pytest.approx(1)) for score in evaluation.scores.values())
    numbers = evaluation.numbers()
    assert numbers["errors"]["good"] == count * (17 - len(without)) == sum(numbers["errors"].values())
    assert (numbers["missed_people"], numbers["false_people"]) == (0, 0)
    assert all(pck["all"] == 1 for pck in numbers["pck"].values())
    assert all(gain in (None, pytest.approx(0)) for gain in evaluation.gains.values())
    assert (evaluation.errors[0].kinds[:, [k for k in range(17) if k not in without]] == GOOD).all()


def test_nobody_found_is_zero() -> None:
    scores = average_precision(data_set(labelled(standing(100))), [nobody()])
    assert (scores["AP"], scores["AR50"]) == (0, 0)


def test_nobody_labelled_is_no_number() -> None:
    assert set(average_precision(data_set(labelled()), [seen(standing(100))]).values()) == {None}


def test_an_absent_keypoint_costs_only_where_it_is_labelled() -> None:
    person = standing(300)
    partial = moved(person, 9, (0, 0))
    all_labelled = average_precision(data_set(labelled(person)), [seen(partial)])["AP"]
    not_labelled = average_precision(data_set(labelled(person, without=(9,))), [seen(partial)])["AP"]
    assert not_labelled == pytest.approx(1)
    assert all_labelled == pytest.approx(0.9)  # 16 of 17 keypoints: OKS .94, below .95 alone


@pytest.mark.parametrize("crowd", [False, True], ids=["nobody there", "a crowd"])
def test_a_crowd_forgives_any_number_of_people(crowd: bool) -> None:
    image = labelled(standing(100), standing(600))
    image.labelled[1], image.crowds[1] = False, crowd
    if not crowd:
        image = labelled(standing(100))
    found = seen(standing(560), standing(640), standing(100))
    assert average_precision(data_set(image), [found])["AP50"] == pytest.approx(1.0 if crowd else 1 / 3)


def test_only_twenty_people_of_an_image_count() -> None:
    others = [standing(300 + 250 * n) for n in range(20)]
    late = average_precision(data_set(labelled(standing(100))), [seen(*others, standing(100))])
    assert late["AR"] == 0


def test_written_results_are_read_as_they_were(tmp_path: Path) -> None:
    data = data_set(labelled(standing(100), number=5), labelled(number=7))
    found = [seen(moved(standing(105), 3, (0, 0)), standing(400)), nobody()]
    file = tmp_path / "results.json"
    file.write_text(json.dumps(coco_entries(data, found)))
    for before, after in zip(found, read_results(file, data), strict=True):
        np.testing.assert_array_equal(before.keypoints, after.keypoints)
        np.testing.assert_array_equal(before.scores, after.scores)
        np.testing.assert_allclose(before.areas, after.areas)


def test_people_come_to_the_labels_by_name() -> None:
    xy = standing(100, OPENPOSE_18).astype(np.float32)[None]
    people = People(xy, np.full((1, 18), 0.5), np.array([0.25]))
    found = to_detections(people, OPENPOSE_18, skeleton_of(["Head", "neck", "left_wrist"]))
    np.testing.assert_allclose(found.keypoints[0], [(0, 0), xy[0, 1], xy[0, 7]])
    assert found.present.tolist() == [[False, True, True]] and found.scores.tolist() == [0.25]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected a JSON list of people with image_id"),
        ('[{"keypoints": []}]', "expected a JSON list of people with image_id"),
        ('[{"image_id": 9, "keypoints": [], "score": 1}]', "got other image ids"),
        ('[{"image_id": 1, "keypoints": [1, 2, 3], "score": 1}]', "expected people of 17 keypoints"),
        (json.dumps([{"image_id": 1, "keypoints": [0] * 51}]), "51 numbers and no score"),
    ],
    ids=["no JSON", "no image", "other images", "other skeleton", "no score"],
)
def test_bad_results_are_named(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_results(file, data_set(labelled(standing(100))))
