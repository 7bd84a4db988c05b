"""Test ``pose_ros build-engine``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import fake_tensorrt
import pytest
from tiny_onnx import write_model
from typer.testing import CliRunner, Result

from pose_ros.cli import app
from pose_ros.runtime.cuda.driver import find_gpu
from pose_ros.runtime.tensorrt import probe


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Fake a machine with a GPU and TensorRT."""
    return fake_tensorrt.install(monkeypatch)


def build(model: Path, *settings: str, cache: str = "engines") -> Result:
    pairs = (f"runtime.cache={model.parent / cache}", *settings)
    return CliRunner().invoke(app, ["build-engine", str(model), *(word for pair in pairs for word in ("--set", pair))])


def test_an_engine_is_built_once_and_its_path_is_printed(trt: Any, tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny.onnx")
    first, second = build(model, "runtime.optimisation=4"), build(model, "runtime.optimisation=4")
    (plan,) = (tmp_path / "engines").glob("tiny-*.plan")
    for result, outcome in ((first, "built and loaded in"), (second, "already built, loaded in")):
        assert result.exit_code == 0 and result.stdout == f"{plan}\n", result.output
        pattern = rf"TensorRT 10\.3\.0 on Fake GPU in fp32: {outcome} \d+\.\d s, 0\.0 MB\n"
        assert re.search(pattern, result.stderr), result.stderr
    assert [build.level for build in trt.builds] == [4]


def test_the_default_model_is_the_model_of_this_package(trt: Any, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["build-engine", "--set", f"runtime.cache={tmp_path}"])
    assert result.exit_code == 0 and list(tmp_path.glob("default-*.plan")), result.output


def test_a_plan_that_cannot_be_saved_is_an_error(trt: Any, tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny.onnx")
    (tmp_path / "file").write_text("in the way")
    result = build(model, cache="file")
    assert result.exit_code == 1 and "cannot be stored" in result.stderr
    assert "pose_ros: engine: expected a writable folder" in result.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("runtime.precision=fp16",), "pose_ros: runtime.precision: expected auto or fp32"),
        (("runtime.most_size=9x9",), "pose_ros: RuntimeConfig: expected least_size <= best_size"),
        (("runtime.colour=red",), "pose_ros: runtime.colour: expected a setting such as backend, "),
    ],
    ids=["precision", "sizes", "unknown"],
)
def test_a_failed_build_is_reported_in_one_line(
    trt: Any, tmp_path: Path, settings: tuple[str, ...], message: str
) -> None:
    result = build(write_model(tmp_path / "tiny.onnx"), *settings)
    assert result.exit_code == 1 and message in result.stderr and not trt.builds


def test_a_missing_gpu_is_reported_with_a_fix(trt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "find_gpu", lambda index: find_gpu(index, "libcuda-missing.so"))
    result = build(write_model(tmp_path / "tiny.onnx"))
    assert result.exit_code == 1 and "expected an NVIDIA driver, got none" in result.stderr
    assert "install the NVIDIA driver" in result.stderr and not (tmp_path / "engines").exists()
