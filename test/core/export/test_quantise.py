"""Quantising: a file of integers that still sees what the network in float32 sees, or no file."""

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
from pose_ros.export.quantised_nodes import OPERATORS, choose, prepare
from pose_ros.fields import METADATA_KEY
from pose_ros.models.model_file import DEFAULT_MODEL, read_spec, write_spec
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.skeleton import OPENPOSE_18

SIDE = 160


def figure(seed: int) -> np.ndarray:
    """A person of sorts in a room of sorts."""
    random = np.random.default_rng(seed)
    image = cv2.resize(random.integers(0, 256, (5, 7, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    height = random.uniform(0.6, 0.9) * SIDE
    body = np.int32((OPENPOSE_18.standing - (0, 0.5)) * height + SIDE / 2 + random.normal(0, 8, (18, 2)))
    skin, clothes = random.integers(0, 256, (2, 3)).tolist()
    for limb in OPENPOSE_18.limbs[:13]:
        cv2.line(image, *body[list(limb)].tolist(), clothes, max(2, int(0.08 * height)), cv2.LINE_AA)
    cv2.circle(image, body[0].tolist(), int(0.08 * height), skin, -1, cv2.LINE_AA)
    return np.clip(image + random.normal(0, 8, image.shape), 0, 255).astype(np.uint8)


FIGURES = [figure(seed) for seed in range(20)]
STRANGERS = [figure(seed) for seed in range(100, 106)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model, for small images; with an entry of its own in the metadata."""
    path = tmp_path_factory.mktemp("float") / "small.onnx"
    network = onnx.load(str(DEFAULT_MODEL))
    entries = {entry.key: entry.value for entry in network.metadata_props}
    helper.set_model_props(network, {**entries, "author": "somebody"})
    onnx.save(network, str(path))
    spec = read_spec(path, entries)
    write_spec(path, replace(spec, input=replace(spec.input, short_side=SIDE)), path)
    return path


@pytest.fixture(scope="module")
def report(model: Path, tmp_path_factory: pytest.TempPathFactory) -> QuantiseReport:
    return quantise(model, tmp_path_factory.mktemp("int8") / "int8.onnx", FIGURES)


def differences(reference: Path, other: Path, runtime: str = "onnx") -> dict[str, tuple[float, float]]:
    """Mean and largest difference of each field on images that were not calibrated on, % of its range."""
    first, second = PoseEstimator.load(reference, runtime="onnx"), PoseEstimator.load(other, runtime=runtime)
    fields = compare(first, second, STRANGERS).fields
    return {name: (100 * field.mean, 100 * field.largest) for name, field in fields.items()}


def test_the_integers_see_what_the_floats_see(model: Path, report: QuantiseReport) -> None:
    """Closely, and not exactly: then nothing would have been quantised."""
    got = differences(model, report.path)
    limits = {"heatmaps": 0.5, "pafs": 0.25, "tags": 4}
    assert set(got) == set(limits)
    assert all(0.01 < mean < limits[name] and 0.5 < largest < 40 for name, (mean, largest) in got.items()), got


@pytest.mark.parametrize("unsigned", [False, True], ids=["signed", "unsigned"])
def test_openvino_is_as_near_as_onnx_runtime(
    model: Path, report: QuantiseReport, tmp_path: Path, unsigned: bool
) -> None:
    pytest.importorskip("openvino")
    path = report.path
    if unsigned:
        path = quantise(model, tmp_path / "unsigned.onnx", FIGURES[:3], QuantiseOptions("minmax", unsigned=True)).path
    here, there = differences(model, path), differences(model, path, "openvino")
    assert all(there[name][0] < 1.3 * here[name][0] for name in here), (here, there)


def test_a_wrong_scale_would_be_seen(model: Path, report: QuantiseReport, tmp_path: Path) -> None:
    """What the numbers above are good for: one layer's values cut off at half of what they reach."""
    network = onnx.load(str(report.path))
    scales = {node.input[1] for node in network.graph.node if node.op_type == "QuantizeLinear"}
    scale = next(tensor for tensor in network.graph.initializer if tensor.name in scales)
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / np.float32(2), scale.name))
    onnx.save(network, str(tmp_path / "wrong.onnx"))
    right, wrong = differences(model, report.path), differences(model, tmp_path / "wrong.onnx")
    assert wrong["heatmaps"][0] > 2 * right["heatmaps"][0]


def test_what_the_file_is(model: Path, report: QuantiseReport) -> None:
    network = onnx.load(str(report.path))
    onnx.checker.check_model(network, full_check=True)
    entries = {entry.key: entry.value for entry in network.metadata_props}
    before = onnx.load(str(model))
    assert entries == {entry.key: entry.value for entry in before.metadata_props}
    assert entries["author"] == "somebody" and read_spec(report.path, entries) == report.spec
    assert network.ir_version == 8 and [entry.version for entry in network.opset_import] == [17]
    assert list(network.graph.input) == list(before.graph.input)
    assert list(network.graph.output) == list(before.graph.output)
    assert report.bytes_after == report.path.stat().st_size < 0.4 * report.bytes_before
    assert report.images == len(FIGURES) and report.path.parent.iterdir().__next__() == report.path


def weights(network: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in network.graph.initializer}


def test_what_is_quantised_and_how(report: QuantiseReport) -> None:
    """Inputs as one, weights by channel, both around zero; biases and everything else in float32."""
    network = onnx.load(str(report.path))
    tensors, makers = weights(network), {name: node for node in network.graph.node for name in node.output}
    nodes = {node.name: node for node in network.graph.node if node.op_type in OPERATORS}
    assert len(report.quantised) > 20 and set(nodes) == {*report.quantised, *report.kept}
    for name in report.quantised:
        values, weight, *bias = nodes[name].input
        pair = makers[values], makers[makers[values].input[0]], makers[weight]
        assert [node.op_type for node in pair] == ["DequantizeLinear", "QuantizeLinear", "DequantizeLinear"]
        stored = tensors[pair[2].input[0]]
        assert stored.dtype == np.int8 and tensors[pair[0].input[1]].shape == ()
        assert tensors[pair[2].input[1]].shape == (len(stored),) and len(stored) > 1
        assert all(not tensors[node.input[2]].any() and tensors[node.input[2]].dtype == np.int8 for node in pair)
        assert all(tensors[name].dtype == np.float32 for name in bias)
    assert types(network)[:4] == ["Cast", "Transpose", "Sub", "Div"]  # the normalisation
    assert types(network).count("QuantizeLinear") <= len(report.quantised)


def types(network: onnx.ModelProto) -> list[str]:
    operators = [node.op_type for node in network.graph.node if node.op_type != "Constant"]
    return [operator for operator in operators if operator != "DequantizeLinear"]  # those of weights may come first


def test_the_layers_that_give_the_fields_stay(report: QuantiseReport) -> None:
    """From the outputs up to the convolutions there are no integers, and these convolutions have none either."""
    network = onnx.load(str(report.path))
    tensors, makers = weights(network), {name: node for node in network.graph.node for name in node.output}
    ahead, met = ["heatmaps", "pafs", "tags"], {}
    while ahead:
        node = makers.get(ahead.pop())
        if node is not None and node.name not in met:
            met[node.name] = node
            ahead += [] if node.op_type == "Conv" else node.input
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in met.values()}
    heads = [node for node in met.values() if node.op_type == "Conv"]
    assert heads and {node.name for node in heads} <= set(report.kept)
    assert all(tensors[node.input[1]].dtype == np.float32 for node in heads)
    others = [node for node in network.graph.node if node.name in set(report.kept) - set(met)]
    depthwise = [node for node in others if tensors[node.input[1]].shape[1] == 1]
    behind = [node for node in others if makers[node.input[0]].op_type == "Concat"]
    assert len(depthwise) > 5 and behind and len(others) == len(depthwise) + len(behind)


@pytest.mark.parametrize(
    "options",
    [QuantiseOptions("minmax"), QuantiseOptions("entropy"), QuantiseOptions(unsigned=True)],
    ids=["minmax", "entropy", "unsigned"],
)
def test_other_ways(model: Path, tmp_path: Path, options: QuantiseOptions) -> None:
    got = quantise(model, tmp_path / "m.onnx", FIGURES[:3], options)
    assert all(0.01 < mean < 4 for mean, _ in differences(model, got.path).values())
    assert options.unsigned == ("TensorRT has no unsigned Q/DQ" in " ".join(got.remarks))


def test_depthwise_convolutions_and_nodes_by_name(model: Path, tmp_path: Path) -> None:
    options = QuantiseOptions("minmax", depthwise=True, keep=("*/stages.1/*",))
    got = quantise(model, tmp_path / "m.onnx", FIGURES[:2], options)
    assert sum("/stages.1/" in name for name in got.kept) > 5
    assert not any("/stages.1/" in name for name in got.quantised)
    assert sum(name.startswith("/network/backbone/") for name in got.quantised) > 20
    assert not any(name.startswith("/network/backbone/") for name in got.kept)


HASHED = """
import sys; sys.path.insert(0, {tests!r})
from test_quantise import FIGURES, quantise
quantise({model!r}, {target!r}, FIGURES[:4])
"""


def test_the_same_images_give_the_same_file(model: Path, tmp_path: Path) -> None:
    """In another process, too, where sets have another order."""
    quantise(model, tmp_path / "here.onnx", FIGURES[:4])
    script = HASHED.format(tests=str(Path(__file__).parent), model=str(model), target=str(tmp_path / "there.onnx"))
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, env={"PYTHONPATH": ":".join(sys.path)})
    assert (tmp_path / "here.onnx").read_bytes() == (tmp_path / "there.onnx").read_bytes()


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
def test_poor_images_still_give_a_file_of_numbers(model: Path, tmp_path: Path, images: list, method: str) -> None:
    path = quantise(model, tmp_path / "m.onnx", images, QuantiseOptions(method)).path
    with OnnxRunner(path) as runner:
        outputs = runner.run({"image": FIGURES[0][None, :64, :64]})
    assert all(np.isfinite(output).all() for output in outputs.values())


def saved(network: onnx.ModelProto, path: Path) -> Path:
    onnx.save(network, str(path))
    return path


def altered(model: Path, path: Path, alter: str) -> Path:
    """The model, with one thing about it that cannot be quantised."""
    network = onnx.load(str(model))
    if alter == "no description":
        del network.metadata_props[:]
    if alter == "three at a time":
        network.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
        for output in network.graph.output:
            output.type.tensor_type.shape.dim[0].dim_value = 3
    return saved(network, path)


@pytest.mark.parametrize(
    ("alter", "error", "message"),
    [
        ("no description", ValueError, "expected a description in its metadata"),
        ("three at a time", ValueError, "expected a model of one image at a time, or any number, got 3"),
    ],
    ids=["no description", "batch"],
)
def test_models_that_are_refused(model: Path, tmp_path: Path, alter: str, error: type, message: str) -> None:
    path = altered(model, tmp_path / "other.onnx", alter)
    with pytest.raises(error, match=message):
        quantise(path, tmp_path / "m.onnx", FIGURES[:1])
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_quantised_already_is_refused(report: QuantiseReport, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="got 0 such nodes and opset 17; take the file that was exported without"):
        quantise(report.path, tmp_path / "m.onnx", FIGURES[:1], QuantiseOptions(keep=("*layers*",)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("target", "images", "options", "error", "message"),
    [
        ("m.onnx", [], {}, ValueError, "calibration: expected images such as the network will see, got none"),
        ("m.onnx", [np.zeros((0, 4, 3), np.uint8)], {}, ValueError, "not empty"),
        ("m.onnx", [None], {}, TypeError, "expected a NumPy array, got NoneType"),
        ("m.onnx", FIGURES[:1], {"keep": ("nothing*",)}, ValueError, r"keep: .*got 'nothing\*', which fits none"),
        ("none/m.onnx", FIGURES[:1], {}, FileNotFoundError, "expected a file to write in a folder that exists"),
        (".", FIGURES[:1], {}, FileNotFoundError, "expected a file to write in a folder that exists"),
    ],
    ids=["no images", "empty image", "unreadable image", "keep", "no folder", "a folder"],
)
def test_wrong_calls_leave_nothing(
    model: Path, tmp_path: Path, target: str, images: list, options: dict, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        quantise(model, tmp_path / target, images, QuantiseOptions(**options))
    assert not list(tmp_path.iterdir())


def test_the_model_itself_is_not_overwritten(model: Path) -> None:
    content = model.read_bytes()
    with pytest.raises(ValueError, match="expected another file than the model"):
        quantise(model, model, FIGURES[:1])
    assert model.read_bytes() == content


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="calibration: expected one of percentile, minmax, entropy, got 'best'"):
        QuantiseOptions("best")


def graph(nodes: list[onnx.NodeProto], outputs: list[str], opset: int = 17) -> onnx.ModelProto:
    """Nodes with weights of (4, 4, 1, 1), or (4, 1, 1, 1) where there are groups."""
    constants = [
        numpy_helper.from_array(np.ones((4, 1 if any(a.name == "group" for a in node.attribute) else 4, 1, 1), "f"), w)
        for node in nodes
        for w in node.input
        if w.endswith("_w")
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    made = helper.make_graph(nodes, "g", [], ends, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)])


NODE = helper.make_node


def test_nodes_are_chosen_by_their_place() -> None:
    """A trunk, a stage whose result the next one sees, a head behind a Sigmoid, one behind a Split, a front."""
    network = graph(
        [
            NODE("Conv", ["x", "a_w"], ["a"], name="trunk"),
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
    assert choose(network) == (("trunk", "stage", "hidden"), ("depthwise", *always))
    assert choose(network, depthwise=True) == (("trunk", "depthwise", "stage", "hidden"), always)
    assert choose(network, ("st*", "hid?en")) == (("trunk",), ("depthwise", "stage", "hidden", *always))
    with pytest.raises(ValueError, match="got 0 such nodes"):
        choose(network, ("*",))


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
def test_signed_integers_do_not_stand_behind_a_concat(between: tuple[str, ...], quantised: bool) -> None:
    """Just where OpenVINO is wrong: through anything else it is not, and with unsigned integers it never is."""
    nodes = [NODE("Conv", ["x", "a_w"], ["a"], name="first"), NODE("Concat", ["a", "x"], ["between 0"], axis=1)]
    nodes += [NODE(op, [f"between {i}"], [f"between {i + 1}"]) for i, op in enumerate(between)]
    nodes += [NODE("Conv", [f"between {len(between)}", "b_w"], ["b"], name="behind")]
    network = graph([*nodes, NODE("Conv", ["b", "c_w"], ["c"], name="head")], ["c"])
    assert ("behind" in choose(network)[0]) == quantised
    assert choose(network, unsigned=True) == (("first", "behind"), ("head",))


def test_every_node_gets_a_name_and_its_own_constants() -> None:
    """An exporter's Identity between a shared constant and its second user would hide it from the quantiser."""
    nodes = [NODE("Identity", ["a_w"], ["b_w"]), NODE("Conv", ["x", "a_w"], ["a"]), NODE("Conv", ["a", "b_w"], ["b"])]
    network = graph(
        [*nodes, NODE("Conv", ["b", "c_w"], ["c"], name="head"), NODE("Identity", ["c_w"], ["d"])], ["c", "d"]
    )
    del network.graph.initializer[1:4]
    network.graph.initializer.append(numpy_helper.from_array(np.ones((4, 4, 1, 1), "f"), "c_w"))
    prepare(network)
    assert [node.op_type for node in network.graph.node] == ["Conv", "Conv", "Conv", "Identity"]
    assert choose(network) == (("Conv_1", "Conv_2"), ("head",))


def test_an_old_opset_is_refused() -> None:
    nodes = [NODE("Conv", ["x", "a_w"], ["a"], name="first"), NODE("Conv", ["a", "b_w"], ["b"], name="head")]
    network = graph(nodes, ["b"], opset=11)
    with pytest.raises(ValueError, match="opset 13 or later, got 1 such nodes and opset 11"):
        choose(network)


def test_tensorrt_takes_q_and_dq(report: QuantiseReport) -> None:
    """All that is noted is what is noted of the float32 file."""
    assert list(report.remarks) == tensorrt_operators.remarks(onnx.load(str(DEFAULT_MODEL)))
    counts = tensorrt_operators.operators(onnx.load(str(report.path)))
    assert counts["DequantizeLinear"] >= 2 * len(set(report.quantised)) - counts["QuantizeLinear"] > 0


def folder(path: Path, images: list[np.ndarray]) -> Path:
    path.mkdir()
    for place, image in enumerate(images):
        cv2.imwrite(str(path / f"{place}.png"), image)
    return path


@pytest.mark.parametrize(("most", "expected"), [(1, [0]), (3, [0, 3, 6]), (10, list(range(10))), (99, list(range(10)))])
def test_images_are_spread_over_a_folder(tmp_path: Path, most: int, expected: list[int]) -> None:
    images = [np.full((4, 4, 3), 20 * place, np.uint8) for place in range(10)]
    got = images_of(folder(tmp_path / "images", images), most)
    assert [int(image[0, 0, 0]) // 20 for image in got] == expected


def command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_quantises_a_file_and_says_what_it_costs(model: Path, tmp_path: Path) -> None:
    images, target = folder(tmp_path / "images", FIGURES[:3]), tmp_path / "int8.onnx"
    code, text = command(model, "-o", target, "--int8", "--calibrate", images, "--images", 2)
    assert code == 0, text
    assert f"{target}: default in 8-bit integers" in text and "by 2 images (percentile)" in text
    assert f"against float32, on 2 images of {images}" in text
    assert "heatmaps: mean, largest difference" in text and "people in float32" in text
    with OnnxRunner(target) as runner:
        assert METADATA_KEY in runner.metadata


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("torch")
    import tiny_networks

    from pose_ros.checkpoint import save_checkpoint
    from pose_ros.network import zoo

    tiny_networks.seeded()
    monkeypatch.setattr(zoo, "networks", lambda: {"tiny": tiny_networks.tiny})
    save_checkpoint(tiny_networks.tiny(), "tiny", tmp_path / "tiny.pt")
    return tmp_path / "tiny.pt"


def test_a_checkpoint_is_exported_and_quantised_at_once(checkpoint: Path) -> None:
    images, target = folder(checkpoint.parent / "images", FIGURES[:2]), checkpoint.parent / "mine.onnx"
    code, text = command(checkpoint, "-o", target, "--size", "64x96", "--name", "mine", "--int8", "--calibrate", images)
    assert code == 0, text
    assert f"{target}: mine in 8-bit integers" in text and "on 2 images" in text
    estimator = PoseEstimator.load(target, runtime="onnx")
    assert estimator.spec.name == "mine" and estimator.spec.input.size_wh == (96, 64)
    assert "QuantizeLinear" in types(onnx.load(str(target)))
    assert {path.name for path in checkpoint.parent.iterdir()} == {"images", "mine.onnx", "tiny.pt"}


@pytest.mark.parametrize(("option", "largest"), [("--half", (0, 0.5)), ("--bf16", (0.5, 4))], ids=["half", "bf16"])
def test_the_cost_of_a_precision_is_told_where_it_is_asked_for(
    checkpoint: Path, option: str, largest: tuple[float, float]
) -> None:
    images, target = folder(checkpoint.parent / "images", FIGURES[:2]), checkpoint.parent / "m.onnx"
    code, text = command(checkpoint, "-o", target, option, "--report", images)
    assert code == 0, text
    assert "checked at 64 x 96 px against torch" in text
    cost = text.split("against float32, on 2 images")[1].split("heatmaps: mean, largest difference ")[1]
    assert largest[0] < float(cost.split(" %, ")[1].split(" %")[0]) < largest[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("m.onnx",), "expected a checkpoint, got an ONNX file; --int8 --calibrate IMAGES quantises one"),
        (("m.onnx", "--int8"), "--int8: expected --calibrate IMAGES"),
        (("m.onnx", "--int8", "--calibrate", "nowhere"), "got nowhere, which does not exist"),
        (("m.onnx", "--int8", "--calibrate", "empty"), "folder empty: expected images"),
        (("m.onnx", "--int8", "--calibrate", "damaged"), "expected a whole image"),
        (("m.onnx", "--int8", "--calibrate", ".", "--half"), "--half: expected one precision, got --int8, too"),
        (("m.onnx", "--int8", "--calibrate", ".", "--size", "64x64"), "--size: expected a checkpoint"),
        (("m.onnx", "--int8", "--calibrate", ".", "--float-input"), "--float-input: expected a checkpoint"),
        (("m.onnx", "--int8", "--calibrate", "photo.png", "--calibration", "x"), "calibration: expected one of"),
        (("m.onnx", "--int8", "--calibrate", "photo.png", "--report", "nowhere"), "got nowhere, which does not exist"),
        (("nothing.onnx", "--int8", "--calibrate", "photo.png"), "got nothing.onnx, which does not exist"),
        (("c.pt", "--calibrate", "."), "--calibrate: expected --int8 with it"),
        (("c.pt", "--unsigned"), "--unsigned: expected --int8 with it"),
        (("c.pt", "--report", "."), "--report: expected --half, --bf16 or --int8"),
        (("c.pt", "--half", "--bf16"), "--half: expected one precision, got --bf16, too"),
        (("m.onnx", "--bf16"), "expected a checkpoint, got an ONNX file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_commands_are_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.onnx").symlink_to(model)
    folder(tmp_path / "empty", [])
    folder(tmp_path / "damaged", [])
    (tmp_path / "damaged" / "1.png").write_bytes(b"\x89PNG")
    cv2.imwrite("photo.png", FIGURES[0])
    there = sorted(tmp_path.iterdir())
    code, text = command(*arguments)
    assert code == 1 and message in text, text
    assert sorted(tmp_path.iterdir()) == there
