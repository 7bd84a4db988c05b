"""Fixtures: a machine with the fake TensorRT, and a model for it.

Use them with ``pytest_plugins = ["tensorrt_fixtures"]``.
"""

from __future__ import annotations

from pathlib import Path

import fake_cuda
import fake_tensorrt
import pytest
from tiny_onnx import write_model

from pose_ros.config import RuntimeConfig


@pytest.fixture
def machine() -> fake_cuda.Machine:
    return fake_cuda.Machine()


@pytest.fixture
def install(machine: fake_cuda.Machine, monkeypatch: pytest.MonkeyPatch) -> fake_tensorrt.Install:
    """Function that installs a version of TensorRT and a GPU on this machine."""
    return lambda version="10.3.0": fake_tensorrt.install(monkeypatch, version, machine)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.onnx")


@pytest.fixture
def config(tmp_path: Path) -> RuntimeConfig:
    return RuntimeConfig(cache=str(tmp_path / "engines"), least_size="64x64", best_size="64x96", most_size="256x256")
