"""Fixture of the tests of the program: the default network is loaded once for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner
from pose_ros.runtime.runner import Runner


@pytest.fixture(scope="session")
def default_runners() -> dict[RuntimeConfig, Runner]:
    """Return the networks of the default model that the tests have loaded, by the settings."""
    return {}


@pytest.fixture(autouse=True)
def share_default_network(default_runners: dict[RuntimeConfig, Runner], monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the default model once for each combination of settings, which takes half a second. It stays open."""

    def load(path: Path, config: RuntimeConfig, *callbacks: Any) -> Runner:
        if path != DEFAULT_MODEL:
            return load_runner(path, config, *callbacks)
        if config not in default_runners:
            default_runners[config] = runner = load_runner(path, config, *callbacks)
            runner.close = lambda: None
        return default_runners[config]

    monkeypatch.setattr("pose_ros.estimator.load_runner", load)
