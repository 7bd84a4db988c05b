"""Settings and fixtures of the tests that do not need ROS."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from shared_folder import SHARED

from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner, trial
from pose_ros.runtime.runner import Runner
from pose_ros.runtime.telemetry import disable_telemetry

disable_telemetry()  # some tests import the libraries themselves
# Background jobs of a shell ignore Ctrl-C, and so do their child processes. The tested programs must not ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of photos and public models. Skip the test if it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"the folder of photos and public models is missing ({SHARED})")
    return SHARED


@pytest.fixture(autouse=True)
def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the models of the tests without a trial in a separate process, which takes a second for each."""
    monkeypatch.setattr(trial, "_PACKAGE", Path("/"))


@pytest.fixture
def without_av(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide PyAV, so that OpenCV reads and writes videos."""
    monkeypatch.setitem(sys.modules, "av", None)


@pytest.fixture(params=["av", "opencv"])
def video_library(request: pytest.FixtureRequest) -> str:
    """Read and write videos by each library that can."""
    if request.param == "av":
        pytest.importorskip("av", reason="needs PyAV: pip install 'av>=17'")
    else:
        request.getfixturevalue("without_av")
    return request.param


@pytest.fixture(scope="session")
def default_runners() -> dict[RuntimeConfig, Runner]:
    """Return the networks of the default model that the tests have loaded, by the settings."""
    return {}


@pytest.fixture
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
