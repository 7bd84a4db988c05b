"""Test labels by models: the label file, merging of label files, and the commands that write them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings
from cli_runner import run
from scene import crowd

from pose_ros.datasets import teacher
from pose_ros.datasets.labels_file import LabelFile
from pose_ros.datasets.teacher import merge, to_annotations
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton

pytestmark = pytest.mark.usefixtures("share_default_network")
FAST = ["--short-side", "64", "--threads", "1"]
SIZE_WH = (90, 60)


def make_people(count: int = 2, score: float = 0.8, skeleton: Skeleton = OPENPOSE_18) -> People:
    keypoints = crowd(count, (60, 90))[:, : len(skeleton)].astype(np.float32)
    scores = np.full(keypoints.shape[:2], score, np.float32)
    return People(keypoints, scores, np.full(count, score, np.float32))


def with_score(found: People, keypoint: int, score: float) -> People:
    """Set the score of one keypoint of each person."""
    scores = found.scores.copy()
    scores[:, keypoint] = score
    return People(found.keypoints, scores, found.person_scores)


def write_labels(path: Path, images: dict[str, People], skeleton: Skeleton = OPENPOSE_18) -> Path:
    labels = LabelFile(path, skeleton)
    for name, found in images.items():
        labels.add(name, SIZE_WH, to_annotations(found))
    labels.close()
    return path


def load_json(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def test_label_file_is_coco_with_scores(tmp_path: Path) -> None:
    found = make_people()
    labels = load_json(write_labels(tmp_path / "l.json", {"a.png": People.empty(18), "b.png": found}))
    assert [image["file_name"] for image in labels["images"]] == ["a.png", "b.png"]
    assert labels["images"][1] == {"id": 2, "file_name": "b.png", "width": 90, "height": 60}
    (category,) = labels["categories"]
    assert tuple(category["keypoints"]) == OPENPOSE_18.keypoint_names
    assert category["skeleton"][0] == [a + 1 for a in OPENPOSE_18.limbs[0]]  # COCO counts from 1
    first, second = labels["annotations"]
    assert (first["id"], first["image_id"], second["id"], second["image_id"]) == (1, 2, 2, 2)
    triples = np.array(first["keypoints"]).reshape(18, 3)
    np.testing.assert_allclose(triples[:, :2], found.keypoints[0], atol=0.006)
    assert (triples[:, 2] == 2).all() and first["num_keypoints"] == 18
    assert first["keypoint_scores"] == [0.8] * 18 and first["score"] == 0.8 and first["iscrowd"] == 0
    x, y, width, height = first["bbox"]
    np.testing.assert_allclose([x, y, x + width, y + height], found.boxes()[0], atol=0.02)
    assert first["area"] == pytest.approx(width * height, rel=1e-2)


@pytest.mark.parametrize(("score", "kept"), [(0.0, False), (0.019, False), (0.021, True)])
def test_keypoints_with_a_low_score_are_not_written(tmp_path: Path, score: float, kept: bool) -> None:
    labels = load_json(write_labels(tmp_path / "l.json", {"a.png": with_score(make_people(1), 4, score)}))
    (annotation,) = labels["annotations"]
    assert (annotation["keypoints"][12:15] != [0, 0, 0]) == kept == (annotation["keypoint_scores"][4] > 0)
    assert annotation["num_keypoints"] == 17 + kept


def test_a_label_file_is_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "l.json"
    path.write_text("older")
    labels = LabelFile(path, OPENPOSE_18)
    labels.add("a.png", SIZE_WH, to_annotations(make_people()))
    assert path.read_text() == "older"

    def cut(file: Path, text: str, encoding: str) -> None:
        file.write_bytes(text.encode(encoding)[:100])
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", cut)
        with pytest.raises(OSError, match="no room"):
            labels.close()
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]
    labels.close()
    assert len(load_json(path)["annotations"]) == 2 and list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_reported_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"labels: expected a folder for l\.json, got .*none, which is not a folder"
    ):
        LabelFile(tmp_path / "none" / "l.json", OPENPOSE_18)


def test_merging_one_file_keeps_its_labels(tmp_path: Path) -> None:
    found = with_score(make_people(), 4, 0.0)
    path = write_labels(tmp_path / "a.json", {"a.png": found, "b.png": People.empty(18)})
    merge([path], tmp_path / "m.json")
    before, after = load_json(path), load_json(tmp_path / "m.json")
    assert after["images"] == before["images"] and after["categories"] == before["categories"]
    for old, new in zip(before["annotations"], after["annotations"], strict=True):
        np.testing.assert_allclose(new["keypoints"], old["keypoints"], atol=0.011)
        np.testing.assert_allclose(new["keypoint_scores"], old["keypoint_scores"], atol=1e-3)


def test_a_person_found_by_one_of_two_teachers_gets_half_the_score(tmp_path: Path) -> None:
    both = write_labels(tmp_path / "a.json", {"a.png": make_people(2), "b.png": make_people(1)})
    one = write_labels(tmp_path / "b.json", {"a.png": make_people(2)[:1], "b.png": People.empty(18)})
    merge([both, one], tmp_path / "m.json")
    scores = [(entry["image_id"], entry["score"]) for entry in load_json(tmp_path / "m.json")["annotations"]]
    assert scores == [(1, 0.8), (1, 0.4), (2, 0.4)]


def edit_file(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Make a function that changes the content of a label file."""

    def damage(path: Path) -> None:
        labels = load_json(path)
        change(labels)
        path.write_text(json.dumps(labels))

    return damage


DIFFERENT, INVALID = "expected the same keypoints and images as in", "expected a COCO file with keypoint_scores"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: write_labels(path, {"a.png": make_people(skeleton=COCO_17)}, COCO_17), DIFFERENT),
        (lambda path: write_labels(path, {"b.png": make_people()}), DIFFERENT),
        (edit_file(lambda labels: labels["images"][0].update(width=91)), DIFFERENT),
        (lambda path: path.write_text("no JSON"), INVALID),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), INVALID),
        (lambda path: path.write_text("[]"), INVALID),
        (edit_file(lambda labels: labels["categories"].clear()), INVALID),
        (edit_file(lambda labels: labels["annotations"][0].pop("keypoint_scores")), INVALID),
        (edit_file(lambda labels: labels["annotations"][0]["keypoints"].pop()), INVALID),
        (edit_file(lambda labels: labels["annotations"][0].update(score=1.5)), INVALID),
        (edit_file(lambda labels: labels["annotations"][0].update(image_id=7)), INVALID),
    ],
    ids=[
        *("other keypoints", "other images", "other sizes", "no JSON", "no text", "no labels", "no category"),
        *("no scores", "incomplete keypoint", "score above 1", "unknown image"),
    ],
)
def test_invalid_files_are_reported(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    good = write_labels(tmp_path / "good.json", {"a.png": make_people()})
    bad = write_labels(tmp_path / "bad.json", {"a.png": make_people()})
    damage(bad)
    with pytest.raises(ValueError, match=rf"bad\.json: {message}"):
        merge([good, bad], tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    return recordings.write_images(tmp_path / "images", ["2.png", "10.jpg"])


def test_commands_label_a_folder_and_merge_labels(image_folder: Path, tmp_path: Path) -> None:
    first, second, both = (tmp_path / name for name in ("first.json", "second.json", "both.json"))
    result = run("label", image_folder, "-o", first, *FAST)
    assert result.exit_code == 0 and f"{first}: 0 people in 2 images" in result.output
    labels = load_json(first)
    height, width = recordings.frame_image(0).shape[:2]
    assert [(i["file_name"], i["width"], i["height"]) for i in labels["images"]] == [
        ("2.png", width, height),
        ("10.jpg", width, height),
    ]
    assert run("label", image_folder, "-o", second, "--no-flip", *FAST, "--short-side", "96").exit_code == 0
    merged = run("merge-labels", first, second, "-o", both)
    assert merged.exit_code == 0 and f"{both}: merged 2 files" in merged.output
    assert load_json(both) == labels


def test_people_are_labelled_with_the_requested_skeleton(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images contain no people. The patched model finds two people in each image."""
    monkeypatch.setattr("pose_ros.estimator.PoseEstimator.estimate", lambda self, image_bgr: make_people())
    result = run("label", image_folder, "-o", tmp_path / "l.json", "--skeleton", "coco_17", "--no-flip", *FAST)
    assert result.exit_code == 0 and "4 people in 2 images" in result.output
    labels = load_json(tmp_path / "l.json")
    assert labels["categories"][0]["keypoints"] == list(COCO_17.keypoint_names)
    nose = labels["annotations"][0]["keypoints"][:2]
    np.testing.assert_allclose(nose, make_people().keypoints[0, OPENPOSE_18.index("nose")], atol=0.006)
    assert [entry["image_id"] for entry in labels["annotations"]] == [2, 2, 10, 10]


def test_a_second_stage_labels_the_crops_of_the_people(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network of the second stage has random weights. It sees two crops of each image."""
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from pose_ros.export.to_onnx import export
    from pose_ros.network import zoo

    export(zoo.build_random("movenet_lightning"), tmp_path / "second.onnx")
    monkeypatch.setattr("pose_ros.estimator.PoseEstimator.estimate", lambda self, image_bgr: make_people())
    plain, refined = tmp_path / "plain.json", tmp_path / "refined.json"
    assert run("label", image_folder, "-o", plain, "--no-flip", *FAST).exit_code == 0
    second = ["--refine", tmp_path / "second.onnx", "--threads", "1"]
    result = run("label", image_folder, "-o", refined, "--no-flip", *second)
    assert result.exit_code == 0, result.output
    before, after = load_json(plain)["annotations"], load_json(refined)["annotations"]
    assert 0 < len(after) <= len(before) == 4 and before[0]["keypoint_scores"] != after[0]["keypoint_scores"]
    assert all(0 <= score <= 1 for entry in after for score in (entry["score"], *entry["keypoint_scores"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["label", "{}/images", "-o", "{}/l.json", "--refine", str(DEFAULT_MODEL)], "crops of one person"),
        (["label", "{}", "-o", "{}/l.json"], "expected images"),
        (["label", "{}/images", "-o", "{}/l.json", "--skeleton", "dog"], "--skeleton: expected one of coco_17, "),
        (["label", "{}/images", "-o", "{}/none/l.json", *FAST], "labels: expected a folder for l.json"),
        (["label", "{}/images", "-o", "{}/l.json", "--model", "{}/no.onnx"], "no.onnx, which does not exist"),
        (["merge-labels", "{}/no.json", "-o", "{}/l.json"], "no.json"),
    ],
    ids=["second stage for many people", "no images", "skeleton", "no folder", "no model", "no labels"],
)
def test_wrong_commands_fail_with_one_line(
    image_folder: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run(*(argument.format(tmp_path) for argument in arguments))
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 1 and lines[-1].startswith("pose_ros: ") and message in lines[-1], result.output
    assert not (tmp_path / "l.json").exists()


def test_with_strict_a_broken_image_is_reported_and_no_labels_are_written(image_folder: Path, tmp_path: Path) -> None:
    (image_folder / "10.jpg").write_bytes(b"not an image")
    result = run("label", image_folder, "-o", tmp_path / "l.json", *FAST, "--strict")
    assert result.exit_code == 1 and "10.jpg: expected a complete image" in result.stderr
    assert not (tmp_path / "l.json").exists()


def test_images_are_estimated_one_at_a_time(image_folder: Path) -> None:
    """A folder of any size thus needs the memory of one image only."""

    class CountingViews:
        count = 0

        def estimate(self, image_bgr: np.ndarray) -> People:
            self.count += 1
            return People.empty(18)

    views = CountingViews()
    results = teacher.label_images(views, sorted(image_folder.iterdir()))  # type: ignore[arg-type]
    file, size_wh, found = next(results)
    assert views.count == 1 and file.name == "10.jpg" and len(found) == 0
    assert size_wh == recordings.frame_image(0).shape[1::-1]


def test_labels_and_results_number_images_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycocotools")
    folder = recordings.write_images(tmp_path / "images", ["frame_07.png", "frame_12.png", "still.png"])
    monkeypatch.setattr("pose_ros.estimator.PoseEstimator.estimate", lambda self, image_bgr: make_crowd())
    labels, results = tmp_path / "labels.json", tmp_path / "people.json"
    assert run("label", folder, "-o", labels, "--skeleton", "coco_17", "--no-flip", *FAST).exit_code == 0
    assert run("image", folder, "--coco", results, *FAST).exit_code == 0
    assert [image["id"] for image in load_json(labels)["images"]] == [7, 12, 2]
    assert {entry["image_id"] for entry in load_json(results)} == {7, 12, 2}
    result = run("evaluate", "--results", results, "--data", labels, "--images", folder)
    assert result.exit_code == 0 and re.search(r"^AP +100\.0$", result.stdout, re.MULTILINE), result.output


def make_crowd() -> People:
    """Make a person of 18 certain keypoints."""
    keypoints = (OPENPOSE_18.standing * 30 + (30, 5)).astype(np.float32)[None]
    return People(keypoints, np.full((1, 18), 0.9, np.float32), np.array([0.9], np.float32))


def test_a_file_that_teaches_nothing_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recordings.write_images(tmp_path / "images", ["1.png"])
    weak = make_crowd()
    weak = People(weak.keypoints, weak.scores / 2, weak.person_scores)
    monkeypatch.setattr("pose_ros.estimator.PoseEstimator.estimate", lambda self, image_bgr: weak)
    result = run("label", folder, "-o", tmp_path / "labels.json", "--no-flip", *FAST)
    assert f"{tmp_path / 'labels.json'}: taught: 0 people with 0 keypoints" in result.stdout
    assert "teaches nothing, and pose_ros train would stop" in result.stderr
    inspected = run("inspect", tmp_path / "labels.json", "--images", folder, "-o", tmp_path / "sheet.png")
    assert inspected.exit_code == 1 and not (tmp_path / "sheet.png").exists()
