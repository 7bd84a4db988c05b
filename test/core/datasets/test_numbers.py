"""Test the checks of the numbers in labels: finite, right sign, right size and unit."""

import json
import re

import numpy as np
import pytest
from label_files import make_annotation, standing_person, write_coco, write_image, write_yolo

from pose_ros.datasets.augment import fit_sample
from pose_ros.datasets.coco import read_coco
from pose_ros.datasets.extra import read_extra
from pose_ros.datasets.images import ImageSet
from pose_ros.datasets.labels import Gates, boxes_around
from pose_ros.datasets.lsp import LSP_NAMES, read_lsp
from pose_ros.datasets.mpii import read_mpii
from pose_ros.datasets.numbers import (
    check_image_size,
    check_keypoints,
    read_area,
    read_box,
    read_keypoints,
    read_numbers,
)
from pose_ros.datasets.sample import LABELLED
from pose_ros.datasets.teacher import merge
from pose_ros.datasets.yolo import read_yolo
from pose_ros.evaluation.data_sets import read_data
from pose_ros.skeleton import COCO_17, OPENPOSE_18

NAN, INFINITY = float("nan"), float("inf")
SIZE_WH = (120, 100)


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY, 1e9, -1e9, "x", None, [1, 2], {}, 10**400])
def test_values_that_are_no_numbers_are_rejected(value):
    with pytest.raises(ValueError, match="score: expected"):
        read_numbers(value, "score", ())


@pytest.mark.parametrize("area", [None, 0, 0.0])
def test_an_area_of_nothing_is_unknown(area):
    assert read_area({"area": area}, "annotation 7", SIZE_WH) is None


@pytest.mark.parametrize("area", [NAN, INFINITY, -5, 0.3, 1e9, "x", [4, 5]])
def test_an_impossible_area_is_rejected(area):
    with pytest.raises(ValueError, match=r"annotation 7.*area"):
        read_area({"area": area}, "annotation 7", SIZE_WH)


@pytest.mark.parametrize("box", [None, [], [0, 0, 0, 0], [5, 5, 0, 9], [5, 5, 9, 0]])
def test_a_box_without_a_size_is_no_box(box):
    assert read_box({"bbox": box}, "annotation 7", SIZE_WH) is None


@pytest.mark.parametrize("box", [[1, 2, NAN, 4], [1, 2, INFINITY, 4], [1, 2, 3, -4], [1, 2, 3], [1e7, 2, 3, 4], 5, "x"])
def test_an_impossible_box_is_rejected(box):
    with pytest.raises(ValueError, match=r"annotation 7.*bbox"):
        read_box({"bbox": box}, "annotation 7")
    with pytest.raises(ValueError, match=r"annotation 7.*bbox.*120 x 100 px.*check the unit"):
        read_box({"bbox": [900, 2, 3, 4]}, "annotation 7", SIZE_WH)


@pytest.mark.parametrize("third", [NAN, INFINITY])
def test_the_third_number_of_a_keypoint_is_finite(third):
    with pytest.raises(ValueError, match="annotation 7: keypoints: expected finite numbers"):
        read_keypoints({"keypoints": [5, 5, third]}, 1, "annotation 7")


def test_a_keypoint_without_a_label_has_no_position():
    assert read_keypoints({"keypoints": [NAN, 5, 0]}, 1, "annotation 7").tolist() == [[0, 0, 0]]


def fractions_in_coco(folder):
    write_coco(folder, [make_annotation(7, standing_person() / SIZE_WH)])
    return lambda: read_coco(folder / "labels.json", folder, COCO_17)


def fractions_without_a_size(folder):
    write_coco(folder, [make_annotation(7, standing_person() / SIZE_WH)], entry={"width": None})
    return lambda: read_coco(folder / "labels.json", folder, COCO_17)


def fractions_of_a_teacher(folder):
    write_coco(folder, [make_annotation(7, standing_person() / SIZE_WH, keypoint_scores=[0.9] * 17)])
    return lambda: read_extra(folder / "labels.json", COCO_17, Gates())


def fractions_in_lsp(folder):
    write_image(folder, "im00001.jpg")
    joints = np.linspace(0.1, 0.9, 14)[None, :, None] * np.ones((1, 14, 3))
    np.savez(folder / "labels.npz", names=["im00001.jpg"], joints=joints)
    return lambda: read_lsp(folder / "labels.npz", folder, COCO_17)


def fractions_in_mpii(folder):
    write_image(folder)
    person = {"image": "a.jpg", "joints": np.linspace(0, 1, 32).reshape(16, 2).tolist(), "joints_vis": [1] * 16}
    (folder / "labels.json").write_text(json.dumps([person]))
    return lambda: read_mpii(folder / "labels.json", folder, COCO_17)


FRACTIONS = [
    fractions_in_coco,
    fractions_without_a_size,
    fractions_of_a_teacher,
    fractions_in_lsp,
    fractions_in_mpii,
]


@pytest.mark.parametrize("write", FRACTIONS)
def test_fractions_of_the_image_size_are_rejected(tmp_path, write):
    with pytest.raises(ValueError, match="expected positions in px, got fractions of the image size"):
        write(tmp_path)()


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([[-150, 7], [20, 900], [300, 8]], "expected x in 0 to 100 and y in 0 to 50, got [-150, 7], [300, 900]; check"),
        (
            [[0.25, 0.5], [1, 0.125], [0.5, 0.25]],
            "got fractions of the image size: [0.25, 0.125], [1.0, 0.5]; multiply",
        ),
    ],
    ids=["far outside", "fractions"],
)
def test_the_outermost_positions_are_in_the_message(positions, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_keypoints(np.array(positions), np.ones(3, bool), (100, 50))


def test_the_name_of_the_file_is_in_the_message_once(tmp_path):
    with pytest.raises(ValueError, match="annotation 7") as raised:
        fractions_in_coco(tmp_path)()
    assert str(raised.value).count("labels.json") == 1 and str(raised.value).count("fix the entry") == 1


LINE = " ".join(["0.5 0.5 2"] * 17)
BAD_LINES = {
    "NaN": (f"0 0.5 0.5 nan 0.8 {LINE}", "a.txt, line 1: expected finite numbers"),
    "words": (f"dog 0.5 0.5 0.2 0.8 {LINE}", "a.txt, line 1: expected numbers"),
    "negative size": (f"0 0.5 0.5 -0.2 0.8 {LINE}", "a.txt, line 1: expected a class and a box"),
    "no class": (f"0.5 0.5 0.5 0.2 0.8 {LINE}", "a.txt, line 1: expected a class and a box"),
    "box in px": (f"0 60 50 20 80 {LINE}", "a.txt, line 1: expected a class and a box"),
    "keypoints in px": (f"0 0.5 0.5 0.2 0.8 {LINE.replace('0.5 0.5', '60 50')}", "a.txt, line 1: keypoints.*the unit"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_lines_of_yolo_are_rejected(tmp_path, name):
    line, message = BAD_LINES[name]
    with pytest.raises(ValueError, match=message):
        read_yolo(write_yolo(tmp_path, line), COCO_17)


@pytest.mark.parametrize("change", [{"visible": NAN}, {"xy": NAN}])
def test_lsp_numbers_are_finite(tmp_path, change):
    write_image(tmp_path, "im00001.jpg")
    joints = np.full((1, len(LSP_NAMES), 3), 20.0)
    joints[0, 3, 2 if "visible" in change else 0] = NAN
    np.savez(tmp_path / "labels.npz", names=["im00001.jpg"], joints=joints)
    with pytest.raises(ValueError, match=r"im00001\.jpg.*finite"):
        read_lsp(tmp_path / "labels.npz", tmp_path, COCO_17)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints_vis": [NAN] * 16}, "joints_vis: expected finite"),
        ({"head_box": [1, 2, 3, NAN]}, "head_box: expected finite"),
        ({"joints_vis": [0] * 16, "center": [5, NAN], "scale": 1}, "center.*finite"),
        ({"joints_vis": [0] * 16, "center": [5, 5], "scale": -1}, "scale: expected numbers from 0"),
    ],
)
def test_mpii_numbers_are_finite_and_have_the_right_sign(tmp_path, change, message):
    write_image(tmp_path)
    person = {"image": "a.jpg", "joints": [[20, 20 + n] for n in range(16)], "joints_vis": [1] * 16}
    (tmp_path / "labels.json").write_text(json.dumps([{**person, **change}]))
    with pytest.raises(ValueError, match=message):
        read_mpii(tmp_path / "labels.json", tmp_path, COCO_17)


@pytest.mark.parametrize(("key", "value"), [("score", NAN), ("keypoint_scores", [NAN] * 17), ("keypoints", [NAN] * 51)])
def test_teacher_files_are_merged_only_with_finite_numbers(tmp_path, key, value):
    category = {"id": 1, "keypoints": list(COCO_17.keypoint_names), "skeleton": []}
    person = {**make_annotation(7, keypoint_scores=[0.9] * 17, score=0.5), key: value}
    file = write_coco(tmp_path, [person], category=category)
    with pytest.raises(ValueError, match=r"annotation 7.*finite"):
        merge([file], tmp_path / "merged.json")


@pytest.mark.parametrize("size", [{"width": -5}, {"height": 0}, {"width": NAN}, {"width": "wide"}])
def test_an_impossible_image_size_is_rejected(tmp_path, size):
    with pytest.raises(ValueError, match="image 1: width and height: expected"):
        read_coco(write_coco(tmp_path, [make_annotation()], entry=size), tmp_path, COCO_17)


def test_a_rotated_image_is_named_as_the_cause(tmp_path):
    check_image_size(tmp_path, None, SIZE_WH)
    check_image_size(tmp_path, SIZE_WH, SIZE_WH)
    with pytest.raises(ValueError, match="before its EXIF rotation"):
        check_image_size(tmp_path, SIZE_WH[::-1], SIZE_WH)


BAD_OUTLINES = {
    "NaN": [[1, 1, 50, NAN, 50, 50]],
    "odd": [[1, 1, 50, 1, 50, 50, 7]],
    "words": [["x"] * 6],
    "size": {"size": None, "counts": [5]},
    "negative counts": {"size": [100, 120], "counts": [100, -5]},
    "no counts": {"size": [100, 120], "counts": None},
}


@pytest.mark.parametrize("name", BAD_OUTLINES)
def test_an_impossible_outline_is_rejected(tmp_path, name):
    labels = write_coco(tmp_path, [make_annotation(7, segmentation=BAD_OUTLINES[name])])
    with pytest.raises(ValueError, match="annotation 7: segmentation: "):
        read_coco(labels, tmp_path, COCO_17)


def test_run_lengths_of_another_number_of_pixels_fall_back_to_the_box(tmp_path):
    huge = {"size": [100, 120], "counts": [10**11, 10**11]}  # more memory than any machine has
    (annotated,) = read_coco(write_coco(tmp_path, [make_annotation(segmentation=huge)]), tmp_path, COCO_17)
    assert ImageSet("x", COCO_17, [annotated])[0].people_map is not None


@pytest.mark.parametrize(
    ("entry", "keypoints", "message"),
    [
        ({"file_name": 5}, None, "image 1: expected a text as file_name, got 5"),
        ({"file_name": None}, None, "image 1: expected a text as file_name, got None"),
        ({}, [1, 2], "expected a list of keypoint names"),
        ({}, 5, "expected a list of keypoint names"),
    ],
)
def test_texts_are_texts(tmp_path, entry, keypoints, message):
    category = {"id": 1, "name": "person", "keypoints": keypoints or list(COCO_17.keypoint_names)}
    labels = write_coco(tmp_path, [make_annotation()], entry, category)
    for read in (lambda: read_coco(labels, tmp_path, COCO_17), lambda: read_data(labels)):
        with pytest.raises(ValueError, match=message):
            read()


# --- boxes without a size


@pytest.mark.parametrize("box", [[], None, [60, 10, 0, 0], [0, 0, 0, 0]])
def test_people_with_an_empty_box_are_kept(tmp_path, box):
    (annotated,) = read_coco(write_coco(tmp_path, [make_annotation(bbox=box)]), tmp_path, COCO_17)
    sample = fit_sample(ImageSet("x", COCO_17, [annotated])[0], (64, 64), COCO_17)
    assert len(sample.boxes) == 1 and (sample.states == LABELLED).sum() == 17
    np.testing.assert_allclose(annotated.boxes, boxes_around(annotated.keypoints, annotated.states))


def test_people_of_yolo_with_an_empty_box_are_kept(tmp_path):
    keypoints = " ".join(f"{x} {y} 2" for x, y in standing_person() / (200, 100))
    first, _ = ImageSet("x", OPENPOSE_18, read_yolo(write_yolo(tmp_path, f"0 0.3 0.5 0 0 {keypoints}"), OPENPOSE_18))
    assert len(fit_sample(first, (64, 64), OPENPOSE_18).boxes) == 1


def test_a_person_with_one_keypoint_has_a_box(tmp_path):
    visible = np.zeros(17)
    visible[0] = 2
    (annotated,) = read_coco(write_coco(tmp_path, [make_annotation(visible=visible, bbox=[])]), tmp_path, COCO_17)
    assert (annotated.boxes[0, 2:] - annotated.boxes[0, :2]).tolist() == pytest.approx([38.4, 38.4])
    assert len(fit_sample(ImageSet("x", COCO_17, [annotated])[0], (64, 64), COCO_17).boxes) == 1
