"""Test networks that output people from the file to the people in pixels of the image, in each public layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from cli_runner import run
from direct_onnx import write_direct

from pose_ros.config import EstimatorConfig, RuntimeConfig
from pose_ros.decoder import fields_to_read
from pose_ros.estimator import PoseEstimator
from pose_ros.fields import HeadSpec, ModelSpec
from pose_ros.models.known_layouts import MOVENET_ORIGIN
from pose_ros.pipeline import CameraImage, PosePipeline

RUNTIMES = pytest.mark.parametrize("runtime", ["onnx", "openvino"])
LAYOUTS = ("yolo", "yolo_end_to_end", "rtmo", "movenet")
ORIGINS = {"movenet": MOVENET_ORIGIN}
MOVE_PX = 8.0
"""Input pixels that a person moves to the right per grey level of the first image pixel, divided by 32."""


def make_people(count: int) -> np.ndarray:
    """Return people (count, 17, 3) in pixels of an input of 320 x 192, with scores."""
    random = np.random.default_rng(count)
    people = random.uniform([5, 5, 0.5], [60, 120, 1], (count, 17, 3))
    people[:, :, 0] += 60 * np.arange(count)[:, None]
    return people


def make_outputs(layout: str, people: np.ndarray, size_wh: tuple[int, int]) -> tuple[dict, dict]:
    """Return the outputs of a network for people (P, 17, 3) in pixels of its input, and which numbers are an x.

    The scores of the people are 0.9, 0.8 and so on.
    """
    count = len(people)
    scores = 0.9 - 0.1 * np.arange(count)[:, None]
    low, high = people[..., :2].min(axis=1), people[..., :2].max(axis=1)
    x_y_score, is_x = people.reshape(count, 51), np.tile([1.0, 0, 0], 17)
    if layout == "yolo":  # each person twice, among anchors without one
        anchors = np.zeros((40, 56))
        anchors[:, :4] = 100
        rows = np.concatenate([(low + high) / 2, high - low, scores, x_y_score], axis=1)
        anchors[3 : 3 + count], anchors[20 : 20 + count] = rows, rows
        anchors[20 : 20 + count, 4] -= 0.05
        return {"output0": anchors.T[None]}, {"output0": np.r_[1, 0, 0, 0, 0, is_x][None, :, None]}
    if layout == "yolo_end_to_end":
        rows = np.zeros((300, 57))
        rows[:count] = np.concatenate([low, high, scores, 0 * scores, x_y_score], axis=1)
        return {"output0": rows[None]}, {"output0": np.r_[1, 0, 1, 0, 0, 0, is_x][None, None]}
    if layout == "rtmo":
        boxes, zeros = np.concatenate([low, high, scores], axis=1), np.zeros((2, 51))
        dets = np.concatenate([boxes, np.full((2, 5), -1)])
        keypoints = np.concatenate([x_y_score, zeros]).reshape(-1, 17, 3)
        moves = {"dets": np.array([1.0, 0, 1, 0, 0]), "keypoints": np.array([1.0, 0, 0])}
        return {"dets": dets[None], "keypoints": keypoints[None]}, moves
    size = np.array([*size_wh, 1.0])
    fractions = (people - [MOVENET_ORIGIN, MOVENET_ORIGIN, 0]) / size
    y_x_score = fractions[..., [1, 0, 2]].reshape(count, 51)
    rows = np.zeros((6, 56))
    rows[:count] = np.concatenate([y_x_score, (low / size[:2])[:, ::-1], (high / size[:2])[:, ::-1], scores], axis=1)
    return {"output_0": rows[None]}, {"output_0": np.r_[np.tile([0.0, 1, 0], 17), 0, 1, 0, 1, 0] / size_wh[0]}


def write_layout(
    path: Path,
    layout: str,
    people: np.ndarray,
    size_wh: tuple[int, int] = (320, 192),
    free: bool = False,
    **more: object,
) -> Path:
    outputs, moves = make_outputs(layout, people, size_wh)
    per_grey_level = MOVE_PX / 32 * (255 if layout.startswith("yolo") else 1)
    moves = {name: per_grey_level * move for name, move in moves.items()}
    free_wh = ("width", "height")
    return write_direct(
        path, outputs, moves, size_wh=free_wh if free else size_wh, nhwc_int=layout == "movenet", **more
    )


def load(path: Path, runtime: str, max_batch: int = 1) -> PoseEstimator:
    config = EstimatorConfig(runtime=RuntimeConfig(threads=1, max_batch=max_batch))
    return PoseEstimator.load(path, runtime=runtime, config=config)


def flat_image(width: int, height: int, grey: int = 0) -> np.ndarray:
    return np.full((height, width, 3), grey, np.uint8)


@RUNTIMES
@pytest.mark.parametrize("layout", LAYOUTS)
def test_people_are_at_exact_pixels_of_the_image(tmp_path: Path, layout: str, runtime: str) -> None:
    """An image of 640 x 300 becomes 320 x 150, with 42 rows of padding below."""
    people = make_people(3)
    estimator = load(write_layout(tmp_path / "m.onnx", layout, people), runtime)
    assert (estimator.grouping, estimator.skeleton.name) == ("direct", "coco_17")
    found = estimator.estimate(flat_image(640, 300))
    estimator.close()
    np.testing.assert_allclose(found.keypoints, (people[..., :2] + 0.5) * 2 - 0.5, atol=2e-3)
    np.testing.assert_allclose(found.scores, people[..., 2], atol=1e-6)
    np.testing.assert_allclose(found.person_scores, [0.9, 0.8, 0.7], atol=1e-6)


@RUNTIMES
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_batch_of_images_keeps_its_order(tmp_path: Path, layout: str, runtime: str) -> None:
    """The grey level reaches the network in the scale of its publisher: 0 to 255, or 0 to 1 for YOLO."""
    people = make_people(2)
    estimator = load(write_layout(tmp_path / "m.onnx", layout, people), runtime, max_batch=4)
    greys = [0, 32, 64]
    images = [flat_image(320, 192, grey) for grey in greys]
    estimates = estimator.process_batch(images, ["bgr"] * 3)
    for grey, estimate in zip(greys, estimates, strict=True):
        expected = people[..., :2] + [MOVE_PX * grey / 32, 0]
        np.testing.assert_allclose(estimate.people.keypoints, expected, atol=2e-3)
    estimator.close()


@RUNTIMES
@pytest.mark.parametrize("name", ["160x224", "256x384"])
def test_movenet_gives_the_people_of_its_publisher(tmp_path: Path, shared: Path, name: str, runtime: str) -> None:
    reference = np.load(shared / "models" / "movenet" / f"reference_{name}.npz")
    truth, image_rgb = reference["people"], reference["image_rgb"]
    path = write_direct(tmp_path / "movenet.onnx", {"output_0": truth[None]}, nhwc_int=True)
    estimator = load(path, runtime)
    described = estimator.spec.to_dict()
    described["input"]["short_side"] = min(image_rgb.shape[:2])
    (tmp_path / "movenet.yaml").write_text(yaml.safe_dump(described))
    estimator.close()
    estimator = load(path, runtime)
    people = estimator.estimate(image_rgb[..., ::-1].copy())
    estimator.close()
    truth = truth[truth[:, 55] >= 0.05]
    truth = truth[np.argsort(-truth[:, 55], kind="stable")]
    rows = truth[:, :51].reshape(-1, 17, 3)
    expected = rows[..., 1::-1] * image_rgb.shape[1::-1] + MOVENET_ORIGIN
    visible = rows[..., 2] > 0.127
    kept = visible.sum(axis=1) >= 3
    assert len(people) == kept.sum() > 0
    assert np.array_equal(people.visible, visible[kept])
    np.testing.assert_allclose(people.keypoints[people.visible], expected[kept][visible[kept]], atol=1e-3)
    np.testing.assert_allclose(people.person_scores, truth[kept, 55], atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_empty_image_has_no_people(tmp_path: Path, layout: str) -> None:
    estimator = load(write_layout(tmp_path / "m.onnx", layout, np.zeros((0, 17, 3))), "onnx")
    assert len(estimator.estimate(flat_image(50, 90))) == 0
    estimator.close()


def test_free_sizes_are_those_of_each_image(tmp_path: Path) -> None:
    """MoveNet's people are in fractions of an input of 256 x 256 and then of 512 x 256."""
    path = write_layout(tmp_path / "m.onnx", "movenet", make_people(1), (256, 256), free=True)
    estimator = load(path, "onnx")
    square, wide = (estimator.estimate(flat_image(width, 256)).keypoints[0] for width in (256, 512))
    np.testing.assert_allclose(wide + 0.5, (square + 0.5) * [2, 1], atol=1e-3)
    estimator.close()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_hostile_outputs_are_bounded(tmp_path: Path, layout: str, bad: float) -> None:
    people = make_people(3)
    people[1, 4, 0] = people[1, 5, 1] = bad
    estimator = load(write_layout(tmp_path / "m.onnx", layout, people), "onnx")
    found = estimator.estimate(flat_image(640, 300))
    assert len(found) == 3 and np.isfinite(found.keypoints).all()
    assert not found.visible[1, 4:6].any() and found.visible.sum() == 3 * 17 - 2
    estimator.close()


YOLO = """
name: mine
skeleton: {name: trio, keypoint_names: [a, b, c], limbs: [[0, 1]]}
stride: 1
grouping: direct
input: {tensor: images, layout: NCHW, dtype: float32, std: [255, 255, 255], size_wh: [64, 64]}
heads:
- {field: boxes, tensor: rows, layout: NCP, channels: [0, 1, 2, 3]}
- {field: person_scores, tensor: rows, layout: NCP, channels: [5], activation: sigmoid}
- {field: people, tensor: rows, layout: NCP, channels: [6, 7, 8, 9, 10, 11]}
people: {box: centre}
"""


def write_own(tmp_path: Path, channels: int = 12, batch: int | str = "batch") -> Path:
    rows = np.zeros((1, channels, 7))
    rows[0, :, 2] = [30, 30, 20, 20, 0, 3, 10, 11, 20, 21, 30, 31][:channels]
    return write_direct(tmp_path / "own.onnx", {"rows": rows}, size_wh=(64, 64), batch=batch)


def test_a_description_says_where_everything_stands(tmp_path: Path) -> None:
    path = write_own(tmp_path)
    (tmp_path / "own.yaml").write_text(YOLO)
    estimator = load(path, "onnx")
    people = estimator.estimate(flat_image(64, 64))
    assert people.keypoints[0].tolist() == [[10, 11], [20, 21], [30, 31]]
    np.testing.assert_allclose(people.person_scores[0], 1 / (1 + np.exp(-3)), atol=1e-6)
    estimator.close()


def test_missing_channels_are_reported_on_load(tmp_path: Path) -> None:
    path = write_own(tmp_path, channels=10)
    (tmp_path / "own.yaml").write_text(YOLO)
    with pytest.raises(ValueError, match=r"output 'rows': expected more than 11 channels for the head people, got 10"):
        load(path, "onnx")


@pytest.mark.parametrize(
    ("shape", "metadata"),
    [
        ((1, 55, 8400), {}),
        ((1, 84, 8400), {}),
        ((1, 56, 8400), {"task": "detect"}),
        ((1, 56, 8400), {"task": "pose", "kpt_shape": "[21, 2]"}),
        ((1, 300, 58), {}),
    ],
    ids=str,
)
def test_unknown_layouts_name_the_entries_of_a_description(tmp_path: Path, shape: tuple, metadata: dict) -> None:
    path = write_direct(tmp_path / "m.onnx", {"output0": np.zeros(shape)}, metadata=metadata)
    message = (
        r"m.onnx: expected a description .* output0 \(any, .* for images \(.*\) float32 have no known layout.*"
        r"grouping: direct, heads \(fields people, person_scores"
    )
    with pytest.raises(ValueError, match=message):
        load(path, "onnx")


def test_an_output_of_one_image_for_several_is_reported() -> None:
    with pytest.raises(ValueError, match=r"output 'rows': expected results of 2 images or more, got shape \(1, 3, 9\)"):
        HeadSpec("people", "rows", "NPC").read({"rows": np.zeros((1, 3, 9))}, 1)


def test_the_description_in_the_documents_is_valid() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    specs = [ModelSpec.from_dict(yaml.safe_load(block)) for block in blocks if "grouping: direct" in block]
    assert [fields_to_read(spec) for spec in specs] == [("people", "person_scores", "boxes")]


def test_the_pipeline_tracks_people(tmp_path: Path) -> None:
    estimator = load(write_layout(tmp_path / "m.onnx", "yolo", make_people(2)), "onnx")
    pipeline = PosePipeline(estimator)
    for step in range(4):
        result = pipeline.process(CameraImage(flat_image(320, 192, step), stamp_ns=10**9 + step * 33_000_000))
    assert sorted(result.people.ids.tolist()) == [0, 1]
    estimator.close()


def test_the_licence_of_a_yolo_export_is_shown(tmp_path: Path) -> None:
    metadata = {"task": "pose", "kpt_shape": "[17, 3]", "license": "AGPL-3.0 License"}
    path = write_layout(tmp_path / "yolo.onnx", "yolo", make_people(1), metadata=metadata)
    result = run("models", "show", path)
    assert result.exit_code == 0
    for text in (
        "AGPL-3.0 License",
        "direct",
        "people: output0, NCP, channels 5 to 55",
        "in pixels, boxes by their centre",
    ):
        assert text in result.output


def test_stored_outputs_are_decoded(tmp_path: Path) -> None:
    path = write_layout(tmp_path / "yolo.onnx", "yolo", make_people(2))
    estimator = load(path, "onnx")
    (tmp_path / "yolo.yaml").write_text(yaml.safe_dump(estimator.spec.to_dict()))
    estimator.close()
    outputs = make_outputs("yolo", make_people(2), (320, 192))[0]
    np.savez(tmp_path / "outputs.npz", **outputs)
    arguments = ["decode", tmp_path / "outputs.npz", "--spec", tmp_path / "yolo.yaml"]
    result = run(*arguments, "--json", tmp_path / "people.json", "--picture", tmp_path / "people.png")
    assert result.exit_code == 0, result.output
    assert len(json.loads((tmp_path / "people.json").read_text())["people"]) == 2
    assert (tmp_path / "people.png").stat().st_size > 1000
