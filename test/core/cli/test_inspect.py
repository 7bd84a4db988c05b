"""Test ``pose_ros inspect`` and ``pose_ros synthetic``."""

import json

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from pose_ros.cli.data import inspect, synthetic
from pose_ros.datasets import preview
from pose_ros.datasets.coco import read_coco
from pose_ros.datasets.preview import draw_sample
from pose_ros.datasets.sample import LABELLED, UNCERTAIN, Sample
from pose_ros.datasets.synthetic.file import encode_run_lengths, to_annotations, write_scenes
from pose_ros.datasets.synthetic.scene import SyntheticImages
from pose_ros.media.decoding import read_image
from pose_ros.media.sheet import arrange
from pose_ros.skeleton import COCO_17

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


def test_a_sheet_of_samples(labels, tmp_path):
    result = run(labels, "-o", tmp_path / "sheet.png", "-n", 5, "--columns", 3, "--size", 64)
    assert result.exit_code == 0, result.output
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (2 * 64 + 4, 3 * 64 + 2 * 4, 3)
    assert "5 samples of 1 image;" in result.output


def test_a_folder_holds_images_without_people(labels, tmp_path):
    result = run(tmp_path, "-o", tmp_path / "out" / "sheet.png", "-n", 1)
    assert result.exit_code == 0 and "0.00 people" in result.output


def test_the_word_synthetic_is_a_source(tmp_path):
    result = run("synthetic", "-o", tmp_path / "sheet.png", "-n", 2, "--size", 96)
    assert result.exit_code == 0 and "of 10000 images" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["labels.csv"], "expected a file ending"),
        (["labels.json", "--skeleton", "x"], "coco_17"),
        (["broken.yaml"], "broken.yaml: expected YAML, got: "),
    ],
)
def test_invalid_sources_are_reported(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.yaml").write_text("data: [")
    result = run(*arguments)
    assert isinstance(result.exception, ValueError) and message in str(result.exception)


def test_ignored_areas_and_uncertain_keypoints_are_visible():
    keypoints, states = np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.uint8)
    keypoints[0, :2], states[0, :2] = [(20, 20), (60, 60)], [LABELLED, UNCERTAIN]
    ignored = np.zeros((80, 80), bool)
    ignored[:, :8] = True
    sample = Sample(np.full((80, 80, 3), 100, np.uint8), keypoints, states, np.full((1, 4), 40, np.float32), ignored)
    image = draw_sample(sample, COCO_17)
    assert set(np.unique(image[70:, :8])) == {50, 235} and (image[70:, 70:] == 100).all()
    assert (image[18:23, 18:23] != 100).any() and (image[60, 64] != 100).any()
    assert (sample.image_bgr == 100).all()


def test_a_sheet_with_an_incomplete_row():
    assert arrange([np.zeros((4, 6, 3), np.uint8)] * 3, 2).shape == (12, 16, 3)


def test_settings_change_the_configuration_of_a_run(tmp_path):
    pytest.importorskip("torch")
    content = {"network": "pose_ros_mobilenet_v1_075", "output": "out", "steps": 1, "size_wh": [64, 64]}
    (tmp_path / "run.yaml").write_text(json.dumps({**content, "data": [{"format": "synthetic"}]}))
    result = run(tmp_path / "run.yaml", "-o", tmp_path / "sheet.png", "-n", 1, "--set", "size_wh=[96, 32]")
    assert result.exit_code == 0, result.output
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (32, 96, 3)


@pytest.mark.parametrize("option", [["--size", "64"], ["--skeleton", "coco_17"], ["--images", "."]], ids=str)
def test_options_that_a_configuration_sets_are_rejected(tmp_path, option):
    (tmp_path / "run.yaml").write_text("{network: n, output: o, steps: 1, data: [{format: synthetic}]}")
    result = run(tmp_path / "run.yaml", *option, "-o", tmp_path / "sheet.png")
    assert result.exit_code == 1 and f"{option[0]}: expected labels or images as source" in str(result.exception)


def test_settings_without_a_configuration_are_rejected(labels):
    result = run(labels, "--set", "size_wh=[96, 32]")
    assert "--set: expected a training configuration as source" in str(result.exception)


def test_an_interrupted_data_set_leaves_nothing(tmp_path):
    def interrupt():
        yield SyntheticImages(COCO_17, 3, (96, 80), 4, 6).scene(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path, interrupt(), COCO_17)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["labels.json", "images/mine.png"])
def test_synthetic_scenes_replace_no_data_set(tmp_path, name):
    mine = tmp_path / "data" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    command = typer.Typer()
    command.command()(synthetic)
    result = CliRunner().invoke(command, [str(tmp_path / "data"), "-n", "1"])
    assert f"folder: expected no {name.partition('/')[0]} in {tmp_path / 'data'}, got one" in str(result.exception)
    assert [file for file in (tmp_path / "data").rglob("*") if file.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_plain_samples_are_different_images(tmp_path, monkeypatch):
    write_scenes(tmp_path, map(SyntheticImages(COCO_17, 7, (96, 80), 4, 5).scene, range(7)), COCO_17)
    shown = []
    monkeypatch.setattr(preview, "draw_sample", lambda sample, _: shown.append(sample.image_bgr) or sample.image_bgr)
    for wanted, count in ((30, 7), (4, 4)):
        shown.clear()
        result = run(tmp_path / "labels.json", "--plain", "-n", wanted, "-o", tmp_path / "sheet.png")
        assert result.exit_code == 0, result.output
        assert len(shown) == len({image.tobytes() for image in shown}) == count
        assert f"{count} samples of 7 images" in result.stdout


def test_synthetic_scenes_are_written_to_files(tmp_path):
    command = typer.Typer()
    command.command()(synthetic)
    options = ["-n", "3", "--people", "4", "--width", "96", "--height", "80", "--skeleton", "coco_17", "--seed", "5"]
    result = CliRunner().invoke(command, [str(tmp_path / "made"), *options])
    assert result.exit_code == 0, result.output
    images = read_coco(tmp_path / "made" / "labels.json", tmp_path / "made", COCO_17)
    found = sum(len(annotated.boxes) for annotated in images)
    assert f"{tmp_path / 'made' / 'labels.json'}: {found} people in 3 images" in result.stdout
    expected = SyntheticImages(COCO_17, 3, (96, 80), 4, 5)
    for index, annotated in enumerate(images):
        sample, scene = annotated.to_sample(read_image(annotated.file)), expected.scene(index)
        np.testing.assert_array_equal(sample.image_bgr, scene.image_bgr)
        seen = scene.visible.any(axis=1)
        np.testing.assert_array_equal(sample.states == LABELLED, scene.inside[seen])
        placed = sample.states == LABELLED
        np.testing.assert_allclose(sample.keypoints[placed], scene.keypoints_px[seen][placed], atol=0.006)
        np.testing.assert_array_equal(sample.people_map, scene.to_sample().people_map)


def test_annotations_distinguish_hidden_and_visible_keypoints():
    scene = next(scene for scene in map(SyntheticImages(COCO_17, 50).scene, range(50)) if has_hidden_keypoints(scene))
    content = list(to_annotations(scene))
    marks = np.array([entry["keypoints"] for entry in content]).reshape(len(content), 17, 3)[..., 2]
    seen = scene.visible.any(axis=1)
    np.testing.assert_array_equal(marks == 2, scene.visible[seen])
    np.testing.assert_array_equal(marks == 1, (scene.inside & ~scene.visible)[seen])
    for entry, mask in zip(content, scene.masks[seen], strict=True):
        x, y, width, height = entry["bbox"]
        assert entry["area"] == mask.sum() == mask[y : y + height, x : x + width].sum()
        assert mask[y].any() and mask[:, x].any() and mask[y + height - 1].any() and mask[:, x + width - 1].any()


def has_hidden_keypoints(scene):
    return bool((scene.inside & ~scene.visible)[scene.visible.any(axis=1)].any())


@pytest.mark.parametrize(
    ("mask", "counts"),
    [([[0, 1], [0, 1]], [2, 2]), ([[1, 0], [0, 1]], [0, 1, 2, 1]), ([[0, 0], [0, 0]], [4])],
    ids=["a column", "from the first pixel", "nothing"],
)
def test_run_lengths_go_down_the_columns(mask, counts):
    assert encode_run_lengths(np.array(mask, bool)) == {"size": [2, 2], "counts": counts}


def test_the_labels_are_reported(labels, tmp_path):
    content = json.loads(labels.read_text())
    content["categories"].append({**content["categories"][0], "id": 2, "name": "dog"})
    content["annotations"].append({**content["annotations"][0], "id": 2, "category_id": 2})
    labels.write_text(json.dumps(content))
    result = run(labels, "-o", tmp_path / "sheet.png", "-n", 1, "--plain")
    assert f"{labels}: 1 image, 1 person, 18 keypoints, 0 ignored areas" in result.output
    assert f"{labels}: labelled keypoints: nose 1, neck 1, " in result.output
    assert f"{labels}: left out: 1 annotations of category dog (2)" in result.output
    both = run(labels, "-o", tmp_path / "sheet.png", "-n", 1, "--plain", "--category", "1", "--category", "dog")
    assert f"{labels}: 1 image, 2 people" in both.output and "left out" not in both.output


def test_a_category_needs_a_label_file(tmp_path):
    (tmp_path / "run.yaml").write_text("network: x")
    result = run(tmp_path / "run.yaml", "--category", "dog")
    assert "--category: expected a label file as source" in str(result.exception)


@pytest.mark.parametrize(
    ("case", "source"),
    [
        ("coco_roboflow_root", "labels.json"),
        ("coco_two_kinds_of_people", "labels.json"),
        ("coco_bbox_zero", "labels.json"),
        ("coco_bbox_empty", "labels.json"),
        ("yolo_cls1", "data.yaml"),
    ],
)
def test_all_people_of_reported_cases_are_shown(shared, tmp_path, case, source):
    folder = shared / "cases" / case
    if not folder.is_dir():
        pytest.skip(f"the folder of reported cases is missing ({folder})")
    result = run(folder / source, "--images", folder / "images", "-o", tmp_path / "x.jpg", "-n", 8, "--plain")
    assert result.exit_code == 0, result.output
    assert "2 images, 8 people, 141 keypoints" in result.output and "per sample: 4.00 people" in result.output


def test_fractions_of_a_reported_case_are_rejected(shared, tmp_path):
    folder = shared / "cases" / "coco_normalised"
    if not folder.is_dir():
        pytest.skip(f"the folder of reported cases is missing ({folder})")
    result = run(folder / "labels.json", "--images", folder / "images", "-o", tmp_path / "x.jpg", "--plain")
    assert "annotation 1: keypoints: expected positions in px, got fractions" in str(result.exception)
