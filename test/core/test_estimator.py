"""Test the estimator: it finds people in pixels of the image."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

from pose_ros import estimator as estimator_module
from pose_ros.config import DecoderConfig, EstimatorConfig, PreprocessConfig, RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.fields import METADATA_KEY, HeadSpec, InputSpec, ModelSpec
from pose_ros.models.model_file import DEFAULT_MODEL, read_spec, write_spec
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.runner import Runner, TensorSpec
from pose_ros.skeleton import COCO_17, OPENPOSE_18, map_keypoints


@pytest.fixture(scope="module")
def estimator() -> PoseEstimator:
    return PoseEstimator.load()


@pytest.fixture(scope="module")
def photo(shared: Path) -> np.ndarray:
    image = cv2.imread(str(shared / "images" / "coco_val" / "images" / "000000000785.jpg"))  # a skier, 640 x 425
    assert image is not None
    return image


def test_the_default_model_describes_itself(estimator: PoseEstimator) -> None:
    assert estimator.skeleton == OPENPOSE_18
    assert estimator.spec.stride == 4 and estimator.spec.grouping == "paf"
    assert estimator.model_name.startswith("default-") and len(estimator.model_name) == len("default-") + 8


@pytest.mark.parametrize("shape", [(480, 640, 3), (1, 1, 3), (37, 1000, 3), (1000, 37), (720, 1280, 3)], ids=str)
def test_a_black_image_of_any_size_has_no_people(estimator: PoseEstimator, shape: tuple[int, ...]) -> None:
    people = estimator.estimate(np.zeros(shape, np.uint8))
    assert len(people) == 0 and people.keypoints.shape == (0, 18, 2)


def test_a_person_is_found_where_coco_says(estimator: PoseEstimator, photo: np.ndarray, shared: Path) -> None:
    truth = json.loads((shared / "images" / "coco_val" / "person_keypoints.json").read_text())
    (label,) = (a for a in truth["annotations"] if a["image_id"] == 785)
    expected = np.array(label["keypoints"], float).reshape(17, 3)
    people = estimator.estimate(photo)
    xy, scores = map_keypoints(people.keypoints, people.scores, OPENPOSE_18, COCO_17)
    both = (scores[0] > 0) & (expected[:, 2] > 0)
    assert both.sum() >= 8
    assert np.median(np.linalg.norm(xy[0, both] - expected[both, :2], axis=1)) < 12  # px, for a person of 280 px


def test_scaling_the_image_scales_the_people(estimator: PoseEstimator, photo: np.ndarray) -> None:
    """Positions are converted exactly: twice the image size gives twice the coordinates, including pixel centres."""
    small, large = estimator.estimate(photo), estimator.estimate(cv2.resize(photo, None, fx=2, fy=2))
    both = small.visible[0] & large.visible[0]
    assert both.sum() >= 8
    gap = large.keypoints[0, both] - ((small.keypoints[0, both] + 0.5) * 2 - 0.5)
    assert np.median(np.abs(gap)) < 3


def test_colour_orders_agree(estimator: PoseEstimator, photo: np.ndarray) -> None:
    bgr, rgb = estimator.process(photo, "bgr"), estimator.process(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB), "rgb")
    assert np.array_equal(bgr.people.keypoints, rgb.people.keypoints)


def test_each_time_is_that_of_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator, now_s = make_fixed_estimator(), [0.0]
    monkeypatch.setattr(estimator_module.time, "perf_counter", lambda: now_s[0])

    def take(duration_s: float, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: object) -> object:
            now_s[0] += duration_s
            return function(*arguments)

        return run

    estimator._views = [take(1, estimator.preprocess)]
    estimator.runner.run = take(2, estimator.runner.run)
    estimator._decode = take(4, estimator._decode)
    estimate = estimator.process(np.zeros((64, 64, 3), np.uint8))
    assert (estimate.preprocess_ms, estimate.network_ms, estimate.decode_ms) == (1000, 2000, 4000)


def test_estimates_repeat_and_threads_may_share(estimator: PoseEstimator, photo: np.ndarray) -> None:
    expected, results = estimator.estimate(photo), []
    threads = [threading.Thread(target=lambda: results.append(estimator.estimate(photo))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(r.keypoints, expected.keypoints) for r in results)


def test_settings_reach_every_stage(photo: np.ndarray) -> None:
    preprocess, runtime = PreprocessConfig(short_side=64), RuntimeConfig(backend="onnx", threads=1, max_batch=3)
    config = EstimatorConfig(preprocess=preprocess, runtime=runtime, decoder=DecoderConfig(min_person_score=1.0))
    estimator = PoseEstimator.load(config=config)
    shapes, run = [], estimator.runner.run
    estimator.runner.run = lambda feeds, names: (shapes.append(feeds["image"].shape), run(feeds, names))[1]
    assert len(estimator.estimate(photo)) == 0
    assert shapes == [(1, 64, 96, 3)] and estimator.max_batch == 3


@pytest.mark.parametrize("warm_up", [False, True])
def test_the_estimator_warms_up_on_request(monkeypatch: pytest.MonkeyPatch, warm_up: bool) -> None:
    calls: list[object] = []
    monkeypatch.setattr(Front, "_run", lambda self, feeds, names: calls.append(names) or make_zeros(names))
    make_fixed_estimator(RuntimeConfig(warm_up=warm_up))
    assert len(calls) == warm_up


def make_recorder(calls: list[object]) -> Callable[[object], None]:
    """Return a method that records its object."""

    def record(self: object) -> None:
        calls.append(self)

    return record


def test_the_network_is_closed_if_it_has_no_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    monkeypatch.setattr(OnnxRunner, "close", make_recorder(closed))
    with pytest.raises(ValueError, match="expected a description"):
        PoseEstimator.load(copy_without_description(tmp_path), runtime="onnx")
    assert len(closed) == 1


def test_only_the_outputs_of_the_decoder_are_fetched() -> None:
    estimator, fetched = make_fixed_estimator(), []
    run = estimator.runner.run
    estimator.runner.run = lambda feeds, names: (fetched.append(set(names)), run(feeds, names))[1]
    estimator.estimate(np.zeros((64, 64, 3), np.uint8))
    dark = estimator.with_decoder(DecoderConfig(subpixel="dark", max_peaks=8))
    dark.estimate(np.zeros((64, 64, 3), np.uint8))
    assert fetched == [{"peaks", "limb_scores"}, {"heatmaps", "pafs"}]
    assert dark.config.decoder.subpixel == "dark" and estimator.config.decoder.subpixel != "dark"


def test_a_network_with_a_fixed_batch_takes_one_image_per_run() -> None:
    assert make_fixed_estimator(RuntimeConfig(max_batch=8)).max_batch == 1


def copy_without_description(tmp_path: Path) -> Path:
    """Save the default model without its description."""
    network = onnx.load(str(DEFAULT_MODEL))
    del network.metadata_props[:]
    onnx.save(network, str(tmp_path / "bare.onnx"))
    return tmp_path / "bare.onnx"


def default_spec(estimator: PoseEstimator) -> ModelSpec:
    return read_spec(DEFAULT_MODEL, estimator.runner.metadata)


def test_a_model_without_a_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a description in its metadata or in bare\.yaml, got neither"):
        PoseEstimator.load(copy_without_description(tmp_path))


def test_a_sidecar_file_is_read(tmp_path: Path, estimator: PoseEstimator) -> None:
    bare = copy_without_description(tmp_path)
    description = json.dumps(default_spec(estimator).to_dict())
    bare.with_suffix(".yaml").write_text(description)
    assert PoseEstimator.load(bare).spec == estimator.spec
    other = tmp_path / "other.yaml"
    other.write_text(description.replace('"default"', '"renamed"'))
    assert PoseEstimator.load(bare, spec=other).spec.name == "renamed"


def test_a_description_is_embedded(tmp_path: Path, estimator: PoseEstimator) -> None:
    write_spec(copy_without_description(tmp_path), default_spec(estimator), tmp_path / "full.onnx")
    assert METADATA_KEY in {entry.key for entry in onnx.load(str(tmp_path / "full.onnx")).metadata_props}
    assert PoseEstimator.load(tmp_path / "full.onnx").spec == estimator.spec


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1, 2", "expected YAML"), ("hello", "got str"), ("name: x", "skeleton"), ("", "got NoneType")],
)
def test_a_broken_sidecar_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "side.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"(?s)side\.yaml.*{message}"):
        PoseEstimator.load(DEFAULT_MODEL, spec=tmp_path / "side.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": InputSpec("frame", multiple=16)}, r"expected one input 'frame', got \['image'\]"),
        ({"input": InputSpec("image", dtype="float32", multiple=16)}, "expected a 4-D float32 input, got 4-D uint8"),
        ({"heads": (HeadSpec("heatmaps", "nothing"),)}, r"expected heads among the outputs .*, got \['nothing'\]"),
        ({"heads": (HeadSpec("heatmaps", "heatmaps"),)}, r"expected heads \['pafs'\] for grouping 'paf'"),
        ({"heads": ()}, "expected heads among"),
    ],
)
def test_a_description_that_does_not_fit_the_network_is_refused(change: dict, message: str) -> None:
    entries = {"input": InputSpec("image", multiple=16), "heads": (HeadSpec("heatmaps", "heatmaps"),), **change}
    with pytest.raises(ValueError, match=message):
        PoseEstimator.load(DEFAULT_MODEL, spec=ModelSpec("x", OPENPOSE_18, 8, **entries))


def test_a_public_model_finds_a_person(shared: Path, photo: np.ndarray) -> None:
    """Run weights of another publisher, with a description, on a photo."""
    spec = ModelSpec(
        "tf_pose_mobilenet_v2_small",
        OPENPOSE_18,
        stride=8,
        origin=2.75,
        input=InputSpec("image:0", dtype="float32", colour="bgr", multiple=8, short_side=432),
        heads=(
            HeadSpec("heatmaps", "Openpose/concat_stage7:0", "NHWC", tuple(range(18))),
            HeadSpec("pafs", "Openpose/concat_stage7:0", "NHWC", tuple(range(19, 57))),
        ),
        licence="Apache-2.0",
    )
    people = PoseEstimator.load(shared / "models" / "paf_mobilenet_v2_small.onnx", spec=spec).estimate(photo)
    assert len(people) >= 1 and people.visible[0].sum() >= 10
    x0, y0, x1, y1 = people.boxes()[0]
    assert 280 < x0 < x1 < 510 and 30 < y0 < y1 < 400  # COCO's box: 280 44 499 388


def test_the_import_is_light() -> None:
    """The import of the estimator does not load a runtime, the compiler or a plotting library."""
    heavy = ("onnxruntime", "numba", "torch", "rich", "typer", "matplotlib")
    script = f"import sys, pose_ros.estimator; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_batch_gives_the_same_people_as_single_images(estimator: PoseEstimator, photo: np.ndarray) -> None:
    """Use images of two shapes and both channel orders, more than fit into one run."""
    several = PoseEstimator.load(config=EstimatorConfig(runtime=RuntimeConfig(backend="onnx", max_batch=2)))
    assert several.max_batch == 2
    upright = np.ascontiguousarray(photo.transpose(1, 0, 2))
    images, colours = [photo, upright, photo[..., ::-1].copy(), photo[::-1].copy()], ["bgr", "bgr", "rgb", "bgr"]
    runs, run = [], several.runner.run
    several.runner.run = lambda feeds, wanted: (runs.append(len(feeds["image"])), run(feeds, wanted))[1]
    batched = several.process_batch(images, colours)
    assert sorted(runs) == [1, 1, 2]
    for image, colour, estimate in zip(images, colours, batched, strict=True):
        alone = several.process(image, colour)
        assert len(estimate.people) == len(alone.people)
        np.testing.assert_allclose(estimate.people.keypoints, alone.people.keypoints, atol=0.5)
    assert several.process_batch([], []) == []


def test_other_decoder_settings_on_the_same_network(estimator: PoseEstimator, photo: np.ndarray) -> None:
    before = estimator.estimate(photo)
    strict = estimator.with_decoder(DecoderConfig(min_person_score=1.0))
    assert strict.runner is estimator.runner and strict.config.preprocess == estimator.config.preprocess
    assert len(strict.estimate(photo)) == 0 < len(before)
    np.testing.assert_array_equal(estimator.estimate(photo).keypoints, before.keypoints)
    exact = estimator.with_decoder(DecoderConfig(subpixel="dark"))  # reads other outputs of models that have them
    after = exact.estimate(photo)
    both = after.visible[0] & before.visible[0]
    assert both.sum() > 10
    np.testing.assert_allclose(after.keypoints[0][both], before.keypoints[0][both], atol=8)


class Front(Runner):
    """Network with a decode front of eight peaks per keypoint. It finds no people."""

    inputs = (TensorSpec("image", (1, 64, 64, 3), np.dtype(np.uint8)),)
    outputs = (
        TensorSpec("peaks", (1, 18, 8, 3), np.dtype(np.float32)),
        TensorSpec("limb_scores", (1, 19, 8, 8), np.dtype(np.float32)),
        TensorSpec("heatmaps", (1, 18, 8, 8), np.dtype(np.float32)),
        TensorSpec("pafs", (1, 38, 8, 8), np.dtype(np.float32)),
    )

    def _run(self, feeds: object, names: list[str]) -> dict[str, np.ndarray]:
        return make_zeros(names)


def make_zeros(names: Collection[str]) -> dict[str, np.ndarray]:
    return {output.name: np.zeros(output.shape, output.dtype) for output in Front.outputs if output.name in names}


def make_fixed_estimator(runtime: RuntimeConfig | None = None, **decoder: object) -> PoseEstimator:
    """Make an estimator with the network ``Front``."""
    heads = tuple(HeadSpec(output.name, output.name) for output in Front.outputs)
    spec = ModelSpec("f", OPENPOSE_18, 8, heads=heads, input=InputSpec("image", multiple=16))
    config = EstimatorConfig(runtime=runtime or RuntimeConfig(), decoder=DecoderConfig(**decoder))
    return PoseEstimator(Front(), spec, config)


@pytest.mark.parametrize("change", [{}, {"max_peaks": 8}, {"max_peaks": 9, "subpixel": "none"}], ids=str)
def test_the_decode_front_limits_max_peaks(change: dict) -> None:
    estimator = make_fixed_estimator(**change)
    assert len(estimator.estimate(np.zeros((64, 64, 3), np.uint8))) == 0
    with pytest.raises(ValueError, match=r"max_peaks: expected at most 8, .*, got 9; export it with --max-peaks 9"):
        estimator.with_decoder(DecoderConfig(max_peaks=9))
