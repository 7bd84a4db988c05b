"""Test the evaluation of a model or stored results, from the files to the report."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import typer
from evaluation_people import data_set, detections_of, labels_of, move_keypoint, no_detections, person_at
from typer.testing import CliRunner, Result

pytest.importorskip("pycocotools")
pytest.importorskip("matplotlib")

import pose_ros.cli  # noqa: F401  (import before its submodules)
from pose_ros.cli.evaluate import evaluate
from pose_ros.config import EstimatorConfig, RuntimeConfig
from pose_ros.datasets.lsp import LSP_NAMES
from pose_ros.datasets.mpii import MPII_NAMES
from pose_ros.datasets.sample import ABSENT, LABELLED, Sample
from pose_ros.datasets.synthetic.file import write_scenes
from pose_ros.datasets.synthetic.scene import SyntheticImages
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.data import BOX_FILL, DataSet, read_coco, skeleton_of
from pose_ros.evaluation.data_sets import data_of, read_data
from pose_ros.evaluation.detections import coco_entries
from pose_ros.evaluation.failures import failure_sheets
from pose_ros.evaluation.model import Refined, SeveralViews, SharedPass
from pose_ros.evaluation.report import write_report
from pose_ros.evaluation.scores import evaluate_detections, evaluate_model, evaluate_samples, summarise_times
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18

SIZE_WH = (256, 256)
SCENES = 2


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic images of people with their labels."""
    folder = tmp_path_factory.mktemp("scenes")
    images = SyntheticImages(COCO_17, SCENES, SIZE_WH)
    write_scenes(folder, map(images.scene, range(SCENES)), COCO_17)
    return folder / "labels.json"


@pytest.fixture(scope="module")
def estimator() -> PoseEstimator:
    return PoseEstimator.load(config=EstimatorConfig(runtime=RuntimeConfig(threads=1, warm_up=False)))


def run_command(*arguments: object) -> Result:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(evaluate)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_several_groupings_share_one_pass(scenes: Path, estimator: PoseEstimator) -> None:
    class Counted:
        passes = 0

        def __getattr__(self, name):
            return getattr(estimator.runner, name)

        def run(self, *arguments):
            Counted.passes += 1
            return estimator.runner.run(*arguments)

    counted = PoseEstimator(Counted(), estimator.spec, estimator.config, "paf")
    data = read_coco(scenes)
    both = evaluate_model(counted, data, ["paf", "tag"])
    assert Counted.passes == SCENES
    for grouping, evaluation in both.items():
        alone = PoseEstimator(estimator.runner, estimator.spec, estimator.config, grouping)
        people = alone.estimate(cv2.imread(str(data.images[0].file)))
        detections = evaluation.detections[0]
        np.testing.assert_allclose(detections.scores, np.sort(people.person_scores)[::-1])
        assert len(evaluation.times_ms["decode"]) == SCENES and set(evaluation.times_ms) == {
            "preprocess",
            "network",
            "decode",
        }


def test_flip_and_sizes_merge_views(scenes: Path, estimator: PoseEstimator) -> None:
    data = read_coco(scenes)
    small = replace(estimator.config, preprocess=replace(estimator.config.preprocess, short_side=128))
    small_one = PoseEstimator(estimator.runner, estimator.spec, small)
    (plain,) = evaluate_model(small_one, data).values()
    (flipped,) = evaluate_model(small_one, data, flip=True).values()
    (sizes,) = evaluate_model(small_one, data, short_sides=[128, 160]).values()
    assert set(flipped.times_ms) == set(sizes.times_ms) == {"all views"}
    counts = [sum(len(people) for people in each.detections) for each in (plain, flipped, sizes)]
    assert counts[0] <= counts[1] and counts[0] <= counts[2]


class Unchanged:
    """Refinement that changes nothing."""

    def refine(self, people: People, image_bgr: np.ndarray) -> People:
        return people


def test_each_stage_has_its_time_in_milliseconds(estimator: PoseEstimator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading of the clock comes twice as long after the one before as that one."""
    image = np.zeros((128, 128, 3), np.uint8)
    models = SharedPass(estimator), Refined(SharedPass(estimator), Unchanged()), SeveralViews(estimator)
    times = []
    for model in models:
        clock = (1e-3 * 2**n for n in itertools.count())
        monkeypatch.setattr("pose_ros.evaluation.model.time", SimpleNamespace(perf_counter=clock.__next__))
        (result,) = model.detect(image).values()
        times.append({stage: pytest.approx(value) for stage, value in result[1].items()})
    shared = {"preprocess": 1, "network": 2, "decode": 8}
    assert times == [shared, {**shared, "refine": 32}, {"all views": 1}]


def test_keypoints_that_the_model_lacks_are_reported(scenes: Path, estimator: PoseEstimator, tmp_path: Path) -> None:
    data = replace(
        read_coco(scenes), skeleton=replace(COCO_17, keypoint_names=("head_top", *COCO_17.keypoint_names[1:]))
    )
    (evaluation,) = evaluate_model(estimator, data).values()
    assert evaluation.unknown_keypoints == ("head_top",)
    assert not any(people.present[:, 0].any() for people in evaluation.detections)
    page = write_report(tmp_path, "title", {"one": evaluation}).read_text()
    assert "<p>The model does not detect head_top. These keypoints are absent in all results.</p>" in page


def test_the_report_is_complete_and_self_contained(tmp_path: Path) -> None:
    images = [labels_of(person_at(100), person_at(250), number=n) for n in (1, 2)]
    for n in (1, 2):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.full((240, 360, 3), 90, np.uint8))
    data = data_set(*(replace(image, file=tmp_path / image.file) for image in images))
    wrong = move_keypoint(move_keypoint(person_at(100), 9, person_at(100)[10]), 0, (300, 200))
    detections = [detections_of(wrong, person_at(700)), no_detections()]
    html = write_report(
        tmp_path / "report", "a <title>", {"one": evaluate_detections(data, detections)}, notes=["of & for"]
    )
    text = html.read_text()
    assert "a &lt;title&gt;" in text and "of &amp; for" in text
    assert "does not detect" not in text
    assert "<script" not in text and not re.search(r"(src|href)=\"(?!data:)", text)
    embedded = re.findall(r"data:image/(png|jpeg);base64,", text)
    titles = re.findall("<h4>(.*?)</h4>", text)
    assert embedded == ["png", "png", *["jpeg"] * 4]
    assert titles == [
        *("missed people, largest first", "false positives, highest score first"),
        *("left and right exchanged", "missed keypoints"),
    ]
    numbers = json.loads((tmp_path / "report" / "evaluation.json").read_text())["evaluations"]["one"]
    assert numbers["errors"] == {"good": 15, "jitter": 0, "inversion": 1, "swap": 0, "miss": 1}
    assert (numbers["missed_people"], numbers["false_people"], numbers["labelled_people"]) == (3, 1, 4)
    assert json.loads((tmp_path / "report" / "results_one.json").read_text()) == coco_entries(data, detections)


def test_a_false_positive_without_keypoints_is_in_the_sheet(tmp_path: Path) -> None:
    image = labels_of(person_at(100))
    cv2.imwrite(str(tmp_path / image.file), np.full((240, 360, 3), 90, np.uint8))
    data = data_set(replace(image, file=tmp_path / image.file))
    detections = [detections_of(person_at(100), np.zeros((17, 2)))]
    sheets = failure_sheets(data, detections, evaluate_detections(data, detections).errors)
    assert list(sheets) == ["false positives, highest score first"]


def test_the_report_fits_a_phone(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    from chromium import Browser

    detections = [detections_of(person_at(100))]
    evaluation = evaluate_detections(data_set(labels_of(person_at(100))), detections)
    names = ["paf", "tag", "centernet", "personlab"]
    html = write_report(tmp_path, "a_long_name_without_any_space" * 4, dict.fromkeys(names, evaluation), False)
    with Browser(tmp_path / "browser") as browser:
        browser.set_screen(390, 844, "light")
        browser.open(html.as_uri())
        assert browser.js("document.documentElement.scrollWidth") == 390


def test_the_command_writes_and_prints_the_same_numbers(scenes: Path, tmp_path: Path) -> None:
    result = run_command(
        "--data", scenes, "--grouping", "paf", "tag", "--threads", 1, "--short-side", 128, "-o", tmp_path / "new"
    )
    assert result.exit_code == 0, result.output
    numbers = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    assert list(numbers["evaluations"]) == ["paf", "tag"]
    settings = "settings: preprocess.short_side=128, runtime.threads=1; all others are the defaults"
    assert numbers["notes"][1].startswith("model: default-")
    assert numbers["notes"][2:] == ["network input: short side 128 px", settings]
    assert re.search(r"^images +2 +2$", result.stdout, re.MULTILINE)
    stored = run_command("--data", scenes, "--results", tmp_path / "new" / "results_tag.json")
    scores = {line.split()[0]: line.split()[-1] for line in stored.stdout.splitlines() if line.strip()}
    expected = numbers["evaluations"]["tag"]["scores"]["AP"]
    assert float(scores["AP"]) == pytest.approx(100 * expected, abs=0.051)


def test_images_can_be_selected(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("anywhere/000002.png\n\n")
    (tmp_path / "empty.json").write_text("[]")
    common = ("--data", scenes, "--results", tmp_path / "empty.json")
    for option, value in (("--image-list", tmp_path / "names.txt"), ("--first", 1)):
        assert re.search(r"^images +1$", run_command(*common, option, value).stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one.onnx", "two.onnx"], "MODEL: expected one, got one.onnx, two.onnx"),
        (["one.onnx", "--results", "x.json"], "--results: expected no model and no settings, got a model"),
        (["--results", "x.json", "--grouping", "tag"], "no settings, got --grouping"),
        (["--results", "x.json", "--flip", "--short-side", 99], "no settings, got --flip, --short-side"),
        (["--results", "x.json", "--threads", 1, "--set", "a.b=1"], "no settings, got --threads, --set"),
        (["--format", "mat"], "--format: expected one of coco, lsp, mpii, got 'mat'"),
        (["--image-list", "none.txt"], "expected at least one selected image, got none of 2"),
        (["--grouping", "blossom"], "grouping: expected one of"),
    ],
    ids=[
        "two models",
        *("model and results", "grouping and results", "views and results", "settings and results"),
        *("format", "no image", "grouping"),
    ],
)
def test_mistakes_are_reported(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none.txt").write_text("none.png")
    result = run_command("--data", scenes, *arguments)
    assert isinstance(result.exception, ValueError)
    assert message in str(result.exception)


def test_areas_crowds_and_order_of_labels(tmp_path: Path) -> None:
    person = {"category_id": 1, "keypoints": [5.0, 5.0, 1.0] * 3, "bbox": [0, 0, 10, 20]}
    content = {
        "images": [{"id": 9, "file_name": "9.png"}, {"id": 2, "file_name": "2.png", "width": 5}],
        "annotations": [
            {**person, "id": 1, "image_id": 9, "area": 50.0, "area_is_approx": True},
            {**person, "id": 2, "image_id": 9, "keypoints": None, "iscrowd": 1},
            {**person, "id": 3, "image_id": 2, "keypoints": [0] * 9},
            {"id": 4, "image_id": 2, "category_id": 7, "bbox": [0, 0, 1, 1]},
        ],
        "categories": [
            {"id": 1, "name": "person", "keypoints": ["nose", "Left Eye", "head"]},
            {"id": 7, "name": "dog"},
        ],
    }
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(content))
    data = read_coco(file)
    assert data.skeleton.keypoint_names == ("nose", "left_eye", "head_top")
    first, second = data.images
    assert (first.id, second.id) == (2, 9)
    np.testing.assert_allclose(second.areas, [50, BOX_FILL * 200])
    assert first.ignored.tolist() == [True] and second.ignored.tolist() == [False, True]
    assert second.crowds.tolist() == [False, True]
    for image in content["images"]:
        image["crowdIndex"] = 0.5
    file.write_text(json.dumps(content))
    # CrowdPose areas are computed from boxes.
    assert read_coco(file).images[1].areas[0] == pytest.approx(BOX_FILL * 200)


def test_known_skeletons_are_found_by_their_names() -> None:
    assert skeleton_of(COCO_17.keypoint_names) is COCO_17
    own = skeleton_of(["left_shoulder", "neck", "Right_Shoulder", "tail"])
    assert own.limbs == ((0, 2), (1, 0), (1, 2))


def make_lsp_data(tmp_path: Path) -> DataSet:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((200, 200, 3), np.uint8))
    joints = np.column_stack([skeleton_of(LSP_NAMES).standing * 150 + (90, 20), np.ones(14)])[None]
    joints[0, LSP_NAMES.index("neck"), 1] = 40  # at the chin, so the head is 20 px long
    np.savez(tmp_path / "labels.npz", names=np.array(["a.jpg"]), joints=joints)
    return read_data(tmp_path / "labels.npz", format="lsp")


def test_lsp_labels_one_person_per_image(tmp_path: Path) -> None:
    data = make_lsp_data(tmp_path)
    assert not data.complete and data.images[0].id == "a.jpg"
    evaluation = evaluate_detections(data, [detections_of(data.images[0].keypoints[0] + 1)])
    assert not evaluation.scores and evaluation.pck["PCK@0.2"].total == 1


def test_lsp_measures_heads_to_the_labelled_neck(tmp_path: Path) -> None:
    """The head length uses the labelled neck. The evaluated neck is the middle of the shoulders."""
    data, (neck, wrist) = make_lsp_data(tmp_path), map(LSP_NAMES.index, ("neck", "left_wrist"))
    person = data.images[0].keypoints[0]
    assert person[neck, 1] > 45
    pck = evaluate_detections(
        data, [detections_of(move_keypoint(move_keypoint(person, neck, person[neck] + (0, 9.9)), wrist, (80, 20)))]
    ).pck
    assert list(pck) == ["PCK@0.2", "PCKh@0.5 (segment)"]
    assert pck["PCKh@0.5 (segment)"].by_keypoint[[neck, wrist]].tolist() == [1, 0]
    pck = evaluate_detections(data, [detections_of(move_keypoint(person, neck, person[neck] + (0, 10.1)))]).pck
    assert pck["PCKh@0.5 (segment)"].total == pytest.approx(13 / 14)


HEAD_BOX = (80, 15, 110, 55)  # px; the head length is 0.6 x its diagonal of 50 px = 30 px


def write_mpii_json(tmp_path: Path, joints: np.ndarray) -> Path:
    """Write labels of two people, one with a head box and one without."""
    people = [{"joints": joints.tolist(), "head_box": HEAD_BOX}, {"joints": np.add(joints, (300, 0)).tolist()}]
    content = [{"image": "a.jpg", "joints_vis": [1] * 16, **person} for person in people]
    (tmp_path / "people.json").write_text(json.dumps(content))
    return tmp_path / "people.json"


def write_mpii_mat(tmp_path: Path, joints: np.ndarray) -> Path:
    """Write the same labels in the format of the publisher, who counts pixels from 1."""
    both = joints + 1, np.add(joints, (300, 0)) + 1
    points = [[{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(person)] for person in both]
    box = {name: value + 1 for name, value in zip(("x1", "y1", "x2", "y2"), HEAD_BOX, strict=True)}
    nothing = dict.fromkeys(box, np.zeros(0))
    people = [{"annopoints": {"point": points[0]}, **box}, {"annopoints": {"point": points[1]}, **nothing}]
    release = {"annolist": [{"image": {"name": "a.jpg"}, "annorect": people}], "img_train": [1]}
    pytest.importorskip("scipy.io").savemat(tmp_path / "mpii.mat", {"RELEASE": release})
    return tmp_path / "mpii.mat"


@pytest.mark.parametrize("write", [write_mpii_json, write_mpii_mat])
def test_mpii_uses_the_head_box(tmp_path: Path, write: Callable[[Path, np.ndarray], Path]) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((240, 500, 3), np.uint8))
    joints = np.nan_to_num(skeleton_of(MPII_NAMES).standing, nan=0.15) * 200 + (90, 20)
    data = read_data(write(tmp_path, joints), format="mpii")
    np.testing.assert_allclose(data.images[0].lengths_px["head_box"], [30, np.nan], rtol=1e-6)
    wrist, knee = map(MPII_NAMES.index, ("left_wrist", "left_knee"))
    first, second = data.images[0].keypoints
    detections = move_keypoint(move_keypoint(first, wrist, first[wrist] + (0, 14.9)), knee, first[knee] + (0, 15.1))
    pck = evaluate_detections(data, [detections_of(detections, second)]).pck
    assert pck["PCKh@0.5"].labelled.sum() == 14  # one person, without pelvis and thorax
    assert pck["PCKh@0.5"].by_keypoint[[wrist, knee]].tolist() == [1, 0]
    assert pck["PCKh@0.5 (segment)"].labelled.sum() == 28  # both people have head top and upper neck


def test_a_head_box_needs_two_corners(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((240, 200, 3), np.uint8))
    person = {"image": "a.jpg", "joints": [[5, 5]] * 16, "joints_vis": [1] * 16, "head_box": [1, 2, 3]}
    (tmp_path / "people.json").write_text(json.dumps([person]))
    with pytest.raises(ValueError, match=r"head_box: expected \[x1, y1, x2, y2\], got \[1, 2, 3\]"):
        read_data(tmp_path / "people.json", format="mpii")


def test_ap_of_training_samples() -> None:
    """False positives in an ignored area do not count, others do."""
    keypoints = person_at(100, OPENPOSE_18)[None].astype(np.float32)
    states = np.full((1, 18), LABELLED, np.uint8)
    states[0, 3] = ABSENT
    box = np.array([[60, 20, 140, 220]], np.float32)
    ignored = np.zeros((240, 500), bool)
    ignored[:, 300:400] = True
    sample = Sample(np.zeros((240, 500, 3), np.uint8), keypoints, states, box, ignored)
    both = np.concatenate([keypoints, keypoints + np.float32([250, 0])])
    people = People(both, np.full((2, 18), 0.9), np.array([0.5, 0.9]))
    assert data_of([sample], OPENPOSE_18).images[0].crowds.tolist() == [False, True]
    assert evaluate_samples([sample], [people], OPENPOSE_18)["AP"] == pytest.approx(1)
    assert evaluate_samples([replace(sample, ignored=None)], [people], OPENPOSE_18)["AP"] == pytest.approx(
        0.5, abs=0.01
    )


def test_times_leave_the_first_image_out() -> None:
    assert summarise_times([500.0, 1.0, 2.0, 3.0]) == {"median": 2.0, "p95": pytest.approx(2.9)}
    assert summarise_times([7.0]) == {"median": 7.0, "p95": 7.0}
