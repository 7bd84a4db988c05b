"""Measure import time, time to the first result, and memory, each in a new process.

python benchmarks/startup.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from measure import print_table

IMPORT_SCRIPT = """
import time
start = time.perf_counter()
import pose_ros.estimator
print(time.perf_counter() - start)
"""
FIRST_RESULT_SCRIPT = """
import time
start = time.perf_counter()
import numpy as np
from pose_ros.estimator import PoseEstimator
PoseEstimator.load().estimate(np.zeros((480, 640, 3), np.uint8))
print(time.perf_counter() - start)
"""
MEMORY_SCRIPT = """
import resource
import numpy as np
from pose_ros.estimator import PoseEstimator
estimator = PoseEstimator.load()
image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
for _ in range(20):
    estimator.estimate(image)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def run_script(script: str, cache: str) -> float:
    """Run a script in a new process and return the number that it prints. ``cache`` holds the compiled decoders."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    command = [sys.executable, "-c", script]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure and print the table."""
    cold = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(run_script(FIRST_RESULT_SCRIPT, cache))
    with tempfile.TemporaryDirectory() as cache:
        run_script(FIRST_RESULT_SCRIPT, cache)
        warm = [run_script(FIRST_RESULT_SCRIPT, cache) for _ in range(5)]
        imports = [run_script(IMPORT_SCRIPT, cache) for _ in range(5)]
        memory = run_script(MEMORY_SCRIPT, cache)
    median = statistics.median
    rows = [
        ("import pose_ros.estimator", f"{median(imports):.2f} s", "0.5 s"),
        ("first result, nothing compiled yet", f"{median(cold):.2f} s", "5 s"),
        ("first result, compiled before", f"{median(warm):.2f} s", "2 s"),
        ("peak memory of a process that runs the estimator", f"{memory:.0f} MB", "350 MB"),
    ]
    print_table("Start-up, default model, 640 x 480", ("measurement", "median", "limit"), rows)


if __name__ == "__main__":
    main()
