"""Read MATLAB files with scipy, in a process of its own.

Damaged files end scipy with SIGSEGV or SIGBUS. In its own process, such a file is an error like any other.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

_MEMORY_BYTES = 8 << 30
_TIME_S = 600


def load_mat(file: Path) -> dict[str, Any]:
    """Load a MATLAB file.

    Returns:
        The variables by name. A struct has its fields as attributes.

    Raises:
        ImportError: If scipy is missing.
        ValueError: If the file cannot be read.
    """
    if importlib.util.find_spec("scipy") is None:
        raise ImportError(f"labels {file}: expected scipy, which is not installed; run pip install scipy")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pose_ros.datasets.mat_file", str(file.resolve())]
    try:
        child = subprocess.run(command, check=False, capture_output=True, env=environment, timeout=_TIME_S)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"labels {file}: expected a MATLAB file, got one that takes more than {_TIME_S} s") from error
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise ValueError(f"labels {file}: expected a MATLAB file, got a damaged one, which ends scipy with {name}")
    if child.returncode:
        lines = child.stderr.decode(errors="replace").split("\n")
        reason = next((line for line in reversed(lines) if line.strip()), "no reason")
        raise ValueError(f"labels {file}: expected a MATLAB file, got {reason:.300}")
    content: dict[str, Any] = pickle.loads(child.stdout)  # from our own process
    return content


def _serve(file: str) -> None:
    """Write the variables of a file to the standard output."""
    from scipy.io import loadmat

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    try:
        content = loadmat(file, squeeze_me=True, struct_as_record=False)
    except Exception as error:  # scipy raises many types of errors for a damaged file
        sys.exit(" ".join(f"{type(error).__name__}: {error}".split()))
    variables = {name: value for name, value in content.items() if not name.startswith("__")}
    sys.stdout.buffer.write(pickle.dumps(variables, pickle.HIGHEST_PROTOCOL))


if __name__ == "__main__":
    _serve(sys.argv[1])
