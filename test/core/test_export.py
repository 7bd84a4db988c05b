"""Export: one file that describes itself and computes what the network does, or no file."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

import onnx
import scene
import tiny_networks
import torch

from pose_ros import export as export_module
from pose_ros import export_check, tensorrt_operators
from pose_ros.checkpoint import save_checkpoint
from pose_ros.cli import app
from pose_ros.estimator import PoseEstimator
from pose_ros.export import ExportOptions, export
from pose_ros.fields import METADATA_KEY, InputSpec
from pose_ros.network import zoo
from pose_ros.network.deploy import Deployed
from pose_ros.people import People
from pose_ros.runtime.onnx import OnnxRunner

LARGE = 60e6


@pytest.fixture(autouse=True)
def same_weights() -> None:
    tiny_networks.seeded()


def shapes(path: Path) -> dict[str, tuple[int | None, ...]]:
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
def test_each_form_of_file(tmp_path: Path, options: dict, image: tuple, heatmaps: tuple) -> None:
    report = export(tiny_networks.tiny(), tmp_path / "m.onnx", ExportOptions((96, 64), **options))
    got = shapes(report.path)
    assert got["image"] == image and got["heatmaps"] == heatmaps and set(got) == {"image", "heatmaps", "pafs"}
    model = onnx.load(str(report.path))
    assert model.ir_version == 8 and model.opset_import[0].version == 17
    assert max(report.differences.values()) < (2e-3 if options.get("half") else 1e-5)
    assert report.shapes["pafs"] == (options.get("batch", 2), 42, 16, 24)
    assert list(tmp_path.iterdir()) == [tmp_path / "m.onnx"]


def test_the_file_says_what_it_takes(tmp_path: Path) -> None:
    network = tiny_networks.tiny()
    spec = export(network, tmp_path / "m.onnx", ExportOptions((96, 64), name="mine")).spec
    stored = json.loads(shapes_metadata(tmp_path / "m.onnx"))
    assert stored == spec.to_dict() and spec.name == "mine" and spec.licence == "MIT" and spec.origin == 1.5
    assert spec.input == InputSpec("image", "NHWC", "uint8", "bgr", multiple=16, short_side=64)
    assert network.spec.name == "tiny" and network.spec.input == tiny_networks.INPUT


def shapes_metadata(path: Path) -> str:
    with OnnxRunner(path) as runner:
        return runner.metadata[METADATA_KEY]


def test_the_network_stays_as_it_was(tmp_path: Path) -> None:
    network = tiny_networks.tiny().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export(network, tmp_path / "m.onnx", ExportOptions((64, 64), half=True))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("float_input", [False, True], ids=["bytes", "float"])
def test_normalisation_is_the_networks(tmp_path: Path, float_input: bool) -> None:
    """Whether inside the file or before it: the same picture gives what the bare network gives."""
    network = tiny_networks.tiny().eval()
    path = export(network, tmp_path / "m.onnx", ExportOptions((96, 64), float_input=float_input)).path
    picture = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    estimator = PoseEstimator.load(path)
    tensor, _ = estimator._preprocess(picture)
    got = estimator.runner.run({"image": tensor})
    plain = (picture - np.array(tiny_networks.INPUT.mean)) / np.array(tiny_networks.INPUT.std)
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
    picture, people = np.zeros((368, 656, 3), np.uint8), []
    for name, front in (("plain", False), ("front", True)):
        path = tmp_path / f"{name}.onnx"
        if dynamic:
            path = export_unchecked(network, path, front)
        else:
            export(network, path, ExportOptions((656, 368), front=front))
        estimator = PoseEstimator.load(path)
        people.append(estimator.estimate(picture))
        assert estimator._wanted == ({"peaks", "limb_scores"} if front else {"heatmaps", "pafs"})
    assert len(people[0]) == len(people[1]) == 5
    np.testing.assert_allclose(*(sorted_points(found) for found in people), atol=0.01)


def export_unchecked(network: tiny_networks.Painted, path: Path, front: bool) -> Path:
    """A painted network has but one size, which the check at a second one would refuse."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pose_ros.export._other", lambda size_wh, spec: size_wh)
        return export(network, path, ExportOptions((656, 368), dynamic=True, front=front)).path


def sorted_points(people: People) -> np.ndarray:
    return people.keypoints[np.argsort(people.keypoints[:, 0, 0])]


class Stubborn(torch.nn.Module):
    """Computes with the size that it was traced at."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1].repeat(1, 8, 1, 1)[:, :, ::8, ::8].repeat(1, 1, 2, 2) * float(images.shape[3])


class Huge(torch.nn.Module):
    """Exceeds half precision."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :1, ::4, ::4].repeat(1, 8, 1, 1) * 1e6


class Odd(torch.nn.Module):
    """Has no operator in ONNX."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.linalg.qr(images[:, :1, ::4, ::4].repeat(1, 8, 1, 1))[0]


def with_backbone(backbone: torch.nn.Module) -> tiny_networks.HeadedNetwork:
    network = tiny_networks.tiny()
    network.backbone = backbone
    return network


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (tiny_networks.tiny, {"size_wh": (456, 250)}, r"multiples of 16 for tiny, got 250x456 .* 240x448 and 256x464"),
        (tiny_networks.tiny, {"size_wh": (0, 64)}, "multiples of 16"),
        (lambda: tiny_networks.tiny(stride=8), {}, r"heatmaps: expected a grid of .* cells of stride 8 .* got 24 x 16"),
        (lambda: with_backbone(Stubborn()), {"dynamic": True}, "expected what torch computes|expected a grid"),
        (lambda: with_backbone(Huge()), {"half": True}, "expected finite numbers"),
        (lambda: with_backbone(Odd()), {}, r"network tiny: expected operators that ONNX opset 17 has, got: .*qr"),
        (tiny_networks.tiny, {"front": True, "max_peaks": 1000}, "max_peaks: expected 1 to the 384 cells"),
    ],
    ids=["size", "no size", "stride", "constant size", "overflow", "operator", "peaks"],
)
def test_what_does_not_fit_leaves_nothing_behind(
    tmp_path: Path, network: object, options: dict, message: str, capfd: pytest.CaptureFixture
) -> None:
    with pytest.raises(ValueError, match=message):
        export(network(), tmp_path / "m.onnx", ExportOptions(**{"size_wh": (96, 64), **options}))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_an_older_file_survives_a_failed_export(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("older")
    with pytest.raises(ValueError, match="cells of stride"):
        export(tiny_networks.tiny(stride=8), tmp_path / "m.onnx", ExportOptions((64, 64)))
    assert (tmp_path / "m.onnx").read_text() == "older"


def test_a_front_needs_pafs(tmp_path: Path) -> None:
    network = tiny_networks.tiny()
    del network.heads["pafs"]
    network.spec = tiny_networks.with_heads(network.spec, ("heatmaps",))
    with pytest.raises(ValueError, match="front: expected a network with heatmaps and pafs, got tiny with heatmaps"):
        export(network, tmp_path / "m.onnx", ExportOptions((64, 64), front=True))


def test_a_network_of_one_size_keeps_it(tmp_path: Path) -> None:
    network = tiny_networks.tiny(input=InputSpec("x", "NCHW", "float32", multiple=16, short_side=64, size_wh=(48, 64)))
    export(network, tmp_path / "m.onnx")
    assert shapes(tmp_path / "m.onnx")["image"] == (None, 64, 48, 3)
    with pytest.raises(
        ValueError, match=r"dynamic: expected a network of any size, got tiny, whose size is \(48, 64\)"
    ):
        export(network, tmp_path / "d.onnx", ExportOptions(dynamic=True))


def test_a_wrong_result_is_noticed(tmp_path: Path) -> None:
    """A file whose weights are not the network's."""
    path = export(tiny_networks.tiny(), tmp_path / "m.onnx", ExportOptions((64, 64))).path
    other = Deployed(tiny_networks.tiny()).eval()
    with pytest.raises(ValueError, match=r"heatmaps: expected what torch computes to 0\.001 of the range"):
        export_check.compare(path, other, other, (64, 64), None)


class Rounding(tiny_networks.Painted):
    """A painted network that float32 computes wrongly by as much as it is told, and float64 does not."""

    off = 0.0

    def fields(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        off = self.off if images.dtype == torch.float32 else 0.0
        return {name: field + off for name, field in super().fields(images).items()}


@pytest.mark.parametrize(("front", "half"), [(False, False), (True, False), (False, True)])
def test_a_file_may_round_as_coarsely_as_torch(tmp_path: Path, front: bool, half: bool) -> None:
    """What torch itself loses is forgiven, but no more: an error of the same size that float64 has, too, is not."""
    fields, _ = scene.fields(2, (8, 12))
    painted = {"heatmaps": torch.from_numpy(fields.heatmaps), "pafs": torch.from_numpy(fields.pafs)}
    options = ExportOptions((96, 64), front=front, half=half)
    path = export(Rounding(painted), tmp_path / "m.onnx", options).path
    deployed = export_module._deployed(Rounding(painted), options)
    coarse = export_module._deployed(Rounding(painted), replace(options, half=False))
    coarse.network.off = 0.2
    assert export_check.compare(path, deployed, coarse, (96, 64), None)[1]["pafs"] == pytest.approx(0.2, abs=2e-3)
    moved = {name: field + 0.2 for name, field in painted.items()}
    wrong = export_module._deployed(Rounding(moved), replace(options, half=False))
    with pytest.raises(ValueError, match="expected what torch computes to"):
        export_check.compare(path, deployed, wrong, (96, 64), None)


def test_missing_packages_and_folders_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected a folder for m\.onnx"):
        export(tiny_networks.tiny(), tmp_path / "none" / "m.onnx")
    with pytest.raises(ValueError, match="expected a file to write, got the folder"):
        export(tiny_networks.tiny(), tmp_path)
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else known(name))
    with pytest.raises(ImportError, match="got no onnx; pip install onnx"):
        export(tiny_networks.tiny(), tmp_path / "m.onnx")


def graph(*nodes: onnx.NodeProto, dtype: int = onnx.TensorProto.FLOAT, **constants: np.ndarray) -> onnx.ModelProto:
    weights = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    inputs = [onnx.helper.make_tensor_value_info("x", dtype, [1, 8])]
    return onnx.helper.make_model(onnx.helper.make_graph(list(nodes), "g", inputs, [], weights))


NODE = onnx.helper.make_node


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (graph(NODE("Relu", ["x"], ["y"])), []),
        (graph(NODE("Unique", ["x"], ["y"])), ["TensorRT has no Unique"]),
        (graph(NODE("GridSample", ["x", "g"], ["y"])), ["GridSample needs TensorRT 8.5 or later"]),
        (graph(NODE("TopK", ["x", "k"], ["v", "i"]), k=np.array([32])), []),
        (graph(NODE("TopK", ["x", "k"], ["v", "i"]), k=np.array([4000])), ["takes fewer than 3840, here are 4000"]),
        (graph(NODE("TopK", ["x", "k"], ["v", "i"])), ["TopK of a number that is computed needs TensorRT 8.6"]),
        (graph(NODE("Resize", ["x"], ["y"], mode="cubic")), ["TensorRT has no cubic Resize"]),
        (graph(NODE("Cast", ["x"], ["y"], to=1), dtype=onnx.TensorProto.UINT8), ["bytes needs TensorRT 8.6 or later"]),
        (
            graph(NODE("If", ["x"], ["y"], then_branch=graph(NODE("NotAnOperator", ["x"], ["y"])).graph)),
            ["TensorRT has no NotAnOperator"],
        ),
    ],
    ids=["plain", "none", "since", "topk", "topk large", "topk computed", "cubic", "bytes", "inside"],
)
def test_what_stands_between_a_model_and_tensorrt(model: onnx.ModelProto, said: list[str]) -> None:
    remarks = tensorrt_operators.remarks(model)
    assert len(remarks) == len(said) and all(part in remark for part, remark in zip(said, remarks, strict=True))


def test_the_front_has_but_operators_of_tensorrt(tmp_path: Path) -> None:
    report = export(tiny_networks.tiny(), tmp_path / "m.onnx", ExportOptions((96, 64), front=True, dynamic=True))
    assert [remark.split(" needs")[0] for remark in report.remarks] == ["an input of bytes"]
    assert report.operators["TopK"] == 1 and "Constant" not in report.operators


def families() -> list:
    """Every network; of each file of networks the smallest runs always, the others where POSE_ROS_SLOW is set."""
    params, seen = [], set()
    counts = {name: weight_count(builder) for name, builder in zoo.networks().items()}
    for name in sorted(counts, key=lambda name: counts[name]):
        builder = zoo.networks()[name]
        family = getattr(builder, "func", builder).__module__
        is_first = family not in seen and counts[name] < LARGE
        seen.add(family)
        slow = [pytest.mark.slow, pytest.mark.skipif("POSE_ROS_SLOW" not in os.environ, reason="POSE_ROS_SLOW not set")]
        params.append(pytest.param(name, marks=[] if is_first else slow))
    return params


def weight_count(builder: zoo.Builder) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in builder().parameters())


@pytest.mark.parametrize("name", families())
def test_every_network_exports(tmp_path: Path, name: str) -> None:
    network = zoo.build(name)
    spec = network.spec.input
    side = max(2 * spec.multiple if spec.multiple >= 32 else 4 * spec.multiple, 64)
    report = export(network, tmp_path / "m.onnx", ExportOptions(spec.size_wh or (side, side)))
    assert set(report.differences) == {head.field for head in network.spec.heads}
    assert not [remark for remark in report.remarks if "has no" in remark]


def command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    return result.exit_code, result.output


def test_a_checkpoint_becomes_a_file_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "networks", lambda: {"tiny": tiny_networks.tiny})
    save_checkpoint(tiny_networks.tiny(), "tiny", tmp_path / "tiny.pt")
    (tmp_path / "[red]").mkdir()
    target = tmp_path / "[red]" / "model.onnx"
    code, text = command(tmp_path / "tiny.pt", "-o", target, "--size", "64x96", "--front", "--name", "mine")
    assert code == 0, text
    assert "mine" in text and "limb_scores" in text and "64 x 96 px" in text
    assert "[red]/model.onnx" in "".join(text.split())
    assert PoseEstimator.load(target).spec.name == "mine"


def test_random_weights_have_no_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "networks", lambda: {"tiny": tiny_networks.tiny})
    monkeypatch.chdir(tmp_path)
    code, text = command("--network", "tiny", "--random")
    assert code == 0, text
    assert "random weights" in shapes_metadata(tmp_path / "tiny.onnx")
    assert shapes(tmp_path / "tiny.onnx")["image"] == (None, 64, 96, 3)


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
def test_wrong_commands_are_refused(arguments: tuple[str, ...], message: str) -> None:
    code, text = command(*arguments)
    assert code == 1 and message in text
