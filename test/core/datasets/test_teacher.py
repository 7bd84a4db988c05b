"""Labels by models: the file, several files made one, and the commands that write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recordings
from scene import crowd
from typer.testing import CliRunner, Result

from pose_ros.cli import app
from pose_ros.datasets import teacher
from pose_ros.datasets.labels_file import LabelFile
from pose_ros.datasets.teacher import merge, scored
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18, Skeleton

FAST = ["--short-side", "64", "--threads", "1"]
SIZE_WH = (90, 60)


def people(count: int = 2, score: float = 0.8, skeleton: Skeleton = OPENPOSE_18) -> People:
    keypoints = crowd(count, (60, 90))[:, : len(skeleton)].astype(np.float32)
    scores = np.full(keypoints.shape[:2], score, np.float32)
    return People(keypoints, scores, np.full(count, score, np.float32))


def without(found: People, keypoint: int, score: float) -> People:
    """One keypoint of each person as good as not seen."""
    scores = found.scores.copy()
    scores[:, keypoint] = score
    return People(found.keypoints, scores, found.person_scores)


def written(path: Path, images: dict[str, People], skeleton: Skeleton = OPENPOSE_18) -> Path:
    labels = LabelFile(path, skeleton)
    for name, found in images.items():
        labels.add(name, SIZE_WH, scored(found))
    labels.close()
    return path


def content(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def test_a_file_is_coco_with_scores(tmp_path: Path) -> None:
    found = people()
    labels = content(written(tmp_path / "l.json", {"a.png": People.empty(18), "b.png": found}))
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
def test_what_is_hardly_seen_is_not_written(tmp_path: Path, score: float, kept: bool) -> None:
    labels = content(written(tmp_path / "l.json", {"a.png": without(people(1), 4, score)}))
    (annotation,) = labels["annotations"]
    assert (annotation["keypoints"][12:15] != [0, 0, 0]) == kept == (annotation["keypoint_scores"][4] > 0)
    assert annotation["num_keypoints"] == 17 + kept


def test_a_file_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "l.json"
    path.write_text("older")
    labels = LabelFile(path, OPENPOSE_18)
    labels.add("a.png", SIZE_WH, scored(people()))
    assert path.read_text() == "older"

    def cut(file: Path, text: str, encoding: str) -> None:
        file.write_bytes(text.encode(encoding)[:100])
        raise OSError("no room")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", cut)
        with pytest.raises(OSError, match="no room"):
            labels.close()
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]
    labels.close()
    assert len(content(path)["annotations"]) == 2 and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"labels: expected a folder for l\.json, got .*none, which is none"):
        LabelFile(tmp_path / "none" / "l.json", OPENPOSE_18)


def test_one_file_merged_is_itself(tmp_path: Path) -> None:
    found = without(people(), 4, 0.0)
    path = written(tmp_path / "a.json", {"a.png": found, "b.png": People.empty(18)})
    merge([path], tmp_path / "m.json")
    before, after = content(path), content(tmp_path / "m.json")
    assert after["images"] == before["images"] and after["categories"] == before["categories"]
    for old, new in zip(before["annotations"], after["annotations"], strict=True):
        np.testing.assert_allclose(new["keypoints"], old["keypoints"], atol=0.011)
        np.testing.assert_allclose(new["keypoint_scores"], old["keypoint_scores"], atol=1e-3)


def test_what_one_teacher_alone_has_seen_counts_half(tmp_path: Path) -> None:
    both = written(tmp_path / "a.json", {"a.png": people(2), "b.png": people(1)})
    one = written(tmp_path / "b.json", {"a.png": people(2)[:1], "b.png": People.empty(18)})
    merge([both, one], tmp_path / "m.json")
    scores = [(entry["image_id"], entry["score"]) for entry in content(tmp_path / "m.json")["annotations"]]
    assert scores == [(1, 0.8), (1, 0.4), (2, 0.4)]


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """A label file in which something is different."""

    def spoil(path: Path) -> None:
        labels = content(path)
        change(labels)
        path.write_text(json.dumps(labels))

    return spoil


OTHERS, NO_LABELS = "expected the keypoints and images of", "expected a file of labels with keypoint_scores"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: written(path, {"a.png": people(skeleton=COCO_17)}, COCO_17), OTHERS),
        (lambda path: written(path, {"b.png": people()}), OTHERS),
        (changed(lambda labels: labels["images"][0].update(width=91)), OTHERS),
        (lambda path: path.write_text("no JSON"), NO_LABELS),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), NO_LABELS),
        (lambda path: path.write_text("[]"), NO_LABELS),
        (changed(lambda labels: labels["categories"].clear()), NO_LABELS),
        (changed(lambda labels: labels["annotations"][0].pop("keypoint_scores")), NO_LABELS),
        (changed(lambda labels: labels["annotations"][0]["keypoints"].pop()), NO_LABELS),
        (changed(lambda labels: labels["annotations"][0].update(score=1.5)), NO_LABELS),
        (changed(lambda labels: labels["annotations"][0].update(image_id=7)), NO_LABELS),
    ],
    ids=[
        *("other keypoints", "other images", "other sizes", "no JSON", "no text", "no labels", "no category"),
        *("no scores", "half a keypoint", "too sure", "an image that is not there"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    good = written(tmp_path / "good.json", {"a.png": people()})
    bad = written(tmp_path / "bad.json", {"a.png": people()})
    spoil(bad)
    with pytest.raises(ValueError, match=rf"bad\.json: {message}"):
        merge([good, bad], tmp_path / "m.json")
    assert not (tmp_path / "m.json").exists()


def run(*arguments: object) -> Result:
    """Run the program in this process; exceptions that it lets through are ours."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return recordings.write_images(tmp_path / "pictures", ["2.png", "10.jpg"])


def test_a_folder_is_labelled_and_labels_are_merged(pictures: Path, tmp_path: Path) -> None:
    first, second, both = (tmp_path / name for name in ("first.json", "second.json", "both.json"))
    said = run("label", pictures, "-o", first, *FAST)
    assert said.exit_code == 0 and f"{first}: 0 people in 2 images" in said.output
    labels = content(first)
    height, width = recordings.picture(0).shape[:2]
    assert [(i["file_name"], i["width"], i["height"]) for i in labels["images"]] == [
        ("2.png", width, height),
        ("10.jpg", width, height),
    ]
    assert run("label", pictures, "-o", second, "--no-flip", *FAST, "--short-side", "96").exit_code == 0
    merged = run("merge-labels", first, second, "-o", both)
    assert merged.exit_code == 0 and f"{both}: merged 2 files" in merged.output
    assert content(both) == labels


def test_people_are_labelled_in_the_keypoints_that_were_asked_for(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is in the pictures; the model is made to see two people in each."""
    monkeypatch.setattr("pose_ros.estimator.PoseEstimator.estimate", lambda self, image_bgr: people())
    said = run("label", pictures, "-o", tmp_path / "l.json", "--skeleton", "coco_17", "--no-flip", *FAST)
    assert said.exit_code == 0 and "4 people in 2 images" in said.output
    labels = content(tmp_path / "l.json")
    assert labels["categories"][0]["keypoints"] == list(COCO_17.keypoint_names)
    nose = labels["annotations"][0]["keypoints"][:2]
    np.testing.assert_allclose(nose, people().keypoints[0, OPENPOSE_18.index("nose")], atol=0.006)
    assert [entry["image_id"] for entry in labels["annotations"]] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["label", "{}", "-o", "{}/l.json"], "expected images"),
        (["label", "{}/pictures", "-o", "{}/l.json", "--skeleton", "dog"], "--skeleton: expected one of coco_17, "),
        (["label", "{}/pictures", "-o", "{}/none/l.json", *FAST], "labels: expected a folder for l.json"),
        (["label", "{}/pictures", "-o", "{}/l.json", "--model", "{}/no.onnx"], "no.onnx, which does not exist"),
        (["merge-labels", "{}/no.json", "-o", "{}/l.json"], "no.json"),
    ],
    ids=["no images", "skeleton", "no folder", "no model", "no labels"],
)
def test_wrong_commands_are_one_line(pictures: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    said = run(*(argument.format(tmp_path) for argument in arguments))
    lines = said.stderr.strip().splitlines()
    assert said.exit_code == 1 and lines[-1].startswith("pose_ros: ") and message in lines[-1], said.output
    assert not (tmp_path / "l.json").exists()


def test_a_broken_picture_is_named_and_nothing_is_written(pictures: Path, tmp_path: Path) -> None:
    (pictures / "10.jpg").write_bytes(b"no picture")
    said = run("label", pictures, "-o", tmp_path / "l.json", *FAST)
    assert said.exit_code == 1 and "10.jpg: expected a whole image" in said.stderr
    assert not (tmp_path / "l.json").exists()


def test_files_are_asked_about_one_after_the_other(pictures: Path) -> None:
    """So that a folder of any size needs the memory of one picture."""

    class Watching:
        asked = 0

        def estimate(self, image_bgr: np.ndarray) -> People:
            self.asked += 1
            return People.empty(18)

    views = Watching()
    answers = teacher.label(views, sorted(pictures.iterdir()))  # type: ignore[arg-type]
    file, size_wh, found = next(answers)
    assert views.asked == 1 and file.name == "10.jpg" and len(found) == 0
    assert size_wh == recordings.picture(0).shape[1::-1]
