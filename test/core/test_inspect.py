"""``pose_ros inspect``: a sheet of samples from whatever holds data."""

import json

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from pose_ros.cli.data import inspect
from pose_ros.skeleton import COCO_17
from pose_ros.training.preview import drawn, sheet
from pose_ros.training.sample import LABELLED, UNCERTAIN, Sample

app = typer.Typer()
app.command()(inspect)


@pytest.fixture
def labels(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((90, 120, 3), 90, np.uint8))
    xy = COCO_17.standing * 70 + (60, 10)
    keypoints = np.column_stack([xy, np.full(17, 2)]).ravel().tolist()
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "keypoints": keypoints, "bbox": [40, 10, 40, 70]}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.keypoint_names)}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return tmp_path / "labels.json"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("plain", [(), ("--plain",)], ids=["augmented", "plain"])
def test_a_sheet_of_samples(labels, tmp_path, plain):
    done = run(labels, "-o", tmp_path / "sheet.png", "-n", 5, "--columns", 3, "--size", 64, *plain)
    assert done.exit_code == 0, done.output
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (2 * 64 + 4, 3 * 64 + 2 * 4, 3)
    assert "5 samples of 1 pictures" in done.output


def test_a_folder_is_of_pictures_without_people(labels, tmp_path):
    done = run(tmp_path, "-o", tmp_path / "out" / "sheet.png", "-n", 1)
    assert done.exit_code == 0 and "0.00 people" in done.output


def test_synthetic_is_a_word(tmp_path):
    done = run("synthetic", "-o", tmp_path / "sheet.png", "-n", 2, "--size", 96)
    assert done.exit_code == 0 and "of 10000 pictures" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["labels.csv"], "expected a file ending"),
        (["labels.json", "--skeleton", "x"], "coco_17"),
        (["broken.yaml"], "broken.yaml: expected YAML, got: "),
    ],
)
def test_what_cannot_be_shown_is_said(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.yaml").write_text("data: [")
    done = run(*arguments)
    assert isinstance(done.exception, ValueError) and message in str(done.exception)


def test_what_is_ignored_and_uncertain_is_to_be_seen():
    keypoints, states = np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.uint8)
    keypoints[0, :2], states[0, :2] = [(20, 20), (60, 60)], [LABELLED, UNCERTAIN]
    ignored = np.zeros((80, 80), bool)
    ignored[:, :8] = True
    sample = Sample(np.full((80, 80, 3), 100, np.uint8), keypoints, states, np.full((1, 4), 40, np.float32), ignored)
    image = drawn(sample, COCO_17)
    assert set(np.unique(image[70:, :8])) == {50, 235} and (image[70:, 70:] == 100).all()
    assert (image[18:23, 18:23] != 100).any() and (image[60, 64] != 100).any()
    assert (sample.image_bgr == 100).all()


def test_a_sheet_with_an_open_row():
    assert sheet([np.zeros((4, 6, 3), np.uint8)] * 3, 2).shape == (12, 16, 3)
