"""Test quantisation: an int8 file with nearly the results of the float32 network, or no file."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from typer.testing import CliRunner

from pose_ros.cli import app
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.precision import compare
from pose_ros.export import tensorrt_operators
from pose_ros.export.calibration import images_of
from pose_ros.export.quantise import QuantiseOptions, QuantiseReport, quantise
from pose_ros.export.quantised_nodes import OPERATORS, choose_nodes, prepare
from pose_ros.fields import METADATA_KEY
from pose_ros.models.model_file import DEFAULT_MODEL, read_spec, write_spec
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.skeleton import OPENPOSE_18

SIDE = 160


def draw_figure(seed: int) -> np.ndarray:
    """Draw a simple person in a simple room."""
    random = np.random.default_rng(seed)
    image = cv2.resize(random.integers(0, 256, (5, 7, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    height = random.uniform(0.6, 0.9) * SIDE
    body = np.int32((OPENPOSE_18.standing - (0, 0.5)) * height + SIDE / 2 + random.normal(0, 8, (18, 2)))
    skin, clothes = random.integers(0, 256, (2, 3)).tolist()
    for limb in OPENPOSE_18.limbs[:13]:
        cv2.line(image, *body[list(limb)].tolist(), clothes, max(2, int(0.08 * height)), cv2.LINE_AA)
    cv2.circle(image, body[0].tolist(), int(0.08 * height), skin, -1, cv2.LINE_AA)
    return np.clip(image + random.normal(0, 8, image.shape), 0, 255).astype(np.uint8)


FIGURES = [draw_figure(seed) for seed in range(20)]
TEST_FIGURES = [draw_figure(seed) for seed in range(100, 106)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Default model for small images, with an additional entry in the metadata."""
    path = tmp_path_factory.mktemp("float") / "small.onnx"
    network = onnx.load(str(DEFAULT_MODEL))
    entries = {entry.key: entry.value for entry in network.metadata_props}
    helper.set_model_props(network, {**entries, "author": "someone"})
    onnx.save(network, str(path))
    spec = read_spec(path, entries)
    write_spec(path, replace(spec, input=replace(spec.input, short_side=SIDE)), path)
    return path


@pytest.fixture(scope="module")
def report(model: Path, tmp_path_factory: pytest.TempPathFactory) -> QuantiseReport:
    return quantise(model, tmp_path_factory.mktemp("int8") / "int8.onnx", FIGURES)


@pytest.fixture(scope="module")
def float32(model: Path) -> PoseEstimator:
    return PoseEstimator.load(model, runtime="onnx")


def differences(float32: PoseEstimator, other: Path, runtime: str = "onnx") -> dict[str, tuple[float, float]]:
    """Compute mean and largest difference of each field on images outside the calibration set, % of its range."""
    fields = compare(float32, PoseEstimator.load(other, runtime=runtime), TEST_FIGURES).fields
    return {name: (100 * field.mean, 100 * field.largest) for name, field in fields.items()}


def test_int8_fields_are_close_to_float32_fields(float32: PoseEstimator, report: QuantiseReport) -> None:
    """They must not be equal: then nothing would be quantised."""
    got = differences(float32, report.path)
    assert set(got) == {"centres", "sizes", "centre_offsets", "heatmaps", "keypoint_offsets", "heatmap_offsets"} | {
        *("pafs", "tags"),
    }
    assert all(0.01 < mean < 7 for mean, _ in got.values()), got


def has_vnni() -> bool:
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and "vnni" in cpu.read_text()


@pytest.mark.skipif(not has_vnni(), reason="needs a CPU with VNNI: on others, sums of int8 saturate in OpenVINO")
@pytest.mark.parametrize("unsigned", [False, True], ids=["signed", "unsigned"])
def test_openvino_is_as_accurate_as_onnx_runtime(
    model: Path, float32: PoseEstimator, report: QuantiseReport, tmp_path: Path, unsigned: bool
) -> None:
    pytest.importorskip("openvino")
    path = report.path
    if unsigned:
        path = quantise(model, tmp_path / "unsigned.onnx", FIGURES[:3], QuantiseOptions("minmax", unsigned=True)).path
    onnx_runtime, openvino = differences(float32, path), differences(float32, path, "openvino")
    assert all(openvino[name][0] < 1.3 * onnx_runtime[name][0] for name in onnx_runtime), (onnx_runtime, openvino)


def test_a_wrong_scale_is_detected(float32: PoseEstimator, report: QuantiseReport, tmp_path: Path) -> None:
    """Check that the limits above are useful: clip the values of one layer at a thousandth of their range."""
    network = onnx.load(str(report.path))
    scales = {node.input[1] for node in network.graph.node if node.op_type == "QuantizeLinear"}
    scale = next(tensor for tensor in network.graph.initializer if tensor.name in scales)
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / np.float32(1000), scale.name))
    onnx.save(network, str(tmp_path / "wrong.onnx"))
    right, wrong = differences(float32, report.path), differences(float32, tmp_path / "wrong.onnx")
    assert wrong["heatmaps"][0] > 1.3 * right["heatmaps"][0]


def test_properties_of_the_file(model: Path, report: QuantiseReport) -> None:
    network = onnx.load(str(report.path))
    onnx.checker.check_model(network, full_check=True)
    entries = {entry.key: entry.value for entry in network.metadata_props}
    before = onnx.load(str(model))
    assert entries == {entry.key: entry.value for entry in before.metadata_props}
    assert entries["author"] == "someone" and read_spec(report.path, entries) == report.spec
    assert network.ir_version == 8 and [entry.version for entry in network.opset_import] == [17]
    assert list(network.graph.input) == list(before.graph.input)
    assert list(network.graph.output) == list(before.graph.output)
    assert report.bytes_after == report.path.stat().st_size < 0.65 * report.bytes_before  # a compact file
    assert report.images == len(FIGURES) and report.path.parent.iterdir().__next__() == report.path


def read_weights(network: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}


def test_inputs_and_weights_are_quantised_symmetrically(report: QuantiseReport) -> None:
    """Inputs have one scale, weights one per channel, both without zero point. Biases and the rest stay in float32."""
    network = onnx.load(str(report.path))
    tensors, producers = read_weights(network), {name: node for node in network.graph.node for name in node.output}
    nodes = {node.name: node for node in network.graph.node if node.op_type in OPERATORS}
    assert len(report.quantised) > 20 and set(nodes) == {*report.quantised, *report.kept}
    for name in report.quantised:
        values, weight, *bias = nodes[name].input
        pair = producers[values], producers[producers[values].input[0]], producers[weight]
        assert [node.op_type for node in pair] == ["DequantizeLinear", "QuantizeLinear", "DequantizeLinear"]
        stored = tensors[pair[2].input[0]]
        assert stored.dtype == np.int8 and tensors[pair[0].input[1]].shape == ()
        assert tensors[pair[2].input[1]].shape == (len(stored),) and len(stored) > 1
        assert all(not tensors[node.input[2]].any() and tensors[node.input[2]].dtype == np.int8 for node in pair)
        assert all(tensors[name].dtype == np.float32 for name in bias)
    normalisation = ["Cast", "Transpose", "Sub", "Div"]
    assert [operator for operator in types(network) if operator in normalisation][:4] == normalisation
    assert types(network).count("QuantizeLinear") <= len(report.quantised)


def types(network: onnx.ModelProto) -> list[str]:
    operators = [node.op_type for node in network.graph.node if node.op_type != "Constant"]
    return [operator for operator in operators if operator != "DequantizeLinear"]  # those of weights may come first


def test_the_last_layers_stay_in_float32(report: QuantiseReport) -> None:
    """There are no integers between the outputs and the last convolutions, and none in these convolutions."""
    network = onnx.load(str(report.path))
    tensors, producers = read_weights(network), {name: node for node in network.graph.node for name in node.output}
    pending, visited = [output.name for output in network.graph.output], {}
    while pending:
        node = producers.get(pending.pop())
        if node is not None and node.name not in visited:
            visited[node.name] = node
            pending += [] if node.op_type == "Conv" else node.input
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in visited.values()}
    heads = [node for node in visited.values() if node.op_type == "Conv"]
    assert heads and {node.name for node in heads} <= set(report.kept)
    assert all(tensors[node.input[1]].dtype == np.float32 for node in heads)
    others = [node for node in network.graph.node if node.name in set(report.kept) - set(visited)]
    depthwise = [node for node in others if tensors[node.input[1]].shape[1] == 1]
    behind = [node for node in others if producers[node.input[0]].op_type == "Concat"]
    assert len(depthwise) > 5 and behind and len(others) == len(depthwise) + len(behind)


@pytest.mark.parametrize(
    "options",
    [QuantiseOptions("minmax"), QuantiseOptions("entropy"), QuantiseOptions(unsigned=True)],
    ids=["minmax", "entropy", "unsigned"],
)
def test_other_options(model: Path, float32: PoseEstimator, tmp_path: Path, options: QuantiseOptions) -> None:
    got = quantise(model, tmp_path / "m.onnx", FIGURES[:3], options)
    assert all(0.01 < mean < 8 for mean, _ in differences(float32, got.path).values())
    assert options.unsigned == ("TensorRT has no unsigned Q/DQ" in " ".join(got.remarks))


def test_depthwise_convolutions_and_nodes_by_name(model: Path, tmp_path: Path) -> None:
    options = QuantiseOptions("minmax", depthwise=True, keep=("*/stages.1/*",))
    got = quantise(model, tmp_path / "m.onnx", FIGURES[:2], options)
    assert sum("/stages.1/" in name for name in got.kept) > 5
    assert not any("/stages.1/" in name for name in got.quantised)
    assert sum("/backbone/" in name for name in got.quantised) > 20
    assert not any("/backbone/" in name for name in got.kept)


HASHED = """
import sys; sys.path.insert(0, {tests!r})
from test_quantise import FIGURES, quantise
quantise({model!r}, {target!r}, FIGURES[:4])
"""


def test_the_same_images_give_the_same_file(model: Path, tmp_path: Path) -> None:
    """Also in another process, where sets have another order."""
    quantise(model, tmp_path / "here.onnx", FIGURES[:4])
    script = HASHED.format(tests=str(Path(__file__).parent), model=str(model), target=str(tmp_path / "there.onnx"))
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, env={"PYTHONPATH": ":".join(sys.path)})
    assert (tmp_path / "here.onnx").read_bytes() == (tmp_path / "there.onnx").read_bytes()


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Network of a few convolutions with normalisation, which is quantised in a tenth of the time."""
    pytest.importorskip("torch")
    import tiny_networks

    from pose_ros.export.to_onnx import ExportOptions, export

    tiny_networks.seed_torch()
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    return export(tiny_networks.make_tiny(), path, ExportOptions((64, 64))).path


@pytest.mark.parametrize(
    "images",
    [
        [np.zeros((48, 64, 3), np.uint8)],
        [np.full((48, 64), 255, np.uint8)],
        [np.zeros((1, 1, 3), np.uint8), *FIGURES[:2]],
    ],
    ids=["black", "white, grey", "one pixel first"],
)
@pytest.mark.parametrize("method", ["percentile", "minmax", "entropy"])
def test_poor_images_give_finite_outputs(small_model: Path, tmp_path: Path, images: list, method: str) -> None:
    path = quantise(small_model, tmp_path / "m.onnx", images, QuantiseOptions(method)).path
    with OnnxRunner(path) as runner:
        outputs = runner.run({"image": FIGURES[0][None, :64, :64]})
    assert all(np.isfinite(output).all() for output in outputs.values())


def save(network: onnx.ModelProto, path: Path) -> Path:
    onnx.save(network, str(path))
    return path


def write_altered(model: Path, path: Path, alter: str) -> Path:
    """Write a copy of the model with one property that prevents quantisation."""
    network = onnx.load(str(model))
    if alter == "no description":
        del network.metadata_props[:]
    if alter == "batch size 3":
        network.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
        for output in network.graph.output:
            output.type.tensor_type.shape.dim[0].dim_value = 3
    return save(network, path)


@pytest.mark.parametrize(
    ("alter", "error", "message"),
    [
        ("no description", ValueError, "expected a description in its metadata"),
        ("batch size 3", ValueError, "expected a model with batch size 1 or any, got 3"),
    ],
    ids=["no description", "batch"],
)
def test_unsuitable_models_are_rejected(model: Path, tmp_path: Path, alter: str, error: type, message: str) -> None:
    path = write_altered(model, tmp_path / "other.onnx", alter)
    with pytest.raises(error, match=message):
        quantise(path, tmp_path / "m.onnx", FIGURES[:1])
    assert list(tmp_path.iterdir()) == [path]


def test_a_quantised_model_is_rejected(report: QuantiseReport, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 0 such nodes and opset 17; use a file that was exported without"):
        quantise(report.path, tmp_path / "m.onnx", FIGURES[:1], QuantiseOptions(keep=("*features*",)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("target", "images", "options", "error", "message"),
    [
        ("m.onnx", [], {}, ValueError, "calibration: expected one image or more, got none"),
        ("m.onnx", [np.zeros((0, 4, 3), np.uint8)], {}, ValueError, "not empty"),
        ("m.onnx", [None], {}, TypeError, "expected a NumPy array, got NoneType"),
        ("m.onnx", FIGURES[:1], {"keep": ("nothing*",)}, ValueError, r"keep: .*got 'nothing\*', which matches none"),
        ("none/m.onnx", FIGURES[:1], {}, FileNotFoundError, "expected a file in an existing folder"),
        (".", FIGURES[:1], {}, FileNotFoundError, "expected a file in an existing folder"),
    ],
    ids=["no images", "empty image", "unreadable image", "keep", "no folder", "a folder"],
)
def test_invalid_calls_leave_no_file(
    model: Path, tmp_path: Path, target: str, images: list, options: dict, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        quantise(model, tmp_path / target, images, QuantiseOptions(**options))
    assert not list(tmp_path.iterdir())


def test_the_model_is_not_overwritten(model: Path) -> None:
    content = model.read_bytes()
    with pytest.raises(ValueError, match="expected a file other than the model"):
        quantise(model, model, FIGURES[:1])
    assert model.read_bytes() == content


def test_an_unknown_method_is_rejected() -> None:
    with pytest.raises(ValueError, match="calibration: expected one of percentile, minmax, entropy, got 'best'"):
        QuantiseOptions("best")


def make_graph(nodes: list[onnx.NodeProto], outputs: list[str], opset: int = 17) -> onnx.ModelProto:
    """Make a model of nodes with weights of (4, 4, 1, 1), or (4, 1, 1, 1) for grouped convolutions."""
    constants = [
        numpy_helper.from_array(np.ones((4, 1 if any(a.name == "group" for a in node.attribute) else 4, 1, 1), "f"), w)
        for node in nodes
        for w in node.input
        if w.endswith("_w")
    ]
    output_infos = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    onnx_graph = helper.make_graph(nodes, "g", [], output_infos, constants)
    return helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", opset)])


NODE = helper.make_node


def test_nodes_are_chosen_by_position() -> None:
    """The network has a backbone, stages, a head before a Sigmoid, a head before a Split, and a decode front."""
    network = make_graph(
        [
            NODE("Conv", ["x", "a_w"], ["a"], name="backbone"),
            NODE("Conv", ["a", "b_w"], ["b"], name="depthwise", group=4),
            NODE("Conv", ["b", "c_w"], ["c"], name="stage"),
            NODE("Conv", ["c", "d_w"], ["d"], name="hidden"),
            NODE("Conv", ["d", "e_w"], ["e"], name="head 1"),
            NODE("Sigmoid", ["e"], ["heatmaps"]),
            NODE("Conv", ["d", "f_w"], ["f"], name="head 2"),
            NODE("Split", ["f"], ["pafs", "tags"]),
            NODE("TopK", ["heatmaps", "k"], ["peaks", "cells"]),
            NODE("Conv", ["c", "d"], ["unused"], name="computed weights"),
            NODE("ConvTranspose", ["c", "g_w"], ["g"], name="transposed"),
        ],
        ["heatmaps", "pafs", "tags", "peaks"],
    )
    always = ("head 1", "head 2", "computed weights")
    assert choose_nodes(network) == (("backbone", "stage", "hidden"), ("depthwise", *always))
    assert choose_nodes(network, depthwise=True) == (("backbone", "depthwise", "stage", "hidden"), always)
    assert choose_nodes(network, ("st*", "hid?en")) == (("backbone",), ("depthwise", "stage", "hidden", *always))
    with pytest.raises(ValueError, match="got 0 such nodes"):
        choose_nodes(network, ("*",))


@pytest.mark.parametrize(
    ("between", "quantised"),
    [
        ((), False),
        (("Relu",), False),
        (("BatchNormalization",), False),
        (("Relu", "BatchNormalization", "Mul"), False),
        (("BatchNormalization", "Relu"), True),
        (("MaxPool",), True),
        (("Relu", "MaxPool"), True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_nodes_behind_a_concat_need_unsigned_integers(between: tuple[str, ...], quantised: bool) -> None:
    """Only where OpenVINO is wrong. It is right through other operators, and always right with unsigned integers."""
    nodes = [NODE("Conv", ["x", "a_w"], ["a"], name="first"), NODE("Concat", ["a", "x"], ["between 0"], axis=1)]
    nodes += [NODE(op, [f"between {i}"], [f"between {i + 1}"]) for i, op in enumerate(between)]
    nodes += [NODE("Conv", [f"between {len(between)}", "b_w"], ["b"], name="behind")]
    network = make_graph([*nodes, NODE("Conv", ["b", "c_w"], ["c"], name="head")], ["c"])
    assert ("behind" in choose_nodes(network)[0]) == quantised
    assert choose_nodes(network, unsigned=True) == (("first", "behind"), ("head",))


def test_every_node_gets_a_name_and_direct_constants() -> None:
    """An Identity between a shared constant and its second user would hide the constant from the quantiser."""
    nodes = [NODE("Identity", ["a_w"], ["b_w"]), NODE("Conv", ["x", "a_w"], ["a"]), NODE("Conv", ["a", "b_w"], ["b"])]
    network = make_graph(
        [*nodes, NODE("Conv", ["b", "c_w"], ["c"], name="head"), NODE("Identity", ["c_w"], ["d"])], ["c", "d"]
    )
    del network.graph.initializer[1:4]
    network.graph.initializer.append(numpy_helper.from_array(np.ones((4, 4, 1, 1), "f"), "c_w"))
    prepare(network)
    assert [node.op_type for node in network.graph.node] == ["Conv", "Conv", "Conv", "Identity"]
    assert choose_nodes(network) == (("Conv_1", "Conv_2"), ("head",))


def test_an_old_opset_is_rejected() -> None:
    nodes = [NODE("Conv", ["x", "a_w"], ["a"], name="first"), NODE("Conv", ["a", "b_w"], ["b"], name="head")]
    network = make_graph(nodes, ["b"], opset=11)
    with pytest.raises(ValueError, match="opset 13 or later, got 1 such nodes and opset 11"):
        choose_nodes(network)


def test_tensorrt_supports_q_and_dq(report: QuantiseReport) -> None:
    """The remarks are those of the float32 file."""
    assert list(report.remarks) == tensorrt_operators.list_remarks(onnx.load(str(DEFAULT_MODEL)))
    counts = tensorrt_operators.count_operators(onnx.load(str(report.path)))
    assert counts["DequantizeLinear"] >= 2 * len(set(report.quantised)) - counts["QuantizeLinear"] > 0


def write_folder(path: Path, images: list[np.ndarray]) -> Path:
    path.mkdir()
    for place, image in enumerate(images):
        cv2.imwrite(str(path / f"{place}.png"), image)
    return path


@pytest.mark.parametrize(("most", "expected"), [(1, [0]), (3, [0, 3, 6]), (10, list(range(10))), (99, list(range(10)))])
def test_images_are_spread_over_a_folder(tmp_path: Path, most: int, expected: list[int]) -> None:
    images = [np.full((4, 4, 3), 20 * place, np.uint8) for place in range(10)]
    got = images_of(write_folder(tmp_path / "images", images), most)
    assert [int(image[0, 0, 0]) // 20 for image in got] == expected


def command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_quantises_a_file_and_reports_the_cost(model: Path, tmp_path: Path) -> None:
    images, target = write_folder(tmp_path / "images", FIGURES[:3]), tmp_path / "int8.onnx"
    code, text = command(model, "-o", target, "--int8", "--calibrate", images, "--images", 2)
    assert code == 0, text
    assert f"{target}: default in 8-bit integers" in text and "with 2 images (percentile)" in text
    assert f"compared with float32 on 2 images of {images}" in text
    assert "heatmaps: mean, largest difference" in text and "people in float32" in text
    with OnnxRunner(target) as runner:
        assert METADATA_KEY in runner.metadata


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("torch")
    import tiny_networks

    from pose_ros.checkpoint import save_checkpoint
    from pose_ros.network import zoo

    tiny_networks.seed_torch()
    monkeypatch.setattr(zoo, "networks", lambda: {"tiny": tiny_networks.make_tiny})
    save_checkpoint(tiny_networks.make_tiny(), "tiny", tmp_path / "tiny.pt")
    return tmp_path / "tiny.pt"


def test_a_checkpoint_is_exported_and_quantised_at_once(checkpoint: Path) -> None:
    images, target = write_folder(checkpoint.parent / "images", FIGURES[:2]), checkpoint.parent / "mine.onnx"
    code, text = command(checkpoint, "-o", target, "--size", "64x96", "--name", "mine", "--int8", "--calibrate", images)
    assert code == 0, text
    assert f"{target}: mine in 8-bit integers" in text and "on 2 images" in text
    estimator = PoseEstimator.load(target, runtime="onnx")
    assert estimator.spec.name == "mine" and estimator.spec.input.size_wh == (96, 64)
    assert "QuantizeLinear" in types(onnx.load(str(target)))
    assert {path.name for path in checkpoint.parent.iterdir()} == {"images", "mine.onnx", "tiny.pt"}


@pytest.mark.parametrize(("option", "largest"), [("--half", (0, 0.5)), ("--bf16", (0.5, 4))], ids=["half", "bf16"])
def test_the_cost_of_a_precision_is_reported_on_request(
    checkpoint: Path, option: str, largest: tuple[float, float]
) -> None:
    images, target = write_folder(checkpoint.parent / "images", FIGURES[:2]), checkpoint.parent / "m.onnx"
    code, text = command(checkpoint, "-o", target, option, "--report", images)
    assert code == 0, text
    assert "checked at 64 x 96 px against torch" in text
    cost = text.split("compared with float32 on 2 images")[1].split("heatmaps: mean, largest difference ")[1]
    assert largest[0] < float(cost.split(" %, ")[1].split(" %")[0]) < largest[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("m.onnx",), "expected a checkpoint, got an ONNX file; quantise it with --int8 --calibrate IMAGES"),
        (("m.onnx", "--int8"), "--int8: expected --calibrate IMAGES"),
        (("m.onnx", "--int8", "--calibrate", "nowhere"), "got nowhere, which does not exist"),
        (("m.onnx", "--int8", "--calibrate", "empty"), "folder empty: expected images"),
        (("m.onnx", "--int8", "--calibrate", "damaged"), "expected a complete image"),
        (("m.onnx", "--int8", "--calibrate", ".", "--half"), "--half: expected one precision, got --int8 as well"),
        (("m.onnx", "--int8", "--calibrate", ".", "--size", "64x64"), "--size: expected a checkpoint"),
        (("m.onnx", "--int8", "--calibrate", ".", "--float-input"), "--float-input: expected a checkpoint"),
        (("m.onnx", "--int8", "--calibrate", "photo.png", "--calibration", "x"), "calibration: expected one of"),
        (("m.onnx", "--int8", "--calibrate", "photo.png", "--report", "nowhere"), "got nowhere, which does not exist"),
        (("nothing.onnx", "--int8", "--calibrate", "photo.png"), "got nothing.onnx, which does not exist"),
        (("c.pt", "--calibrate", "."), "--calibrate: expected --int8 as well"),
        (("c.pt", "--unsigned"), "--unsigned: expected --int8 as well"),
        (("c.pt", "--report", "."), "--report: expected --half, --bf16 or --int8"),
        (("c.pt", "--half", "--bf16"), "--half: expected one precision, got --bf16 as well"),
        (("m.onnx", "--bf16"), "expected a checkpoint, got an ONNX file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_invalid_commands_are_rejected(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").symlink_to(model)
    write_folder(tmp_path / "empty", [])
    write_folder(tmp_path / "damaged", [])
    (tmp_path / "damaged" / "1.png").write_bytes(b"\x89PNG")
    cv2.imwrite("photo.png", FIGURES[0])
    before = sorted(tmp_path.iterdir())
    code, text = command(*arguments)
    assert code == 1 and message in text, text
    assert sorted(tmp_path.iterdir()) == before
