"""Test the PyTorch runner, the reference for the other runtimes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")

import scene
import tiny_networks
import torch

from pose_ros.checkpoint import save_checkpoint
from pose_ros.cli import app
from pose_ros.config import EstimatorConfig, RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.export.to_onnx import ExportOptions, export
from pose_ros.fields import METADATA_KEY
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.network import zoo
from pose_ros.runtime import load_runner
from pose_ros.runtime.runner import Runner


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Checkpoint of a network with random weights."""
    tiny_networks.seed_torch()
    monkeypatch.setattr(zoo, "networks", lambda: {"tiny": tiny_networks.make_tiny})
    save_checkpoint(tiny_networks.make_tiny(), "tiny", tmp_path / "tiny.pt")
    return tmp_path / "tiny.pt"


def make_image(batch: int = 1, shape_hw: tuple[int, int] = (64, 96)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (batch, *shape_hw, 3), np.uint8)


def agree(runner: Runner, other: Runner, images: np.ndarray) -> bool:
    a, b = runner.run({"image": images}), other.run({"image": images})
    return sorted(a) == sorted(b) and all(np.allclose(a[name], b[name], atol=1e-5) for name in a)


def test_the_default_model_runs_from_its_onnx_file() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 96, 64, 3), np.uint8)
    with load_runner(DEFAULT_MODEL, RuntimeConfig(backend="torch", threads=1)) as runner:
        fields = runner.run({"image": image})
    with load_runner(DEFAULT_MODEL, RuntimeConfig(backend="onnx", threads=1)) as reference:
        for name, expected in reference.run({"image": image}).items():
            np.testing.assert_allclose(fields[name], expected, atol=1e-3 * np.ptp(expected))


@pytest.mark.parametrize(
    "images", [make_image(), make_image(3), make_image(2, (80, 32))], ids=["one", "three", "another size"]
)
def test_torch_and_onnx_runtime_agree(checkpoint: Path, images: np.ndarray) -> None:
    with load_runner(checkpoint, RuntimeConfig(backend="torch", threads=1)) as runner:
        network = tiny_networks.make_tiny()
        network.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
        file = export(network, checkpoint.with_name("m.onnx"), ExportOptions((96, 64), dynamic=True)).path
        with load_runner(file, RuntimeConfig(backend="onnx", threads=1)) as other:
            assert agree(runner, other, images)
            assert json.loads(runner.metadata[METADATA_KEY]) == json.loads(other.metadata[METADATA_KEY])


def test_the_runner_describes_itself(checkpoint: Path) -> None:
    with load_runner(checkpoint, RuntimeConfig()) as runner:  # not .onnx, so auto is torch
        assert [(t.name, t.shape, t.dtype.name) for t in runner.inputs] == [("image", (None, None, None, 3), "uint8")]
        assert [t.name for t in runner.outputs] == ["heatmaps", "pafs"]
        assert runner.description.startswith("PyTorch") and runner.description.endswith("on the CPU")
        outputs = runner.run({"image": make_image()}, ["pafs"])
        assert list(outputs) == ["pafs"] and outputs["pafs"].flags.c_contiguous and outputs["pafs"].shape[1] == 42
        with pytest.raises(ValueError, match=r"expected shape \(any, any, any, 3\)"):
            runner.run({"image": make_image()[..., :2]})


def test_outputs_belong_to_the_caller(checkpoint: Path) -> None:
    with load_runner(checkpoint, RuntimeConfig()) as runner:
        first = runner.run({"image": make_image()})["heatmaps"]
        first[:] = 0
        assert runner.run({"image": make_image()})["heatmaps"].max() > 0


def test_a_network_of_fixed_size_reports_its_size(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_networks.make_tiny(input=tiny_networks.replace(tiny_networks.INPUT, size_wh=(48, 64)))
    save_checkpoint(network, "tiny", checkpoint)
    with load_runner(checkpoint, RuntimeConfig()) as runner:
        assert runner.inputs[0].shape == (None, 64, 48, 3)
    estimator = PoseEstimator.load(checkpoint)
    assert estimator.spec.input.size_wh == (48, 64)
    assert estimator.estimate(np.zeros((100, 100, 3), np.uint8)).keypoints.shape[1:] == (18, 2)


def test_several_threads_may_share_a_runner(checkpoint: Path) -> None:
    with load_runner(checkpoint, RuntimeConfig(threads=1)) as runner:
        expected, got = runner.run({"image": make_image()})["pafs"], []
        threads = [threading.Thread(target=lambda: got.append(runner.run({"image": make_image()}))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(got) == 4 and all(np.array_equal(outputs["pafs"], expected) for outputs in got)


def test_an_estimator_runs_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields, _ = scene.fields(3, (46, 82))
    tensors = {"heatmaps": torch.from_numpy(fields.heatmaps), "pafs": torch.from_numpy(fields.pafs)}
    monkeypatch.setattr(zoo, "networks", lambda: {"painted": lambda _=None: tiny_networks.Painted(tensors)})
    save_checkpoint(tiny_networks.Painted(tensors), "painted", tmp_path / "p.pt")
    estimator = PoseEstimator.load(tmp_path / "p.pt", runtime="torch", config=EstimatorConfig())
    assert len(estimator.estimate(np.zeros((368, 656, 3), np.uint8))) == 3
    assert estimator.model_name.startswith("painted-")


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("tiny.pt", {"precision": "fp16"}, "expected device cuda for precision fp16, got auto"),
        ("nothing.pt", {}, r"expected an ONNX file or a checkpoint, got .*nothing\.pt, which does not exist"),
        ("tiny.pt", {"backend": "onnx"}, "expected a readable ONNX network"),
        ("text.pt", {}, "expected a complete torch file"),
    ],
)
def test_wrong_files_and_settings_are_refused(checkpoint: Path, name: str, config: dict, message: str) -> None:
    (checkpoint.parent / "text.pt").write_text("not a checkpoint")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_runner(checkpoint.parent / name, RuntimeConfig(**config))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="expected a GPU for device cuda, got none that PyTorch can use"):
        load_runner(checkpoint, RuntimeConfig(device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch can use")
@pytest.mark.parametrize("half", [False, True], ids=["float32", "half"])
def test_the_gpu_agrees_with_the_cpu(checkpoint: Path, half: bool) -> None:
    with (
        load_runner(checkpoint, RuntimeConfig()) as expected,
        load_runner(checkpoint, RuntimeConfig(device="cuda", precision="fp16" if half else "auto")) as runner,
    ):
        for images in (make_image(), make_image(2), make_image(1, (80, 32)), make_image()):
            a, b = expected.run({"image": images}), runner.run({"image": images})
            assert all(np.allclose(a[name], b[name], atol=2e-2 if half else 1e-3) for name in a)


def test_the_memory_of_the_gpu_is_reported(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gpu: (3 << gpu, 8 << gpu))
    with load_runner(checkpoint, RuntimeConfig()) as runner:
        assert runner.gpu_memory_bytes() is None, "it runs on the CPU"
        monkeypatch.setattr(runner, "_gpu", 1)
        assert runner.gpu_memory_bytes() == (10, 16)
    assert runner.gpu_memory_bytes() is None


def test_a_missing_gpu_is_refused(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="expected GPU 1, got 1 in total; set gpu, the first is 0"):
        load_runner(checkpoint, RuntimeConfig(device="cuda", gpu=1))


def test_a_checkpoint_can_be_shown(checkpoint: Path) -> None:
    result = CliRunner().invoke(app, ["models", "show", str(checkpoint)])
    assert result.exit_code == 0, result.output
    assert "tiny" in result.output and "pafs: float32" in result.output


def test_without_torch_the_error_says_what_to_install(checkpoint: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from pose_ros.config import RuntimeConfig\n"
        "from pose_ros.runtime import load_runner\n"
        f"load_runner({str(checkpoint)!r}, RuntimeConfig())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "expected the package torch to run a checkpoint" in done.stderr and "pip install torch" in done.stderr


def test_the_command_line_loads_no_torch() -> None:
    script = "import sys, pose_ros.cli, pose_ros.estimator, pose_ros.runtime; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_closed_runner_raises_and_may_be_closed_again(checkpoint: Path) -> None:
    runner = load_runner(checkpoint, RuntimeConfig(backend="torch"))
    runner.close()
    runner.close()
    with pytest.raises(ValueError, match="expected an open runner, got a closed one"):
        runner.run({"image": np.zeros((1, 64, 64, 3), np.uint8)})
