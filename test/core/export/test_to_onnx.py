"""Test the export: a self-describing file that computes the same as the network, or no file."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

import onnx
import scene
import tiny_networks
import torch
from onnx import numpy_helper

from pose_ros.checkpoint import save_checkpoint
from pose_ros.cli import app
from pose_ros.estimator import PoseEstimator
from pose_ros.export import bfloat16, tensorrt_operators
from pose_ros.export import check as export_check
from pose_ros.export import to_onnx as export_module
from pose_ros.export.to_onnx import ExportOptions, export
from pose_ros.fields import METADATA_KEY, InputSpec
from pose_ros.network import hrnet, resnet, zoo
from pose_ros.network.deploy import DeployedNetwork
from pose_ros.network.resnet import BasicBlock
from pose_ros.people import People
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.onnx_graph import read_graph

LARGE = 60e6
SLOW = os.environ.get("POSE_ROS_SLOW") == "1"


@pytest.fixture(autouse=True)
def same_weights() -> None:
    tiny_networks.seed_torch()


def read_shapes(path: Path) -> dict[str, tuple[int | None, ...]]:
    with OnnxRunner(path) as runner:
        return {tensor.name: tensor.shape for tensor in (*runner.inputs, *runner.outputs)}


@pytest.mark.parametrize(
    ("options", "image", "heatmaps"),
    [
        ({}, (None, 64, 96, 3), (None, 18, 16, 24)),
        ({"batch": 1}, (1, 64, 96, 3), (1, 18, 16, 24)),
        ({"batch": 3}, (3, 64, 96, 3), (3, 18, 16, 24)),
        ({"dynamic": True}, (None, None, None, 3), (None, 18, None, None)),
        ({"float_input": True}, (None, 3, 64, 96), (None, 18, 16, 24)),
        ({"float_input": True, "dynamic": True}, (None, 3, None, None), (None, 18, None, None)),
        ({"half": True}, (None, 64, 96, 3), (None, 18, 16, 24)),
    ],
    ids=lambda value: "-".join(value) or "plain" if isinstance(value, dict) else "",
)
def test_inputs_and_outputs_of_each_option(tmp_path: Path, options: dict, image: tuple, heatmaps: tuple) -> None:
    report = export(tiny_networks.make_tiny(), tmp_path / "m.onnx", ExportOptions((96, 64), **options))
    got = read_shapes(report.path)
    assert got["image"] == image and got["heatmaps"] == heatmaps and set(got) == {"image", "heatmaps", "pafs"}
    model = onnx.load(str(report.path))
    assert model.ir_version == 8 and model.opset_import[0].version == 17
    assert max(report.differences.values()) < (2e-3 if options.get("half") else 1e-5)
    assert report.shapes["pafs"] == (options.get("batch", 2), 42, 16, 24)
    assert list(tmp_path.iterdir()) == [tmp_path / "m.onnx"]


def test_the_file_describes_its_input(tmp_path: Path) -> None:
    network = tiny_networks.make_tiny()
    spec = export(network, tmp_path / "m.onnx", ExportOptions((96, 64), name="mine")).spec
    stored = json.loads(read_description(tmp_path / "m.onnx"))
    assert stored == spec.to_dict() and spec.name == "mine" and spec.licence == "MIT" and spec.origin == 1.5
    assert spec.input == InputSpec("image", "NHWC", "uint8", "bgr", multiple=16, short_side=64)
    assert network.spec.name == "tiny" and network.spec.input == tiny_networks.INPUT


def read_description(path: Path) -> str:
    with OnnxRunner(path) as runner:
        return runner.metadata[METADATA_KEY]


def test_the_network_is_not_modified(tmp_path: Path) -> None:
    network = tiny_networks.make_tiny().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export(network, tmp_path / "m.onnx", ExportOptions((64, 64), half=True))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("float_input", [False, True], ids=["bytes", "float"])
def test_normalisation_matches_the_network(tmp_path: Path, float_input: bool) -> None:
    """With normalisation inside or before the file, an image gives the result of the bare network."""
    network = tiny_networks.make_tiny().eval()
    path = export(network, tmp_path / "m.onnx", ExportOptions((96, 64), float_input=float_input)).path
    image = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    estimator = PoseEstimator.load(path)
    tensor, _ = estimator.preprocess(image)
    got = estimator.runner.run({"image": tensor})
    plain = (image - np.array(tiny_networks.INPUT.mean)) / np.array(tiny_networks.INPUT.std)
    with torch.inference_mode():
        expected = network.fields(torch.from_numpy(plain.transpose(2, 0, 1)[None].astype(np.float32)))
    for name, field in expected.items():
        np.testing.assert_allclose(got[name], field.numpy(), atol=1e-5)


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
def test_the_front_finds_the_same_people(tmp_path: Path, dynamic: bool) -> None:
    fields, _ = scene.fields(5, (46, 82))
    network = tiny_networks.Painted(
        {"heatmaps": torch.from_numpy(fields.heatmaps), "pafs": torch.from_numpy(fields.pafs)}
    )
    image, people = np.zeros((368, 656, 3), np.uint8), []
    for name, front in (("plain", False), ("front", True)):
        path = tmp_path / f"{name}.onnx"
        if dynamic:
            path = export_unchecked(network, path, front)
        else:
            export(network, path, ExportOptions((656, 368), front=front))
        estimator = PoseEstimator.load(path)
        people.append(estimator.estimate(image))
        assert estimator._output_names == ({"peaks", "limb_scores"} if front else {"heatmaps", "pafs"})
    assert len(people[0]) == len(people[1]) == 5
    np.testing.assert_allclose(*(sort_points(found) for found in people), atol=0.01)


def export_unchecked(network: tiny_networks.Painted, path: Path, front: bool) -> Path:
    """Export a painted network. It has only one size, so the check at a second size must be disabled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pose_ros.export.to_onnx._other_size", lambda size_wh, spec: size_wh)
        return export(network, path, ExportOptions((656, 368), dynamic=True, front=front)).path


def sort_points(people: People) -> np.ndarray:
    return people.keypoints[np.argsort(people.keypoints[:, 0, 0])]


class ConstantSize(torch.nn.Module):
    """Backbone that computes with the size of the trace."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1].repeat(1, 8, 1, 1)[:, :, ::8, ::8].repeat(1, 1, 2, 2) * float(images.shape[3])


class Huge(torch.nn.Module):
    """Backbone with values that exceed half precision."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1, ::4, ::4].repeat(1, 8, 1, 1) * 1e6


class NoOperator(torch.nn.Module):
    """Backbone without an operator in ONNX."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.linalg.qr(images[:, :1, ::4, ::4].repeat(1, 8, 1, 1))[0]


class NoBfloat16(torch.nn.Module):
    """Backbone with an operator that ONNX does not support in bfloat16."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bchw,ck->bkhw", images[:, :1, ::4, ::4], images.new_ones(1, 8))


def with_backbone(backbone: torch.nn.Module) -> tiny_networks.HeadedNetwork:
    network = tiny_networks.make_tiny()
    network.backbone = backbone
    return network


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (
            tiny_networks.make_tiny,
            {"size_wh": (456, 250)},
            r"multiples of 16 for tiny, got 250x456 .* 240x448 and 256x464",
        ),
        (tiny_networks.make_tiny, {"size_wh": (0, 64)}, "multiples of 16"),
        (
            lambda: tiny_networks.make_tiny(stride=8),
            {},
            r"heatmaps: expected a grid of .* cells of stride 8 .* got 24 x 16",
        ),
        (lambda: with_backbone(ConstantSize()), {"dynamic": True}, "expected the result of torch|expected a grid"),
        (lambda: with_backbone(Huge()), {"half": True}, "expected finite numbers"),
        (
            lambda: with_backbone(NoOperator()),
            {},
            r"tiny: expected operators that ONNX opset 17 supports in fp32, got: .*qr",
        ),
        (
            lambda: with_backbone(NoBfloat16()),
            {"bf16": True},
            r"opset 22 supports in bf16, .*Einsum.*; export it in float32",
        ),
        (tiny_networks.make_tiny, {"half": True, "bf16": True}, "expected one precision, got half and bf16"),
        (
            tiny_networks.make_tiny,
            {"front": True, "max_peaks": 1000},
            r"max_peaks: expected 1 to 384 \(cells of the field\)",
        ),
    ],
    ids=["size", "no size", "stride", "constant size", "overflow", "operator", "bf16 operator", "two", "peaks"],
)
def test_a_failed_export_leaves_no_file(
    tmp_path: Path, network: object, options: dict, message: str, capfd: pytest.CaptureFixture
) -> None:
    with pytest.raises(ValueError, match=message):
        export(network(), tmp_path / "m.onnx", ExportOptions(**{"size_wh": (96, 64), **options}))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_an_older_file_survives_a_failed_export(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("older")
    with pytest.raises(ValueError, match="cells of stride"):
        export(tiny_networks.make_tiny(stride=8), tmp_path / "m.onnx", ExportOptions((64, 64)))
    assert (tmp_path / "m.onnx").read_text() == "older"


def test_a_front_needs_pafs(tmp_path: Path) -> None:
    network = tiny_networks.make_tiny()
    del network.heads["pafs"]
    network.spec = tiny_networks.with_heads(network.spec, ("heatmaps",))
    with pytest.raises(ValueError, match="front: expected a network with heatmaps and pafs, got tiny with heatmaps"):
        export(network, tmp_path / "m.onnx", ExportOptions((64, 64), front=True))


def test_a_network_with_a_fixed_size_keeps_it(tmp_path: Path) -> None:
    network = tiny_networks.make_tiny(
        input=InputSpec("x", "NCHW", "float32", multiple=16, short_side=64, size_wh=(48, 64))
    )
    export(network, tmp_path / "m.onnx")
    assert read_shapes(tmp_path / "m.onnx")["image"] == (None, 64, 48, 3)
    with pytest.raises(
        ValueError, match=r"dynamic: expected a network of any size, got tiny with the fixed size \(48, 64\)"
    ):
        export(network, tmp_path / "d.onnx", ExportOptions(dynamic=True))


def test_a_wrong_result_is_detected(tmp_path: Path) -> None:
    """The file has other weights than the network."""
    path = export(tiny_networks.make_tiny(), tmp_path / "m.onnx", ExportOptions((64, 64))).path
    other = DeployedNetwork(tiny_networks.make_tiny()).eval()
    with pytest.raises(ValueError, match=r"heatmaps: expected the result of torch within 0\.001 of the range"):
        export_check.compare(path, other, other, None, "fp32", (64, 64))


def element_types(values: Iterable[onnx.ValueInfoProto]) -> dict[str, int]:
    return {value.name: value.type.tensor_type.elem_type for value in values}


@pytest.mark.parametrize("options", [{}, {"dynamic": True, "front": True}, {"float_input": True}], ids="-".join)
def test_bfloat16_is_inside_and_float32_at_inputs_and_outputs(tmp_path: Path, options: dict) -> None:
    report = export(tiny_networks.make_tiny(), tmp_path / "m.onnx", ExportOptions((96, 64), bf16=True, **options))
    model, kinds = onnx.load(str(report.path)), onnx.TensorProto
    assert (model.ir_version, model.opset_import[0].version) == (10, 22)
    assert {tensor.data_type for tensor in model.graph.initializer} == {kinds.BFLOAT16}
    assert read_graph(report.path).precision == "bf16"
    casts = [node for node in model.graph.node if any(a.i == kinds.BFLOAT16 for a in node.attribute)]
    assert [node.op_type for node in casts] == ["Cast"]
    output_types = element_types(model.graph.output)
    assert output_types["heatmaps"] == output_types["pafs"] == kinds.FLOAT
    assert kinds.BFLOAT16 not in output_types.values()
    assert json.loads(read_graph(report.path).metadata[METADATA_KEY]) == report.spec.to_dict()
    assert list(tmp_path.iterdir()) == [report.path]


@pytest.fixture
def bfloat16_files(tmp_path: Path) -> tuple[Path, Path]:
    """bfloat16 file of a network with many operators, and its stand-in."""
    torch.manual_seed(3)
    path = export(zoo.build("pose_ros_mobilenet_v2"), tmp_path / "m.onnx", ExportOptions((96, 64), bf16=True)).path
    return path, bfloat16.write_stand_in(path, tmp_path / "stand_in.onnx")


IMAGE = np.random.default_rng(1).integers(0, 256, (1, 64, 96, 3), np.uint8)


def test_the_stand_in_rounds_every_result(bfloat16_files: tuple[Path, Path]) -> None:
    with OnnxRunner(bfloat16_files[1]) as runner:
        fields = runner.run({"image": IMAGE})
        assert set(fields) == {"heatmaps", "pafs", "tags"} and METADATA_KEY in runner.metadata
    for field in fields.values():
        assert np.ptp(field) > 0 and not np.any(field.view(np.uint32) & 0xFFFF)  # the lower half is zero in bfloat16


def test_the_stand_in_computes_the_same_as_openvino(bfloat16_files: tuple[Path, Path]) -> None:
    """OpenVINO runs the bfloat16 file itself. Their difference is smaller than that of bfloat16 and float32."""
    pytest.importorskip("openvino")
    from pose_ros.runtime.openvino import OpenVINORunner

    torch.manual_seed(3)
    exact = DeployedNetwork(zoo.build("pose_ros_mobilenet_v2")).eval().run_on_array(IMAGE)
    with OnnxRunner(bfloat16_files[1]) as stand_in, OpenVINORunner(bfloat16_files[0]) as openvino:
        got, expected = stand_in.run({"image": IMAGE}), openvino.run({"image": IMAGE})
    for name, field in exact.items():
        assert np.abs(got[name] - expected[name]).mean() < np.abs(got[name] - field).mean() < 2e-3 * np.ptp(field)


def test_onnx_runtime_reports_that_it_does_not_support_bfloat16(bfloat16_files: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="expected fp32, fp16 or int8, got bf16, which ONNX Runtime cannot compute"):
        OnnxRunner(bfloat16_files[0])


def test_a_wrong_bfloat16_file_is_detected(bfloat16_files: tuple[Path, Path]) -> None:
    """Two keypoints are swapped in the file."""
    model = onnx.load(str(bfloat16_files[1]))
    weight = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("stages.1.leave.weight"))
    order = [1, 0, *range(2, weight.dims[0])]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[order], weight.name))
    onnx.save(model, str(bfloat16_files[1]))
    torch.manual_seed(3)
    network, options = zoo.build("pose_ros_mobilenet_v2"), ExportOptions((96, 64), bf16=True)
    deployed, reference = (export_module._deploy(network, each) for each in (options, replace(options, bf16=False)))
    with pytest.raises(ValueError, match="expected the result of torch within"):
        export_check.compare(bfloat16_files[1], deployed, reference, None, "bf16", (96, 64))


class Rounding(tiny_networks.Painted):
    """Painted network with an error of ``off`` in float32 and no error in float64."""

    off = 0.0

    def fields(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        off = self.off if images.dtype == torch.float32 else 0.0
        return {name: field + off for name, field in super().fields(images).items()}


@pytest.mark.parametrize(("front", "half"), [(False, False), (True, False), (False, True)])
def test_a_file_may_round_as_coarsely_as_torch(tmp_path: Path, front: bool, half: bool) -> None:
    """The rounding error of torch is accepted. An error of the same size that float64 also has is rejected."""
    fields, _ = scene.fields(2, (8, 12))
    painted = {"heatmaps": torch.from_numpy(fields.heatmaps), "pafs": torch.from_numpy(fields.pafs)}
    options = ExportOptions((96, 64), front=front, half=half)
    path = export(Rounding(painted), tmp_path / "m.onnx", options).path
    deployed = export_module._deploy(Rounding(painted), options)
    coarse = export_module._deploy(Rounding(painted), replace(options, half=False))
    coarse.network.off = 0.2
    check = partial(export_check.compare, path, deployed, batch=None, precision=options.precision, size_wh=(96, 64))
    assert check(reference=coarse)[1]["pafs"] == pytest.approx(0.2, abs=2e-3)
    moved = {name: field + 0.2 for name, field in painted.items()}
    wrong = export_module._deploy(Rounding(moved), replace(options, half=False))
    with pytest.raises(ValueError, match="expected the result of torch within"):
        check(reference=wrong)


def test_missing_packages_and_folders_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a folder for m\.onnx"):
        export(tiny_networks.make_tiny(), tmp_path / "none" / "m.onnx")
    with pytest.raises(ValueError, match="expected a file to write, got the folder"):
        export(tiny_networks.make_tiny(), tmp_path)
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else known(name))
    with pytest.raises(ImportError, match="got no onnx; pip install onnx"):
        export(tiny_networks.make_tiny(), tmp_path / "m.onnx")
    monkeypatch.undo()
    monkeypatch.setattr(onnx.defs, "onnx_opset_version", lambda: 21)
    with pytest.raises(ImportError, match=r"bf16: expected onnx 1\.17 or later, got .*; pip install --upgrade onnx"):
        export(tiny_networks.make_tiny(), tmp_path / "m.onnx", ExportOptions(bf16=True))


def make_graph(*nodes: onnx.NodeProto, dtype: int = onnx.TensorProto.FLOAT, **constants: np.ndarray) -> onnx.ModelProto:
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    inputs = [onnx.helper.make_tensor_value_info("x", dtype, [1, 8])]
    return onnx.helper.make_model(onnx.helper.make_graph(list(nodes), "g", inputs, [], weights))


NODE = onnx.helper.make_node
BFLOAT16 = np.ones(1, onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (make_graph(NODE("Relu", ["x"], ["y"])), []),
        (make_graph(NODE("Unique", ["x"], ["y"])), ["TensorRT has no Unique"]),
        (make_graph(NODE("GridSample", ["x", "g"], ["y"])), ["GridSample needs TensorRT 8.5 or later"]),
        (make_graph(NODE("TopK", ["x", "k"], ["v", "i"]), k=np.array([32])), []),
        (
            make_graph(NODE("TopK", ["x", "k"], ["v", "i"]), k=np.array([4000])),
            ["supports counts below 3840, got 4000"],
        ),
        (make_graph(NODE("TopK", ["x", "k"], ["v", "i"])), ["TopK with a computed count needs TensorRT 8.6"]),
        (make_graph(NODE("Resize", ["x"], ["y"], mode="cubic")), ["TensorRT has no cubic Resize"]),
        (
            make_graph(NODE("Cast", ["x"], ["y"], to=1), dtype=onnx.TensorProto.UINT8),
            ["uint8 input needs TensorRT 8.6 or later"],
        ),
        (make_graph(NODE("Relu", ["x"], ["y"]), w=BFLOAT16), ["bfloat16 needs TensorRT 10 or later and an Ampere GPU"]),
        (
            make_graph(NODE("Mish", ["x"], ["y"]), w=BFLOAT16),
            ["Mish needs TensorRT 10.0 or later", "bfloat16 needs", "TensorRT has no Mish in bfloat16"],
        ),
        (
            make_graph(NODE("If", ["x"], ["y"], then_branch=make_graph(NODE("NotAnOperator", ["x"], ["y"])).graph)),
            ["TensorRT has no NotAnOperator"],
        ),
    ],
    ids=["plain", "none", "since", "topk", "topk large", "topk computed", "cubic", "bytes", "bf16", "Mish", "inside"],
)
def test_problems_of_a_model_with_tensorrt(model: onnx.ModelProto, expected: list[str]) -> None:
    remarks = tensorrt_operators.list_remarks(model)
    assert len(remarks) == len(expected) and all(part in remark for part, remark in zip(expected, remarks, strict=True))


def test_the_front_has_only_operators_of_tensorrt(tmp_path: Path) -> None:
    report = export(tiny_networks.make_tiny(), tmp_path / "m.onnx", ExportOptions((96, 64), front=True, dynamic=True))
    assert [remark.split(" needs")[0] for remark in report.remarks] == ["a uint8 input"]
    assert report.operators["TopK"] == 1 and "Constant" not in report.operators


@pytest.fixture(scope="module")
def smallest() -> set[str]:
    """Return the smallest network of each module, apart from very large ones."""
    families: dict[str, list[tuple[int, str]]] = {}
    for name, builder in zoo.networks().items():
        families.setdefault(getattr(builder, "func", builder).__module__, []).append((count_weights(builder), name))
    return {name for count, name in map(min, families.values()) if count < LARGE}


def count_weights(builder: zoo.Builder) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in builder().parameters())


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build one block where a network repeats it: the operators are the same. POSE_ROS_SLOW=1 builds all blocks."""
    if not SLOW:
        stage = hrnet._stage
        monkeypatch.setattr(hrnet, "_stage", lambda widths, exchanges, *outputs: stage(widths, 1, *outputs))
        monkeypatch.setattr(hrnet, "basic_blocks", lambda width: torch.nn.Sequential(BasicBlock(width, width)))
        monkeypatch.setattr(resnet, "BLOCKS", dict.fromkeys(resnet.BLOCKS, (1, 1, 1, 1)))


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("name", sorted(zoo.networks()))
def test_every_network_exports(tmp_path: Path, smallest: set[str], name: str) -> None:
    if name not in smallest and not SLOW:
        pytest.skip("one network of each module is exported; POSE_ROS_SLOW=1 exports all")
    network = zoo.build(name)
    spec = network.spec.input
    side = max(2 * spec.multiple if spec.multiple >= 32 else 4 * spec.multiple, 64)
    report = export(network, tmp_path / "m.onnx", ExportOptions(spec.size_wh or (side, side)))
    assert set(report.differences) == {head.field for head in network.spec.heads}
    assert not [remark for remark in report.remarks if "has no" in remark]


def command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    return result.exit_code, result.output


def test_the_command_exports_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "networks", lambda: {"tiny": tiny_networks.make_tiny})
    save_checkpoint(tiny_networks.make_tiny(), "tiny", tmp_path / "tiny.pt")
    (tmp_path / "[red]").mkdir()
    target = tmp_path / "[red]" / "model.onnx"
    code, text = command(tmp_path / "tiny.pt", "-o", target, "--size", "64x96", "--front", "--name", "mine")
    assert code == 0, text
    assert "mine" in text and "limb_scores" in text and "64 x 96 px" in text
    assert "[red]/model.onnx" in "".join(text.split())
    assert PoseEstimator.load(target).spec.name == "mine"


def test_random_weights_have_no_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "networks", lambda: {"tiny": tiny_networks.make_tiny})
    monkeypatch.chdir(tmp_path)
    code, text = command("--network", "tiny", "--random")
    assert code == 0, text
    assert "random weights" in read_description(tmp_path / "tiny.onnx")
    assert read_shapes(tmp_path / "tiny.onnx")["image"] == (None, 64, 96, 3)


KILLED_EXPORT = """
import os, signal, sys
from pose_ros.cli import main
from pose_ros.export import check
check.compare = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


def test_a_killed_export_keeps_the_earlier_file_and_the_next_export_removes_its_files(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"earlier")
    arguments = ["export", "--network", "movenet_lightning", "--random", "-o", str(target)]
    done = subprocess.run([sys.executable, "-c", KILLED_EXPORT, *arguments], capture_output=True, check=False)
    assert done.returncode == -9 and target.read_bytes() == b"earlier"
    assert len(list(tmp_path.glob(".unfinished-*"))) > 0
    assert command(*arguments[1:])[0] == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.onnx"]
    assert PoseEstimator.load(target).spec.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--random",), "expected a CHECKPOINT, or --network NAME --random"),
        ((), "expected a CHECKPOINT"),
        (("--network", "tiny", "--random", "--size", "big"), "--size: expected height x width"),
        (("nothing.pt",), "nothing.pt, which does not exist"),
        (("--network", "unknown", "--random"), "expected a name such as"),
    ],
)
def test_invalid_commands_are_rejected(arguments: tuple[str, ...], message: str) -> None:
    code, text = command(*arguments)
    assert code == 1 and message in text
