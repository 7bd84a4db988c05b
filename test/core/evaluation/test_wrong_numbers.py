"""Test the evaluation of labels and results with missing, impossible or foreign numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from cli_runner import run
from evaluation_people import data_set, detections_of, person_at
from typer.testing import CliRunner, Result

pytest.importorskip("pycocotools")

from pose_ros.cli.evaluate import evaluate
from pose_ros.evaluation.data import DataSet, read_coco
from pose_ros.evaluation.detections import count_unlisted, read_results, to_detections
from pose_ros.evaluation.failures import failure_sheets
from pose_ros.evaluation.model import ModelResults, run_model
from pose_ros.evaluation.scores import evaluate_detections, evaluate_results
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, Skeleton

NAN, INFINITY = float("nan"), float("inf")
WIDTH, HEIGHT = 900, 300
PEOPLE = [person_at(x) for x in (100, 300, 500, 700)]
Change = Callable[[dict[str, Any]], None]


def set_key(key: str, value: object) -> Change:
    def change(annotation: dict[str, Any]) -> None:
        annotation[key] = value

    return change


def set_keypoint(index: int, value: float) -> Change:
    def change(annotation: dict[str, Any]) -> None:
        annotation["keypoints"][index] = value

    return change


def remove_box(annotation: dict[str, Any]) -> None:
    annotation.pop("bbox")
    annotation.pop("area")


def triples_of(person: np.ndarray) -> list[float]:
    return np.column_stack([person, np.full(len(person), 2.0)]).ravel().tolist()


def write_labels(folder: Path, change: Change = lambda _: None, every: bool = True, **image: object) -> Path:
    annotations = []
    for n, person in enumerate(PEOPLE, 1):
        low, size = person.min(axis=0), np.ptp(person, axis=0)
        box = [*low.tolist(), *size.tolist()]
        entry = {"id": 10 + n, "image_id": 1, "category_id": 1, "bbox": box, "area": float(0.53 * size.prod())}
        entry["keypoints"] = triples_of(person)
        if every or n == 2:
            change(entry)
        annotations.append(entry)
    names = list(COCO_17.keypoint_names)
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT, **image}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }
    (folder / "labels.json").write_text(json.dumps(content))
    return folder / "labels.json"


def write_results(folder: Path, shift: float = 0.0, change: Change = lambda _: None) -> Path:
    entries = [
        {"image_id": 1, "category_id": 1, "score": 0.9, "keypoints": triples_of(np.add(person, (0, shift)))}
        for person in PEOPLE
    ]
    change(entries[2])
    (folder / "results.json").write_text(json.dumps(entries))
    return folder / "results.json"


def score(labels: Path, results: Path) -> float | None:
    data = read_coco(labels)
    return evaluate_detections(data, read_results(results, data)).scores["AP"]


MISSING = {
    "area null": set_key("area", None),
    "area 0": set_key("area", 0),
    "box 0": lambda entry: entry.update(bbox=[0, 0, 0, 0], area=0),
    "box empty": lambda entry: entry.update(bbox=[], area=None),
    "box null": lambda entry: entry.update(bbox=None, area=None),
    "neither": remove_box,
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_area_is_that_of_the_box_or_of_the_keypoints(tmp_path: Path, name: str) -> None:
    labels = write_labels(tmp_path, MISSING[name])
    assert score(labels, write_results(tmp_path)) == pytest.approx(1)
    near, far = score(labels, write_results(tmp_path, 1.0)), score(labels, write_results(tmp_path, 150.0))
    assert near is not None and near > 0.95
    assert far == 0


IMPOSSIBLE = {
    "area NaN": (set_key("area", NAN), "area"),
    "area infinite": (set_key("area", INFINITY), "area"),
    "area negative": (set_key("area", -5), "area"),
    "area of ten images": (set_key("area", 10 * WIDTH * HEIGHT), "area.*check the unit"),
    "area as a fraction": (set_key("area", 0.1), "area.*check the unit"),
    "box NaN": (set_key("bbox", [1, 2, NAN, 3]), "bbox"),
    "box of three numbers": (set_key("bbox", [1, 2, 3]), "bbox"),
    "box with a negative size": (set_key("bbox", [1, 2, -3, 4]), "bbox"),
    "position NaN": (set_keypoint(0, NAN), "finite"),
    "position infinite": (set_keypoint(1, INFINITY), "finite"),
    "visibility NaN": (set_keypoint(2, NAN), "finite"),
    "position far outside": (set_keypoint(0, 5000.0), "x in 0 to 900"),
    "fractions": (set_key("keypoints", [0.4, 0.5, 2] * 17), "fractions"),
    "words": (set_key("keypoints", ["x"] * 51), "could not convert"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible_labels_are_rejected_with_file_and_annotation(tmp_path: Path, name: str) -> None:
    change, message = IMPOSSIBLE[name]
    with pytest.raises(ValueError, match=rf"labels\.json: annotation 12.*{message}"):
        read_coco(write_labels(tmp_path, change, every=False))


def test_a_position_without_a_label_does_not_count(tmp_path: Path) -> None:
    def change(annotation: dict[str, Any]) -> None:
        annotation["keypoints"][:3] = [NAN, NAN, 0]

    assert score(write_labels(tmp_path, change), write_results(tmp_path)) == pytest.approx(1)


BAD_RESULTS = {
    "position NaN": (set_keypoint(0, NAN), "keypoints: expected finite"),
    "position infinite": (set_keypoint(0, -INFINITY), "keypoints: expected finite"),
    "position null": (set_keypoint(0, None), "keypoints: expected"),  # type: ignore[arg-type]
    "score NaN": (set_key("score", NAN), "score: expected finite"),
    "score null": (set_key("score", None), "score: expected"),
    "no keypoints": (set_key("keypoints", None), "0 numbers"),
    "box NaN": (set_key("bbox", [1, 2, 3, NAN]), "bbox"),
}


@pytest.mark.parametrize("name", BAD_RESULTS)
def test_impossible_results_are_rejected_with_file_and_entry(tmp_path: Path, name: str) -> None:
    change, message = BAD_RESULTS[name]
    with pytest.raises(ValueError, match=rf"results\.json, entry 2 \(image_id 1\).*{message}"):
        read_results(write_results(tmp_path, change=change), read_coco(write_labels(tmp_path)))


def test_results_as_fractions_are_rejected(tmp_path: Path) -> None:
    results = write_results(tmp_path)
    entries = json.loads(results.read_text())
    for entry in entries:
        triples = np.array(entry["keypoints"]).reshape(-1, 3) / (WIDTH, HEIGHT, 1)
        entry["keypoints"] = triples.ravel().tolist()
    results.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match="expected positions in px, got fractions"):
        read_results(results, read_coco(write_labels(tmp_path)))


@pytest.mark.parametrize(("in_labels", "in_results"), [(1, "1"), ("1", 1), (1, 1.0)])
def test_results_are_joined_by_ids_of_another_type(tmp_path: Path, in_labels: object, in_results: object) -> None:
    labels, results = write_labels(tmp_path, id=in_labels), write_results(tmp_path)
    entries = [{**entry, "image_id": in_results} for entry in json.loads(results.read_text())]
    results.write_text(json.dumps(entries))
    assert score(labels, results) == pytest.approx(1)


def test_results_of_unlisted_images_are_reported(tmp_path: Path) -> None:
    labels, results = write_labels(tmp_path), write_results(tmp_path)
    entries = json.loads(results.read_text())
    results.write_text(json.dumps([*entries, {**entries[0], "image_id": 99}]))
    assert count_unlisted(results, read_coco(labels)) == 1
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    said = run("evaluate", "--data", labels, "--results", results).stderr
    assert f"{results}: left out: 1 results of an image that is not listed in {labels}" in said


class FixedModel:
    """Model that detects the labelled people in every image."""

    skeleton = COCO_17

    def detect(self, image_bgr: np.ndarray) -> dict[str, tuple[People, dict[str, float]]]:
        keypoints = np.array(PEOPLE, np.float32)
        return {"fixed": (People(keypoints, np.ones((4, 17), np.float32), np.ones(4, np.float32)), {})}


def write_rotated(file: Path, size_wh: tuple[int, int]) -> None:
    """Write a JPEG of this stored size, whose EXIF data rotate it by 90 degrees."""
    ok, encoded = cv2.imencode(".jpg", np.zeros((size_wh[1], size_wh[0], 3), np.uint8))
    assert ok
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"  # tag 0x0112 (orientation), one short: 6
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    file.write_bytes(encoded.tobytes()[:2] + segment + encoded.tobytes()[2:])
    assert cv2.imread(str(file)).shape[:2] == size_wh


def use_model(data: DataSet) -> None:
    run_model(FixedModel(), data)


def draw_failures(data: DataSet) -> None:
    nobody = [detections_of(person_at(50))] * len(data)
    failure_sheets(data, nobody, evaluate_detections(data, nobody).errors)


@pytest.mark.parametrize("use", [use_model, draw_failures, DataSet.check_rotation])
def test_labels_of_an_image_before_its_rotation_are_rejected(tmp_path: Path, use: Callable[[DataSet], None]) -> None:
    write_rotated(tmp_path / "a.jpg", (WIDTH, HEIGHT))
    with pytest.raises(ValueError, match=r"a\.jpg: expected width and height \(900, 300\).*EXIF rotation"):
        use(read_coco(write_labels(tmp_path)))
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    use(read_coco(write_labels(tmp_path)))


def test_stored_results_need_no_images(tmp_path: Path) -> None:
    read_coco(write_labels(tmp_path)).check_rotation()


def test_labels_of_another_size_are_rejected(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"expected width and height \(900, 300\) as in the labels, got \(450, 150\)"):
        use_model(read_coco(write_labels(tmp_path)))


def test_names_of_a_model_may_be_spelled_otherwise() -> None:
    source = Skeleton("own", ("hand_left", "l_shoulder"), ())
    people = People(np.array([[[1, 2], [3, 4]]], np.float32), np.ones((1, 2), np.float32), np.ones(1, np.float32))
    target = Skeleton("labels", ("left_shoulder", "left_hand"), ())
    assert to_detections(people, source, target).keypoints.tolist() == [[[3, 4], [1, 2]]]


def test_the_spelling_of_a_model_makes_no_keypoint_unknown() -> None:
    model = Skeleton("own", ("l_shoulder", "nose"), ())
    data = data_set(skeleton=Skeleton("labels", ("left_shoulder", "nose", "left_hip"), ()))
    assert evaluate_results(data, ModelResults(model, [], {})).unknown_keypoints == ("left_hip",)


# --- the command


def run_command(*arguments: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(evaluate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_reports_the_labels_and_chooses_a_category(tmp_path: Path) -> None:
    labels = write_labels(tmp_path)
    content = json.loads(labels.read_text())
    content["categories"].append({**content["categories"][0], "id": 2, "name": "dog"})
    content["annotations"][0]["category_id"] = 2
    labels.write_text(json.dumps(content))
    result = run_command("--data", labels, "--results", write_results(tmp_path))
    assert result.exit_code == 0, result.output
    assert f"{labels}: 1 image, 3 people, 51 keypoints, 0 ignored areas" in result.stderr
    assert f"{labels}: left out: 1 annotations of category dog (2)" in result.stderr
    result = run_command("--data", labels, "--results", tmp_path / "results.json", "--category", "dog")
    assert f"{labels}: 1 image, 1 person, 17 keypoints" in result.stderr


def evaluate_case(folder: Path, results: str) -> dict[str, str]:
    data = "--data", folder / "labels.json", "--images", folder / "images"
    result = run_command(*data, "--results", folder / results)
    assert result.exit_code == 0, result.output
    rows = [line.rsplit(maxsplit=1) for line in result.stdout.splitlines()]
    return {row[0].strip(): row[1] for row in rows if len(row) == 2}


@pytest.mark.parametrize(
    ("case", "results", "expected"),
    [
        ("evaluate_area_null", "results_wrong.json", {"AP": "0.0"}),
        ("evaluate_background_image", "results.json", {"AP": "100.0", "missed people": "0", "false positives": "3"}),
        ("coco_bbox_zero", "results_right.json", {"AP": "100.0", "missed people": "0", "false positives": "0"}),
        ("coco_bbox_zero", "results_1px.json", {"AP": "98.4", "missed people": "0", "false positives": "0"}),
        ("coco_bbox_empty", "../coco_bbox_zero/results_right.json", {"AP": "100.0", "missed people": "0"}),
    ],
)
def test_reported_cases(shared: Path, case: str, results: str, expected: dict[str, str]) -> None:
    folder = shared / "cases" / case
    if not folder.is_dir():
        pytest.skip(f"the folder of reported cases is missing ({folder})")
    rows = evaluate_case(folder, results)
    assert {name: rows[name] for name in expected} == expected


def test_keypoints_of_a_network_count_by_their_scores(tmp_path: Path) -> None:
    """As in training: from 0.5 on a keypoint counts, and from six of them on a person counts."""
    labels = write_labels(tmp_path)
    content = json.loads(labels.read_text())
    for person, scores in zip(content["annotations"], ([0.9] * 17, [0.9] * 6 + [0.4] * 11, [0.4] * 17), strict=False):
        person["keypoint_scores"] = scores
    labels.write_text(json.dumps(content))
    (image,) = read_coco(labels).images
    assert image.labelled.sum(axis=1).tolist() == [17, 6, 0, 17]
    assert image.ignored.tolist() == [False, False, True, False]
