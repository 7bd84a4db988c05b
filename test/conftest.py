"""Folders from which the tests import: synthetic scenes, golden cases and fake GPUs, damaged data.

The setting ``pythonpath`` does the same, but the pytest of Ubuntu 22.04 (6.2) does not know it.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("benchmarks", "test/helpers", "test/fuzz")]
