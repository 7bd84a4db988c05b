"""Test that people are found in label files of other programs, and that what is left out is reported."""

import json

import numpy as np
import pytest
from label_files import COCO_CATEGORY, make_annotation, standing_person, write_coco, write_image, write_yolo

from pose_ros.datasets.coco import read_coco
from pose_ros.datasets.extra import read_extra
from pose_ros.datasets.label_report import LabelReport
from pose_ros.datasets.labels import Gates
from pose_ros.datasets.lsp import LSP_NAMES, read_lsp
from pose_ros.datasets.mpii import read_mpii
from pose_ros.datasets.sets import DataConfig, describe_labels, open_data_set
from pose_ros.datasets.yolo import read_yolo
from pose_ros.evaluation.data_sets import read_data
from pose_ros.skeleton import COCO_17, OPENPOSE_18

NAMES = COCO_CATEGORY["keypoints"]
ROOT = {"id": 0, "name": "person", "supercategory": "none"}
DOG = {"id": 3, "name": "dog", "keypoints": NAMES}
BOX_ONLY = {"keypoints": [], "num_keypoints": 0}


def category(number, name, keypoints=NAMES):
    return {"id": number, "name": name, "keypoints": keypoints}


PEOPLE = {  # categories, annotations of two people, changes of the image entry
    "one": ([COCO_CATEGORY], [{}, {}], {}),
    "root category of the same name": ([ROOT, category(1, "person")], [{}, {}], {}),
    "root category without annotations, names or keypoints": ([ROOT, {"id": 1, "name": "person"}], [{}, {}], {}),
    "boxes in another category": (
        [{"id": 2, "name": "person"}, category(1, "skeleton")],
        [{}, {}, {"category_id": 2, **BOX_ONLY}],
        {},
    ),
    "category that is not listed": ([category(9, "person")], [{}, {}], {}),
    "text as category id": ([COCO_CATEGORY], [{"category_id": "1"}, {"category_id": 1.0}], {}),
    "no category id": ([COCO_CATEGORY], [{"category_id": None}, {}], {}),
    "text as image id": ([COCO_CATEGORY], [{"image_id": "1"}, {}], {}),
    "text as id of the image": ([COCO_CATEGORY], [{}, {"image_id": 1.0}], {"id": "1"}),
    "two kinds of people": ([category(1, "adult"), category(2, "child")], [{}, {"category_id": 2}], {}),
    "two kinds of something": ([category(1, "a"), category(2, "b")], [{}, {"category_id": 2}], {}),
    "empty category with other keypoints": ([category(5, "person", ["nose"]), category(1, "human")], [{}, {}], {}),
    "people with other keypoints": (
        [category(2, "adult", ["nose"]), category(1, "child")],
        [{}, {}, {"category_id": 2, "keypoints": [5, 5, 2]}],
        {},
    ),
    "people and dogs": ([DOG, category(1, "Sitting Persons")], [{}, {}, {"category_id": 3}], {}),
}


def write(folder, name):
    categories, changes, entry = PEOPLE[name]
    annotations = [make_annotation(n, **change) for n, change in enumerate(changes, 1)]
    return write_coco(folder, annotations, entry, categories=categories)


@pytest.mark.parametrize("name", PEOPLE)
def test_people_are_found_for_training_and_evaluation(tmp_path, name):
    labels = write(tmp_path, name)
    (annotated,) = read_coco(labels, tmp_path, COCO_17)
    assert len(annotated.boxes) == 2 and not annotated.ignored
    (image,) = read_data(labels).images
    assert len(image) == 2 and not image.ignored.any()


@pytest.mark.parametrize("name", PEOPLE)
def test_people_of_a_teacher_are_found(tmp_path, name):
    labels = write(tmp_path, name)
    content = json.loads(labels.read_text())
    for annotation in content["annotations"]:
        annotation["keypoint_scores"] = [0.9] * 17
    for entry in content["categories"]:
        entry["keypoints"] = NAMES if entry["id"] == 1 else entry.get("keypoints", [])
    labels.write_text(json.dumps(content))
    assert len(read_extra(labels, COCO_17, Gates())["a.jpg"][0]) == 2


LEFT_OUT = {
    "boxes in another category": "1 annotations of category person (2), which has no keypoints",
    "people and dogs": "1 annotations of category dog (3)",
    "people with other keypoints": "1 annotations of category adult (2), which has other keypoints",
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_is_reported_with_the_reason(tmp_path, name):
    labels = write(tmp_path, name)
    image_set = open_data_set(DataConfig(labels=str(labels)), OPENPOSE_18)
    lines = describe_labels([image_set])
    assert f"{labels}: 1 image, 2 people, 36 keypoints, 0 ignored areas" in lines
    assert any("labelled keypoints: nose 2, neck 2, right_shoulder 2" in line for line in lines)
    assert f"{labels}: left out: {LEFT_OUT[name]}" in lines
    report = read_data(labels).report
    assert f"{labels}: left out: {LEFT_OUT[name]}" in report.lines()
    assert (report.images, report.people, report.keypoints["nose"]) == (1, 2, 2)


def test_annotations_of_no_listed_category_are_reported(tmp_path):
    report = LabelReport("x")
    read_coco(write(tmp_path, "category that is not listed"), tmp_path, COCO_17, report=report)
    assert report.lines()[-1] == "x: note: 2 annotations of category 1, which is not listed, are read as people"
    labels = write_coco(tmp_path, [make_annotation(1), make_annotation(2, category_id=7)])
    report = LabelReport("x")
    (annotated,) = read_coco(labels, tmp_path, COCO_17, report=report)
    assert len(annotated.boxes) == 1
    assert report.left_out == {"annotations of category 7, which is not listed": 1}


def test_annotations_of_an_image_that_is_not_listed_are_reported(tmp_path):
    report = LabelReport("x")
    read_coco(
        write_coco(tmp_path, [make_annotation(), make_annotation(2, image_id=5)]), tmp_path, COCO_17, report=report
    )
    assert report.left_out == {"annotations of an image that is not listed": 1}


def test_skipped_entries_and_keypoints_without_labels_are_reported(tmp_path):
    names = [name for name in NAMES if name != "nose"]
    people = [make_annotation(1, standing_person()[1:]), make_annotation(2, standing_person()[1:], bbox=[1, 2])]
    labels, report = write_coco(tmp_path, people, category=category(1, "person", names)), LabelReport("x")
    with pytest.warns(UserWarning, match="bad entries skipped: 1"):
        read_coco(labels, tmp_path, COCO_17, strict=False, report=report)
    assert report.left_out == {"bad entries": 1} and "x: keypoints without labels: nose" in report.lines()


NOBODY = {
    "all in an image that is not listed": {"image_id": 5},
    "no keypoints": BOX_ONLY,
    "none visible": {"visible": 0},
    "all bad": {"bbox": [1, 2]},
}


@pytest.mark.filterwarnings("ignore:.*bad entries skipped")
@pytest.mark.parametrize("name", NOBODY)
def test_a_file_of_people_from_which_none_is_read_is_an_error(tmp_path, name):
    labels = write_coco(tmp_path, [make_annotation(1, **NOBODY[name])])
    with pytest.raises(ValueError, match=r"labels\.json: expected people with keypoints, got none from 1 entries"):
        read_coco(labels, tmp_path, COCO_17, strict=False)
    with pytest.raises(ValueError, match=r"labels\.json: "):
        read_data(labels)


def test_a_file_without_annotations_has_no_people(tmp_path):
    (annotated,) = read_coco(write_coco(tmp_path, []), tmp_path, COCO_17)
    assert len(annotated.boxes) == 0


def test_lsp_and_mpii_without_a_visible_keypoint_are_errors(tmp_path):
    write_image(tmp_path)
    np.savez(tmp_path / "labels.npz", names=["a.jpg"], joints=np.zeros((1, len(LSP_NAMES), 3)))
    with pytest.raises(ValueError, match="got none from 1 entries"):
        read_lsp(tmp_path / "labels.npz", tmp_path, COCO_17)
    person = {"image": "a.jpg", "joints": [[5, 5]] * 16, "joints_vis": [0] * 16}
    (tmp_path / "labels.json").write_text(json.dumps([person]))
    with pytest.raises(ValueError, match="got none from 1 entries"):
        read_mpii(tmp_path / "labels.json", tmp_path, COCO_17)


# --- a choice of categories


@pytest.mark.parametrize("chosen", ["dog", "DOG", "3"])
def test_a_category_is_chosen_by_name_or_id(tmp_path, chosen):
    labels = write(tmp_path, "people and dogs")
    config = DataConfig(labels=str(labels), category=(chosen,))
    assert [len(image.boxes) for image in open_data_set(config, COCO_17).images] == [1]
    assert len(read_data(labels, categories=[chosen]).images[0]) == 1
    assert len(read_data(labels, categories=[chosen, "1"]).images[0]) == 3


def test_an_unknown_category_is_rejected(tmp_path):
    with pytest.raises(ValueError, match=r"category: expected a category of .*: dog \(3\), .*got 'cat'"):
        read_data(write(tmp_path, "people and dogs"), categories=["cat"])


@pytest.mark.parametrize("format", ["lsp", "mpii", "negatives", "synthetic"])
def test_other_formats_have_no_categories(format):
    with pytest.raises(ValueError, match="category: expected a data set in the format coco or yolo"):
        DataConfig(format, category=("person",))


def test_two_images_with_one_id_are_rejected(tmp_path):
    labels = write_coco(tmp_path, [make_annotation()])
    content = json.loads(labels.read_text())
    content["images"].append({**content["images"][0], "file_name": "b.jpg"})
    labels.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"expected one image with the id 1, got a\.jpg and b\.jpg"):
        read_coco(labels, tmp_path, COCO_17)


def test_entries_that_are_no_objects_are_rejected(tmp_path):
    labels = write_coco(tmp_path, [make_annotation(), 0])
    with pytest.raises(ValueError, match=r"expected an object as annotations\[1\], got 0"):
        read_coco(labels, tmp_path, COCO_17)


# --- YOLO


def yolo_line(number, visible=2):
    keypoints = " ".join(f"{x:.6f} {y:.6f} {visible}" for x, y in standing_person() / (200, 100))
    return f"{number} 0.3 0.5 0.2 0.8 {keypoints}\n"


CLASSES = {
    "human": ({0: "dog", 1: "human"}, (), {"lines of class 0 (dog)": 1, "lines of class 2 (not listed)": 1}),
    "two kinds of people": ({0: "man", 1: "woman", 2: "dog"}, (), {"lines of class 2 (dog)": 1}),
    "list": (["dog", "person", "car"], (), {"lines of class 0 (dog)": 1, "lines of class 2 (car)": 1}),
    "chosen": (
        {0: "dog", 1: "human", 2: "ape"},
        ("ape",),
        {"lines of class 0 (dog)": 1, "lines of class 1 (human)": 1},
    ),
    "no names": (None, (), {}),
    "not listed": ({1: "person"}, (), {"lines of class 0 (not listed)": 1, "lines of class 2 (not listed)": 1}),
}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_people_are_found(tmp_path, name):
    names, chosen, left_out = CLASSES[name]
    labels = write_yolo(tmp_path, "".join(map(yolo_line, range(3))), names=names)
    report = LabelReport("x")
    images = read_yolo(labels, COCO_17, categories=chosen, report=report)
    assert report.left_out == left_out and report.entries == 3
    assert sum(len(image.boxes) for image in images) == report.people == 3 - len(left_out)


@pytest.mark.filterwarnings("ignore:.*bad entries skipped")
def test_bad_lines_only_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="got none from 1 entries"):
        read_yolo(write_yolo(tmp_path, "0 0.5 0.5\n"), COCO_17, strict=False)


def test_lines_of_other_classes_only_are_an_error(tmp_path):
    labels = write_yolo(tmp_path, yolo_line(0), names={0: "dog", 1: "human"})
    with pytest.raises(ValueError, match=r"got none from 1 entries.*left out: 1 lines of class 0 \(dog\)"):
        read_yolo(labels, COCO_17)


@pytest.mark.parametrize("place", ["images/train", "images/train/labels", "images/labels", "images/labels/train"])
def test_text_files_are_found_near_the_images(tmp_path, place):
    labels, file = write_yolo(tmp_path), tmp_path / "labels" / "train" / "a.txt"
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    file.rename(tmp_path / place / "a.txt")
    report = LabelReport("x")
    assert sum(len(image.boxes) for image in read_yolo(labels, COCO_17, report=report)) == 1
    assert report.notes == {"images without a text file are read as images without people": 1}


def test_a_data_set_without_text_files_is_an_error(tmp_path):
    labels = write_yolo(tmp_path)
    (tmp_path / "labels" / "train" / "a.txt").unlink()
    with pytest.raises(ValueError, match=r"expected a text file per image, got none for 2 images.*labels/train/a\.txt"):
        read_yolo(labels, COCO_17)


def test_people_of_yolo_without_keypoints_are_ignored_areas(tmp_path):
    labels = write_yolo(tmp_path, yolo_line(0) + yolo_line(0, visible=0).replace("0.3 0.5", "0.7 0.5"))
    first, _ = open_data_set(DataConfig("yolo", str(labels)), COCO_17)
    assert len(first.boxes) == 1 and first.ignored[50, 140] and not first.ignored[50, 60]


def test_labels_of_yolo_may_start_with_a_byte_order_mark(tmp_path):
    labels = write_yolo(tmp_path, "\ufeff" + yolo_line(0))
    assert sum(len(image.boxes) for image in read_yolo(labels, COCO_17)) == 1
