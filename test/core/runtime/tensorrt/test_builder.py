"""Test builds of engines: the flags and options for each version of TensorRT, progress and errors."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_cuda
import fake_tensorrt
import onnx
import pytest
from fake_tensorrt import OLDER, VERSIONS
from hypothesis import given
from hypothesis import strategies as st
from tiny_onnx import write_model

from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.onnx_graph import GraphInput, OnnxGraph, read_graph
from pose_ros.runtime.shape_ranges import ShapeRange, shape_ranges
from pose_ros.runtime.tensorrt import progress as engine_progress
from pose_ros.runtime.tensorrt.builder import BuiltEngine, build_engine, engine_request
from pose_ros.runtime.tensorrt.log import log_of
from pose_ros.runtime.tensorrt.progress import Phases

EIGHT, TEN, NEWER, ELEVEN = VERSIONS
WEAK_FRONT = {"FP16", "OBEY_PRECISION_CONSTRAINTS"}
STRONG, BOTH, OLD = 0b1, 0b11, 0b1  # TensorRT 11 numbers the bits differently


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def tensorrt(version: str) -> Any:
    return fake_tensorrt.make(version, fake_cuda.Machine())


def build(trt: Any, path: Path, config: RuntimeConfig | None = None, **rest: Any) -> BuiltEngine:
    progress = rest.pop("progress", lambda *_: None)
    return build_engine(trt, engine_request(trt, path, config or RuntimeConfig()), log_of(trt), progress, **rest)


@pytest.mark.parametrize(
    ("version", "network", "precision", "creation", "flags"),
    [
        pytest.param(OLDER, {"float_input": True}, "auto", OLD, set(), id="8.5"),
        pytest.param(OLDER, {"float_input": True}, "fp16", OLD, {"FP16"}, id="8.5 fp16"),
        pytest.param(EIGHT, {}, "auto", OLD, set(), id="8.6"),
        pytest.param(EIGHT, {}, "fp32", OLD, set(), id="8.6 fp32"),
        pytest.param(EIGHT, {}, "fp16", OLD, {"FP16"}, id="8.6 fp16"),
        pytest.param(EIGHT, {"front": 4}, "fp16", OLD, WEAK_FRONT, id="8.6 fp16 with front"),
        pytest.param(EIGHT, {"front": 4}, "auto", OLD, set(), id="8.6 with front"),
        pytest.param(EIGHT, {"precision": "fp16", "front": 4}, "auto", OLD, WEAK_FRONT, id="8.6 half model"),
        pytest.param(EIGHT, {"quantised": True}, "auto", OLD, {"INT8"}, id="8.6 int8"),
        pytest.param(EIGHT, {"quantised": True}, "fp16", OLD, {"INT8", "FP16"}, id="8.6 int8 and fp16"),
        pytest.param(TEN, {}, "auto", BOTH, set(), id="10.3"),
        pytest.param(TEN, {"precision": "fp16", "front": 4}, "fp16", BOTH, set(), id="10.3 half model"),
        pytest.param(TEN, {"precision": "bf16"}, "bf16", BOTH, set(), id="10.3 bf16 model"),
        pytest.param(NEWER, {"quantised": True}, "auto", BOTH, set(), id="10.16 int8"),
        pytest.param(ELEVEN, {"precision": "fp16", "quantised": True}, "auto", STRONG, set(), id="11.4 half and int8"),
    ],
)
def test_each_version_gets_the_flags_it_knows(
    model: Path, version: str, network: dict[str, Any], precision: str, creation: int, flags: set[str]
) -> None:
    trt = tensorrt(version)
    build(trt, write_model(model, **network), RuntimeConfig(precision=precision))
    (result,) = trt.builds
    assert result.creation_flags == creation and result.flags == flags
    assert bool(result.pinned) == ("OBEY_PRECISION_CONSTRAINTS" in flags)


def test_exactly_the_decode_front_stays_in_float32(model: Path) -> None:
    trt = tensorrt(EIGHT)
    build(trt, write_model(model, front=4), RuntimeConfig(precision="fp16"))
    assert trt.builds[0].pinned == {
        "/front/TopK": [0],  # its second output is an integer
        "/peaks/GatherElements": [0],
        "/size/Shape": [],
        "/limb_values/Mul": [0],
        "/limb_scores/Cast": [],  # half in the model
    }


@pytest.mark.parametrize(
    ("version", "network", "precision", "message"),
    [
        pytest.param(
            OLDER, {}, "auto", r"float32 for TensorRT 8\.5\.3\.1, got uint8; .* --float-input", id="8.5 uint8"
        ),
        pytest.param(
            EIGHT, {"precision": "bf16"}, "auto", r"fp32 or fp16.*got bf16; export it with --half", id="8 bf16"
        ),
        pytest.param(EIGHT, {}, "bf16", r"auto or fp32.*got bf16; export the model with --bf16", id="8 set to bf16"),
        pytest.param(
            TEN, {}, "fp16", r"auto or fp32, the precision of the model, got fp16; .* with --half", id="10 fp16"
        ),
        pytest.param(ELEVEN, {}, "bf16", r"export the model with --bf16", id="11 bf16"),
        pytest.param(
            NEWER, {"precision": "fp16"}, "fp32", r"auto or fp16.*got fp32; .* without --half and --bf16", id="10 fp32"
        ),
    ],
)
def test_error_for_a_precision_says_how_to_export_the_model(
    model: Path, version: str, network: dict[str, Any], precision: str, message: str
) -> None:
    trt = tensorrt(version)
    with pytest.raises(ValueError, match=message):
        build(trt, write_model(model, **network), RuntimeConfig(precision=precision))
    assert not trt.builds


@pytest.mark.parametrize("version", [OLDER, *VERSIONS])
def test_builder_options_come_from_the_settings(model: Path, version: str) -> None:
    trt = tensorrt(version)
    config = RuntimeConfig(optimisation=5, workspace_mb=512)
    built = build(trt, write_model(model, float_input=True), config, timings=b"earlier")
    (result,) = trt.builds
    assert result.level == (None if version == OLDER else 5) and result.workspace == 512_000_000
    assert (result.timings, built.timings) == (b"earlier", b"earlier+")
    assert result.profile == {"image": [(1, 3, 128, 128), (1, 3, 352, 640), (1, 3, 1312, 1312)]}


@pytest.mark.parametrize("timings", [b"broken", b"foreign"])
def test_timings_of_another_machine_are_dropped(model: Path, timings: bytes) -> None:
    trt = tensorrt(TEN)
    assert build(trt, write_model(model), timings=timings).timings == b"+"


@pytest.mark.parametrize(
    ("network", "config", "expected"),
    [
        pytest.param({}, {}, "1x128x128x3 1x352x640x3 1x1312x1312x3", id="free"),
        pytest.param(
            {"multiple": 96}, {}, "1x96x96x3 1x384x672x3 1x1344x1344x3", id="rounded outwards to the multiple"
        ),
        pytest.param(
            {"multiple": 128},
            {"least_size": "64x64"},
            "1x128x128x3 1x384x640x3 1x1408x1408x3",
            id="at least one multiple",
        ),
        pytest.param({"size": (256, 448)}, {}, "1x256x448x3 1x256x448x3 1x256x448x3", id="free batch of one"),
        pytest.param({"size": (256, 448)}, {"max_batch": 4}, "1x256x448x3 4x256x448x3 4x256x448x3", id="free batch"),
        pytest.param({"batch": 2, "size": (64, "w")}, {}, "2x64x128x3 2x64x640x3 2x64x1312x3", id="free width"),
        pytest.param({"described": False}, {}, "1x128x128x3 1x352x640x3 1x1312x1312x3", id="no description"),
        pytest.param({"size": (256, 448), "batch": 1}, {}, "", id="fixed"),
    ],
)
def test_shape_ranges(model: Path, network: dict[str, Any], config: dict[str, Any], expected: str) -> None:
    ranges = shape_ranges(read_graph(write_model(model, **network)), RuntimeConfig(**config))
    assert ", ".join(map(str, ranges.values())) == expected


def test_a_network_of_fixed_size_needs_no_profile(model: Path) -> None:
    trt = tensorrt(TEN)
    write_model(model, size=(64, 96), batch=1)
    build(trt, model)
    assert trt.builds[0].profile == {} and engine_request(trt, model, RuntimeConfig()).shapes_text == "fixed"


@given(
    st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), min_size=3, max_size=3),
    st.integers(1, 128),
    st.integers(1, 64),
)
def test_shape_ranges_contain_the_configured_sizes(sizes: list[tuple[int, int]], multiple: int, batch: int) -> None:
    heights, widths = (sorted(side) for side in zip(*sizes, strict=True))
    names = ("least_size", "best_size", "most_size")
    requested = {name: f"{height}x{width}" for name, height, width in zip(names, heights, widths, strict=True)}
    graph_input = GraphInput("image", (None, None, None, 3), True)
    metadata = {"pose_ros": f'{{"name": "m", "skeleton": "coco_17", "stride": 8, "input": {{"multiple": {multiple}, '
                            f'"short_side": 2000}}}}'}  # fmt: skip
    graph = OnnxGraph((graph_input,), ("heatmaps",), (), "fp32", metadata)
    shapes = shape_ranges(graph, RuntimeConfig(max_batch=batch, **requested))["image"]
    assert all(side % multiple == 0 for shape in (shapes.least, shapes.best, shapes.most) for side in shape[1:3])
    assert all(low <= mid <= high for low, mid, high in zip(shapes.least, shapes.best, shapes.most, strict=True))
    for shape, order in ((shapes.best, 1), (shapes.most, 2)):
        assert shape[1] >= heights[order] and shape[2] >= widths[order] and shape[0] == batch
    assert all(low <= max(side, multiple) for low, side in zip(shapes.least[1:3], (heights[0], widths[0]), strict=True))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 64, 128, 3),
            r"expected 1 x 128 x 128 x 3 to 2 x 256 x 512 x 3, .*got 1 x 64 x 128 x 3; .*runtime\.least_size",
        ),
        ((1, 256, 544, 3), r"got 1 x 256 x 544 x 3; change runtime\.most_size"),
        ((3, 128, 128, 3), r"change runtime\.max_batch"),
    ],
    ids=["too small", "too wide", "too many"],
)
def test_error_for_an_input_outside_the_range_names_the_setting(shape: tuple[int, ...], message: str) -> None:
    shapes = ShapeRange((1, 128, 128, 3), (1, 128, 256, 3), (2, 256, 512, 3))
    shapes.check("image", (2, 256, 512, 3))
    with pytest.raises(ValueError, match=message):
        shapes.check("image", shape)


@pytest.mark.parametrize("version", VERSIONS)
def test_parser_errors_name_their_nodes(model: Path, version: str) -> None:
    trt = tensorrt(version)
    trt.faults.parser_errors = [("no importer ", 1), ("and the file is old", -1)]
    message = r"model .*model\.onnx: .* can read, got: node /features/Conv \(Conv\): no importer; and the file is old"
    with pytest.raises(ValueError, match=message):
        build(trt, write_model(model))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_failed_build_contains_the_messages_of_tensorrt(model: Path, version: str) -> None:
    trt = tensorrt(version)
    trt.faults.build_fails = True
    with pytest.raises(
        ValueError, match=rf"expected TensorRT {version} to build an engine, got: no implementation found"
    ):
        build(trt, write_model(model))


def test_warnings_are_forwarded_and_info_is_not(model: Path) -> None:
    trt, lines = tensorrt(TEN), []
    trt.faults.warning = "weights\n out of range"
    log = log_of(trt)
    log.listeners += [lines.append, lambda _: 1 / 0]  # a failing listener must not end the process
    build(trt, write_model(model))
    assert lines == ["TensorRT: weights out of range"] and log_of(trt) is log


@pytest.mark.parametrize("version", [TEN, NEWER, ELEVEN])
def test_progress_is_reported_by_phases(model: Path, version: str) -> None:
    reports: list[tuple[str, float]] = []
    build(tensorrt(version), write_model(model), progress=lambda *report: reports.append(report))
    assert reports[0] == ("building an engine", -1) and reports[3] == ("building an engine: Tactics, 1 of 4", 0.125)
    fractions = [fraction for _, fraction in reports[1:]]
    assert fractions == sorted(fractions) and fractions[-1] == 1


def test_progress_is_reported_by_time_without_phases(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticked, reports = threading.Event(), []
    monkeypatch.setattr(engine_progress, "TICK_S", 0.001)
    trt = tensorrt(EIGHT)
    trt.faults.during_build = lambda: ticked.wait(120)

    def progress(text: str, fraction: float) -> None:
        reports.append((text, fraction))
        if len(reports) > 1:
            ticked.set()
            raise InterruptedError("cancelled")

    build(trt, write_model(model), progress=progress)
    assert reports == [("building an engine", -1), ("building an engine, 0 s", -1)]


def test_a_build_can_be_cancelled(model: Path) -> None:
    trt = tensorrt(TEN)
    with pytest.raises(ValueError, match="to build an engine"):
        build(trt, write_model(model), is_cancelled=lambda: True)

    def progress(text: str, fraction: float) -> None:
        if fraction > 0:
            raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError, match="cancelled"):
        build(trt, model, progress=progress)


def test_progress_never_decreases() -> None:
    fractions: list[float] = []
    phases = Phases(lambda _, fraction: fractions.append(fraction), lambda: False)
    phases.start("a", None, 2)
    phases.step("a", 0)
    phases.start("b", None, 4)  # another top-level phase
    assert phases.step("b", 0) and phases.step("unknown", 3)
    phases.finish("unknown")
    phases.start("c", "c", 2)  # never happens, but a cycle would hang the build
    assert fractions == [0, 0.5, 0.5, 0.5, 0.5]


def test_the_default_model_is_read_without_onnx() -> None:
    graph, expected = read_graph(DEFAULT_MODEL), onnx.load(str(DEFAULT_MODEL))
    assert graph.nodes == tuple((node.name, node.op_type) for node in expected.graph.node)
    assert graph.output_names == tuple(output.name for output in expected.graph.output)
    assert graph.metadata == {entry.key: entry.value for entry in expected.metadata_props}
    assert [given.name for given in graph.inputs] == ["image"] and graph.inputs[0].is_bytes
    assert graph.precision in ("fp32", "fp16") and not graph.is_quantised


@pytest.mark.parametrize(
    "content", [b"", b"not a network", DEFAULT_MODEL.read_bytes()[:100_000]], ids=["empty", "text", "cut"]
)
def test_broken_files_are_refused(model: Path, content: bytes) -> None:
    model.write_bytes(content)
    with pytest.raises(ValueError, match=r"model .*model\.onnx: expected a readable ONNX network"):
        engine_request(tensorrt(TEN), model, RuntimeConfig())


def test_a_free_input_that_is_not_an_image_is_refused() -> None:
    graph = OnnxGraph((GraphInput("x", (None, 7), False),), ("y",), (), "fp32", {})
    with pytest.raises(ValueError, match=r"input 'x': expected a batch of images of 3 channels, got any x 7"):
        shape_ranges(graph, RuntimeConfig())
    bad = replace(graph, metadata={"pose_ros": "{"})
    with pytest.raises(ValueError, match="metadata pose_ros: expected"):
        shape_ranges(bad, RuntimeConfig())
