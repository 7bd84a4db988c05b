"""Folders from which the tests import (synthetic scenes, golden cases, fake GPUs, damaged data), and Hypothesis."""

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("benchmarks", "test/helpers", "test/fuzz")]
# No deadline, because the first example compiles. Slow examples are no fault on a busy machine.
settings.register_profile("pose_ros", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pose_ros")
