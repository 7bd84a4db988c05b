"""Settings and fixtures of the tests that do not need ROS."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from pose_ros.runtime import trial
from pose_ros.runtime.telemetry import disable_telemetry

os.environ.setdefault("OMP_NUM_THREADS", "1")  # on a small machine, more threads only wait for each other
disable_telemetry()  # some tests import the libraries themselves
# Background jobs of a shell ignore Ctrl-C, and so do their child processes. The tested programs must not ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile(
    "pose_ros", deadline=None, derandomize=True
)  # no deadline, because the first example compiles
settings.load_profile("pose_ros")

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("POSE_ROS_SHARED", ROOT.parent / "shared"))


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
