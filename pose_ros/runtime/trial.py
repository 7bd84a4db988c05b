"""Load a new model file in a separate process first, so that a crash of the runtime becomes an error.

A damaged or malicious file can end the process inside a runtime's library, let it run for ever, or take all memory.
The trial costs the start of a process, once for each file and runtime. Its success is remembered by the checksum of
the file. Files of this package need no trial.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from pose_ros.config import RuntimeConfig
from pose_ros.files import user_cache
from pose_ros.runtime.model_checksum import model_sha256, sha256_of_json

TIMEOUT_S = 300.0
MEMORY_SHARE = 0.5
"""Share of the machine's memory that a network on the CPU may take for one run."""

OUT_OF_MEMORY = 46
"""Exit code of the process if it ran out of memory."""

_PACKAGE = Path(__file__).resolve().parents[1]
_PROGRAM = """
import sys
sys.path.pop(0)  # never import from the current folder
from pose_ros.runtime.trial_process import run_trial
run_trial(*sys.argv[1:])
"""
_INSIDE = "POSE_ROS_INSIDE_TRIAL"
"""Environment variable of the separate process, which loads the file without another trial."""


def try_new_file(path: Path, backend: str, config: RuntimeConfig) -> None:
    """Load a file that was never loaded before in a separate process, and run it once.

    An error in Python is no fault here: the caller gets the same error when it loads the file.

    Args:
        path: The model file.
        backend: Runtime that loads it.
        config: Runtime settings.

    Raises:
        ValueError: If the process crashed, did not end in time, or ran out of memory.
    """
    if _INSIDE in os.environ or not sys.executable or path.resolve().is_relative_to(_PACKAGE):
        return
    known = _record(path, backend, config)
    if known is not None and os.path.exists(known):
        return
    fault = _run_in_process(path, backend, config)
    if fault:
        raise ValueError(f"model {path}: expected a network that {backend} can run, got {fault}; check its origin")
    if known is not None:
        with suppress(OSError):  # without a writable cache, each start tries the file again
            known.parent.mkdir(parents=True, exist_ok=True)
            known.touch()


def _record(path: Path, backend: str, config: RuntimeConfig) -> Path | None:
    """Return the file that exists once the model was tried. None if this user has no home."""
    version = ""
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version({"onnx": "onnxruntime"}.get(backend, backend))
    settings = [backend, version, config.device, config.provider, config.precision]
    try:
        return user_cache("tried_models") / sha256_of_json([model_sha256(path), *settings])
    except RuntimeError:
        return None


def _run_in_process(path: Path, backend: str, config: RuntimeConfig) -> str:
    """Run the trial. Return its fault in a few words, or nothing."""
    command = [sys.executable, "-c", _PROGRAM, str(path.absolute()), backend, json.dumps(asdict(config))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), _INSIDE: "1"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
            start_new_session=True,  # Ctrl-C is for the caller
        )
    except subprocess.TimeoutExpired:
        return f"no result of one run within {TIMEOUT_S:g} s"
    if done.returncode == OUT_OF_MEMORY:
        return f"one that needs more than {MEMORY_SHARE:.0%} of the memory"
    if done.returncode < 0:
        return f"a crash of its process ({signal.Signals(-done.returncode).name})"
    return ""
