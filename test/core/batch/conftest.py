"""Fixtures of the tests of batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from batch_pool import InlinePool, find_by_brightness
from cli_runner import run as run_program
from typer.testing import Result

from pose_ros.estimator import PoseEstimator


@pytest.fixture(autouse=True)
def load_the_default_model_once(share_default_network: None) -> None:
    """Load the default model once for all tests of batches."""


@pytest.fixture
def people_by_brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find people whose place follows from the pixels, without a network."""
    monkeypatch.setattr(PoseEstimator, "process_batch", find_by_brightness)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[InlinePool]:
    """Run the workers of ``pose_ros batch`` in this process. The pools of all runs are in the list."""
    opened: list[InlinePool] = []

    def open_pool(recipe: Any, jobs: int, ray: str | None, gpus: float) -> InlinePool:
        opened.append(InlinePool(recipe, jobs))
        return opened[-1]

    monkeypatch.setattr("pose_ros.cli.batch._open_pool", open_pool)
    return opened


@pytest.fixture
def batch(people_by_brightness: None, pools: list[InlinePool], tmp_path: Path) -> Any:
    """Return a function that runs ``pose_ros batch INPUTS -o out`` in this process."""

    def run(*arguments: object) -> Result:
        return run_program("batch", *arguments, "--out", tmp_path / "out", "--runtime", "onnx", "--threads", 1)

    return run
