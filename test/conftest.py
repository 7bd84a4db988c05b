"""Folders from which the tests import, and one thread for each process.

The folders hold synthetic scenes, golden cases and fake GPUs, damaged data. The setting ``pythonpath`` does the same,
but the pytest of Ubuntu 22.04 (6.2) does not know it.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("benchmarks", "test/helpers", "test/fuzz")]

# The libraries read these when they are imported. More threads only wait for each other: the tests are small, and
# `make test` runs one process for each core.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
