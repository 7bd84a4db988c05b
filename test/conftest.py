"""Settings of all tests: folders to import from, Hypothesis, one thread per process, one test at a time on the GPU.

The folders hold synthetic scenes, golden cases and fake GPUs, damaged data.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("benchmarks", "test/helpers", "test/fuzz")]

# The libraries read these when they are imported. More threads only wait for each other: the tests are small, and
# `make test` runs one process for each core.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# No deadline, because the first example compiles. Slow examples are no fault on a busy machine.
settings.register_profile("pose_ros", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pose_ros")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let one worker of pytest-xdist at a time use the GPU, because tests read its free memory."""
    if item.get_closest_marker("gpu") is None:
        yield
        return
    handle = os.open(ROOT / "test/gpu", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
