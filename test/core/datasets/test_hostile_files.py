"""Test that every fault of a file of labels or results is one line that names the file once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from label_files import make_annotation, write_coco, write_image, write_yolo

sys.path.insert(0, str(Path(__file__).parents[2] / "fuzz"))

import labels_and_results

from pose_ros.datasets.extra import read_extra
from pose_ros.datasets.labels import DEFAULT_GATES
from pose_ros.datasets.sets import DataConfig, open_data_set
from pose_ros.evaluation.data_sets import read_data
from pose_ros.evaluation.detections import read_results
from pose_ros.skeleton import COCO_17

DEEP = b"[" * 100_000
NUMBER_AS_NAMES = b'{"images": [], "annotations": [], "categories": [{"keypoints": 5}]}'


def test_changed_files_are_read_or_reported(tmp_path: Path) -> None:
    findings = labels_and_results.fuzz(600, 3, tmp_path)
    assert findings.faults == []
    assert min(findings.counts[f"{name}: error"] for name in ("coco", "results", "mpii", "yolo", "lsp")) > 10


def open_labels(file: Path, format: str) -> object:
    return open_data_set(DataConfig(format, labels=str(file)), COCO_17)


@pytest.mark.parametrize(
    ("read", "name", "data"),
    [
        (lambda file: open_labels(file, "coco"), "a.json", DEEP),
        (lambda file: open_labels(file, "mpii"), "a.json", DEEP),
        (lambda file: open_labels(file, "lsp"), "a.npz", b"PK\x03\x04 no archive"),
        (lambda file: open_labels(file, "lsp"), "a.npz", b""),
        (read_data, "a.json", DEEP),
        (lambda file: read_extra(file, COCO_17, DEFAULT_GATES), "a.json", DEEP),
        (lambda file: read_extra(file, COCO_17, DEFAULT_GATES), "a.json", NUMBER_AS_NAMES),
    ],
    ids=["coco", "mpii", "archive", "empty archive", "evaluation", "extra", "keypoint names"],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path: Path, read, name: str, data: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        read(file)
    assert str(caught.value).count(str(file)) == 1 and "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [DEEP, b'{"a": 1}', b"[1]", b'[{"image_id": [1]}]', b'["a"]'])
def test_damaged_results_are_named(tmp_path: Path, data: bytes) -> None:
    labels, results = write_coco(tmp_path, [make_annotation()]), tmp_path / "people.json"
    results.write_bytes(data)
    with pytest.raises(ValueError, match=r"results .*people\.json") as caught:
        read_results(results, read_data(labels))
    assert str(caught.value).count(str(results)) == 1


def test_an_id_that_is_too_long_for_a_file_name_is_a_missing_image(tmp_path: Path) -> None:
    labels = write_coco(tmp_path, [], {"id": 10**300})
    content = json.loads(labels.read_text())
    del content["images"][0]["file_name"]
    labels.write_text(json.dumps(content))
    image = read_data(labels).images[0]
    with pytest.raises(FileNotFoundError, match=r"got .{300}…, which does not exist; .*--images"):
        image.read_image()


@pytest.mark.parametrize(
    "read", [lambda file: open_labels(file, "coco"), lambda file: read_data(file).images[0].read_image()]
)
def test_a_missing_image_names_the_option(tmp_path: Path, read) -> None:
    labels = write_coco(tmp_path, [make_annotation()], {"file_name": "none.jpg"})
    with pytest.raises((ValueError, FileNotFoundError), match=r"none\.jpg, which does not exist; .*--images"):
        read(labels)


@pytest.mark.parametrize(
    "content",
    [
        {"path": None, "train": "../train/images"},
        {"path": None, "train": "../../train/images"},
        {"path": "/content/none", "train": "train/images"},
        {"path": ".", "train": "lists/train.txt"},
    ],
    ids=str,
)
def test_folders_of_roboflow_and_other_machines_are_found(tmp_path: Path, content: dict[str, object]) -> None:
    file = write_yolo(tmp_path / "set", **{key: value for key, value in content.items() if value is not None})
    content = {**json.loads(file.read_text()), **content}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    (file.parent / "train").mkdir()
    (file.parent / "images" / "train").rename(file.parent / "train" / "images")
    (file.parent / "labels" / "train").rename(file.parent / "train" / "labels")
    (file.parent / "lists").mkdir()
    (file.parent / "lists" / "train.txt").write_text("./train/images/a.jpg\n../train/images/b.jpg\n")
    assert [image.file.name for image in open_labels(file, "yolo").images] == ["a.jpg", "b.jpg"]


def test_a_list_of_images_is_read_or_missed_by_name(tmp_path: Path) -> None:
    labels = write_coco(tmp_path, [make_annotation()])
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\n sub/a.jpg \n")
    assert len(open_data_set(DataConfig(labels=str(labels), subset=str(tmp_path / "names.txt")), COCO_17)) == 1
    with pytest.raises(FileNotFoundError, match=r"subset: expected a text file with image names, got .*none\.txt"):
        open_data_set(DataConfig(labels=str(labels), subset=str(tmp_path / "none.txt")), COCO_17)


def test_a_class_that_is_not_listed_is_reported(tmp_path: Path) -> None:
    file = write_yolo(tmp_path)
    text = file.parent / "labels" / "train" / "a.txt"
    text.write_text(text.read_text() + "7" + text.read_text()[1:])
    report = open_labels(file, "yolo").report
    assert report.people == 1 and report.left_out == {"lines of class 7 (not listed)": 1}


def test_impossible_values_are_errors_without_warnings(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    write_image(tmp_path)
    person = {"image": "a.jpg", "joints": np.full((16, 2), 1e300).tolist(), "joints_vis": [1] * 16}
    (tmp_path / "mpii.json").write_text(json.dumps([person]))
    with pytest.raises(ValueError, match=r"mpii\.json: image a\.jpg: keypoints: expected finite numbers"):
        open_labels(tmp_path / "mpii.json", "mpii")
    assert not recwarn.list
