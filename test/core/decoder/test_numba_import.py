"""Test that numba is loaded without SciPy, and that other programs can still multiply matrices."""

import subprocess
import sys

import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

OURS = """
import sys
import numpy as np
from pose_ros.decoder.matching import sort_descending
sort_descending(np.array([1.0, 3.0, 2.0]))
print("scipy.linalg" in sys.modules)
"""
THEIRS = """
import numba
import numpy as np
import pose_ros.decoder.jit
print(numba.njit(lambda a: np.dot(a, a))(np.eye(2) * 3)[1, 1])
"""
WITHOUT_SCIPY = "import sys; sys.modules['scipy'] = None\n"


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def test_compiled_functions_load_no_scipy() -> None:
    assert run(OURS) == "False"


def test_functions_of_other_programs_still_multiply_matrices() -> None:
    assert run(THEIRS) == "9.0"


def test_without_scipy_nothing_changes() -> None:
    assert run(WITHOUT_SCIPY + OURS) == "False"
