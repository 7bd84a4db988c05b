"""Test compact files: half the size, the same results, and a network that can be read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch")

from tiny_networks import make_tiny, seed_torch  # noqa: E402

from pose_ros.checkpoint import load_checkpoint  # noqa: E402
from pose_ros.checkpoint.exported import read_exported  # noqa: E402
from pose_ros.export.compact import fold_normalisation, widen  # noqa: E402
from pose_ros.export.quantised_nodes import prepare  # noqa: E402
from pose_ros.export.to_onnx import ExportOptions, export  # noqa: E402
from pose_ros.network import zoo  # noqa: E402
from pose_ros.runtime.onnx import OnnxRunner  # noqa: E402
from pose_ros.runtime.onnx_graph import read_graph  # noqa: E402

NAME = "pose_ros_mobilenet_v1_075"
SIZE = (64, 64)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The same network in float32 and compact."""
    folder = tmp_path_factory.mktemp("compact")
    network = make_network()
    paths = {compact: folder / f"{compact}.onnx" for compact in (False, True)}
    for compact, path in paths.items():
        export(network, path, ExportOptions(dynamic=True, compact=compact))
    return paths


def make_network() -> zoo.PoseNetwork:
    """Make a network whose normalisations have random statistics."""
    seed_torch()
    network = zoo.build(NAME)
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
    return network.eval()


def run(path: Path) -> dict[str, np.ndarray]:
    image = np.random.default_rng(0).integers(0, 256, (1, 96, 64, 3), np.uint8)
    with OnnxRunner(path) as runner:
        return dict(runner.run({"image": image}))


def test_a_compact_file_has_half_the_size_and_nearly_the_same_results(files: dict[bool, Path]) -> None:
    assert files[True].stat().st_size < 0.56 * files[False].stat().st_size
    wide, narrow = run(files[False]), run(files[True])
    for name, values in wide.items():
        np.testing.assert_allclose(narrow[name], values, atol=5e-3 * np.ptp(values))


def test_it_still_computes_in_float32(files: dict[bool, Path]) -> None:
    assert read_graph(files[True]).precision == read_graph(files[False]).precision == "fp32"


def test_the_network_is_read_back(files: dict[bool, Path]) -> None:
    network, again = make_network(), load_checkpoint(files[True])
    assert again.spec == network.spec and again.zoo_name == NAME
    for name, weight in network.state_dict().items():
        rounded = weight.half().float() if weight.ndim > 1 else weight
        torch.testing.assert_close(again.state_dict()[name], rounded, rtol=0, atol=0)


def test_it_can_be_exported_again(files: dict[bool, Path], tmp_path: Path) -> None:
    export(load_checkpoint(files[True]), tmp_path / "again.onnx", ExportOptions(dynamic=True, compact=True))
    first, again = run(files[True]), run(tmp_path / "again.onnx")
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)


def test_equal_weights_are_read_back(tmp_path: Path) -> None:
    network = make_network()
    for name, weight in network.named_parameters():
        if "leave" in name:
            weight.data.zero_()
    export(network, tmp_path / "zeros.onnx", ExportOptions(dynamic=True, compact=True))
    assert not load_checkpoint(tmp_path / "zeros.onnx").state_dict()["stages.1.leave.weight"].any()


def test_widening_and_folding_change_no_result(files: dict[bool, Path], tmp_path: Path) -> None:
    model = onnx.load(str(files[True]))
    widen(model)
    prepare(model)
    fold_normalisation(model)
    onnx.save(model, str(tmp_path / "plain.onnx"))
    producers = {name: node.op_type for node in model.graph.node for name in node.output}
    behind = [producers[node.input[0]] for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert behind == ["Add"]
    halves = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16]
    assert not {name for node in model.graph.node for name in node.input} & {tensor.name for tensor in halves}
    expected, got = run(files[True]), run(tmp_path / "plain.onnx")
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, atol=1e-4 * np.ptp(values))


@pytest.mark.parametrize("other", ["half", "bf16"])
def test_compact_is_a_form_of_float32(other: str) -> None:
    with pytest.raises(ValueError, match="expected compact, half or bf16, got two"):
        ExportOptions(compact=True, **{other: True})


def test_weights_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    network = make_network()
    network.stages[0].leave.weight.data[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"weights below 65504, got more in stages\.0\.leave\.weight"):
        export(network, tmp_path / "m.onnx", ExportOptions(dynamic=True, compact=True))
    assert not list(tmp_path.iterdir())


def test_a_network_of_unknown_origin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="compact: expected a network of this package, got tiny"):
        export(make_tiny(), tmp_path / "m.onnx", ExportOptions(size_wh=SIZE, compact=True))


def test_other_onnx_files_are_refused(files: dict[bool, Path]) -> None:
    with pytest.raises(ValueError, match=r"expected an ONNX file of pose_ros export --compact, got another one"):
        load_checkpoint(files[False])


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1])
def test_truncated_files_are_refused(files: dict[bool, Path], tmp_path: Path, size: int) -> None:
    (tmp_path / "cut.onnx").write_bytes(files[True].read_bytes()[:size])
    with pytest.raises(ValueError, match=r"checkpoint .*cut\.onnx: expected"):
        read_exported(tmp_path / "cut.onnx")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"pose_ros.network": "no_such_network"}, "no_such_network"),
        ({"pose_ros": "{"}, "expected a description of the model"),
        ({"pose_ros": "[]"}, "expected a description of the model"),
        ({"pose_ros": '{"name": "x"}'}, "expected a description of the model"),
    ],
)
def test_faulty_metadata_is_refused(
    files: dict[bool, Path], tmp_path: Path, entries: dict[str, str], message: str
) -> None:
    model = onnx.load(str(files[True]))
    known = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, known | entries)
    onnx.save(model, str(tmp_path / "cut.onnx"))
    with pytest.raises(ValueError, match=message):
        load_checkpoint(tmp_path / "cut.onnx")


def test_weights_of_the_wrong_size_are_refused(files: dict[bool, Path], tmp_path: Path) -> None:
    model = onnx.load(str(files[True]))
    (tensor,) = [each for each in model.graph.initializer if each.name == "network.stages.0.leave.bias"]
    tensor.CopyFrom(numpy_helper.from_array(np.zeros(3, np.float32), tensor.name))
    onnx.save(model, str(tmp_path / "wrong.onnx"))
    with pytest.raises(ValueError, match=r"1 mis-shaped, first stages\.0\.leave\.bias"):
        load_checkpoint(tmp_path / "wrong.onnx")


@pytest.mark.parametrize("name", ["cpn_resnet50", "openpose_body25"])
def test_a_network_that_cannot_be_read_back_is_refused(tmp_path: Path, name: str) -> None:
    network = zoo.build_random(name)
    size = (192, 256) if name.startswith("cpn") else (64, 64)
    with pytest.raises(ValueError, match="compact: expected a network whose weights are all in the graph"):
        export(network, tmp_path / "m.onnx", ExportOptions(size_wh=size, compact=True))
    assert not list(tmp_path.iterdir())


def test_the_description_is_kept(tmp_path: Path) -> None:
    network = make_network()
    network.spec = replace(network.spec, name="mine", score_threshold=0.3, snapping="scaled", licence="mine")
    export(network, tmp_path / "m.onnx", ExportOptions(dynamic=True, compact=True))
    assert load_checkpoint(tmp_path / "m.onnx").spec == network.spec


def test_weights_of_subgraphs_are_not_dropped() -> None:
    floats = onnx.TensorProto.FLOAT
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    body = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        *("body", [], [onnx.helper.make_tensor_value_info("y", floats, [2, 2])]),
    )
    node = onnx.helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body)
    values = [
        onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []),
        onnx.helper.make_tensor_value_info("x", floats, [2, 2]),
    ]
    result = onnx.helper.make_tensor_value_info("z", floats, [2, 2])
    unused = numpy_helper.from_array(np.ones(3, np.float32), "unused")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", values, [result], [weight, unused]))
    widen(model)
    fold_normalisation(model)
    assert [tensor.name for tensor in model.graph.initializer] == ["w"]


def test_many_names_of_one_weight_share_its_memory(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros((500, 1000), np.float16), "network.w")
    nodes = [onnx.helper.make_node("Identity", ["network.w"], [f"network.w{i}"]) for i in range(50)]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], [weight]))
    onnx.helper.set_model_props(
        model, {"pose_ros.network": NAME, "pose_ros": json.dumps(zoo.build(NAME).spec.to_dict())}
    )
    onnx.save(model, str(tmp_path / "m.onnx"))
    tensors = read_exported(tmp_path / "m.onnx")["state_dict"].values()
    assert len(tensors) == 51 and len({tensor.data_ptr() for tensor in tensors}) == 1
