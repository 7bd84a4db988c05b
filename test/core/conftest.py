"""Fixtures of the tests that need no ROS."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # more of them only wait for one another on a small machine
# A shell's background jobs ignore Ctrl-C, and what they start inherits that: the programs under test must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("pose_ros", deadline=None, derandomize=True)  # the first example compiles
settings.load_profile("pose_ros")

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("POSE_ROS_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Photos and public models, where they are at hand."""
    if not SHARED.is_dir():
        pytest.skip(f"the folder of photos and public models is not here ({SHARED})")
    return SHARED
