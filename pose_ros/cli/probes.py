"""Probes of ``pose_ros doctor``: each is a few lines of Python that run in a separate process.

A broken library may raise any exception, end the process or hang. Then only its own probe fails.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import distributions

ABSENT = 44
"""Exit code of a probe if its module is not installed."""
REFUSED = 45
"""Exit code of a probe if its runtime is unavailable. The probe prints the reason, and the fix on the next line."""

_TIMEOUT_S = 60
_OTHER_NUMPY = ("_ARRAY_API not found", "numpy.core.multiarray failed to import", "numpy.dtype size changed")
"""Texts of an error of a library that was built for another major version of NumPy."""
_WORKSPACE_FIX = "in the ROS 2 workspace: make -C src/pose_ros venv, then source .venv/bin/activate"
_OTHER_NUMPY_FIX = (
    "it was built for another NumPy than the installed {}. If pip installed that one for the whole system or user:\n"
    f"  pip uninstall numpy, then {_WORKSPACE_FIX}"
)
_OLD_COVERAGE = ("module 'coverage' has no attribute", "module 'coverage.types' has no attribute")
"""Texts of an error of numba beside a coverage before 7.6.1, such as the one that colcon of apt brings."""
_COVERAGE_FIX = f"{sys.executable} -m pip install 'coverage>=7.6.1'"
_PREAMBLE = f"""
import importlib.util, sys
sys.path.pop(0)  # never import from the current folder
try:
    found = importlib.util.find_spec({{module!r}})
except ModuleNotFoundError:
    found = None
if found is None:
    sys.exit({ABSENT})
"""
_RUNTIME = f"""
from pose_ros.runtime.runner import Unavailable
try:
    {{code}}
except Unavailable as error:
    print(*(" ".join(text.split()) for text in (error.reason, error.fix)), sep="\\n")
    sys.exit({REFUSED})
"""


@dataclass(frozen=True)
class Probe:
    """Check of one library or device.

    Attributes:
        name: Name to display.
        module: Module to import. A module that is not installed is missing, not broken.
        code: Python code that prints one line: the version and other facts.
        use: Feature that needs it.
        pip: Package to install with pip.
        apt: Package to install with apt if a ROS 2 is sourced. ``{distro}`` is replaced with its name.
        fix: Instruction for another way to install it.
        required: Whether pose_ros cannot work without it.
    """

    name: str
    module: str
    code: str
    use: str
    pip: str = ""
    apt: str = ""
    fix: str = ""
    required: bool = False

    def remedy(self) -> str:
        """Command or instruction to install it on this machine."""
        distro = os.environ.get("ROS_DISTRO")
        if self.apt and distro:
            return f"sudo apt install {self.apt.format(distro=distro)}"
        if self.pip and _is_python_of_the_system_with_ros():
            return _WORKSPACE_FIX
        return self.fix or f"{sys.executable} -m pip install {shlex.quote(self.pip)}"


@dataclass(frozen=True)
class Finding:
    """Result of a probe.

    Attributes:
        probe: Probe that ran.
        state: ``"ok"``, ``"missing"`` or ``"broken"``.
        text: Output line of the probe, or the error.
        fix: Instruction from the probe itself. Empty = the one of ``probe``.
    """

    probe: Probe
    state: str
    text: str
    fix: str = ""

    def remedy(self) -> str:
        """Command or instruction to fix it on this machine."""
        return self.fix or self.probe.remedy()


def runtime_probe(name: str, module: str, code: str, use: str, pip: str = "", fix: str = "") -> Probe:
    """Make a probe of one line of code that may raise Unavailable. The finding gets its reason and fix."""
    return Probe(name, module, _RUNTIME.format(code=code), use, pip, fix=fix)


def examine(probes: Sequence[Probe]) -> list[Finding]:
    """Run all probes in parallel."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_run_probe, probes))


def _run_probe(probe: Probe) -> Finding:
    command = [sys.executable, "-c", _PREAMBLE.format(module=probe.module) + probe.code]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        child = subprocess.run(
            command, env=env, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding(probe, "broken", f"no answer within {_TIMEOUT_S} s; run pose_ros doctor again")
    except OSError as error:
        return Finding(probe, "broken", str(error))
    if child.returncode == ABSENT:
        return Finding(probe, "missing", "")
    if child.returncode == REFUSED:
        reason, _, fix = child.stdout.removesuffix("\n").rpartition("\n")
        return Finding(probe, "missing", _last_line(reason), _name_python(fix))
    if child.returncode != 0:
        text = _last_line(child.stderr) or f"ended with code {child.returncode}"
        return Finding(probe, "broken", text, _find_cure(child.stderr))
    return Finding(probe, "ok", _last_line(child.stdout))


def _is_python_of_the_system_with_ros() -> bool:
    """Whether pip would change the Python that the sourced ROS 2 uses."""
    return bool(os.environ.get("ROS_DISTRO")) and sys.prefix == sys.base_prefix


def _find_cure(error: str) -> str:
    """Return the fix of an error that is known to come from two packages that do not suit each other, or nothing."""
    if any(text in error for text in _OTHER_NUMPY):
        return _OTHER_NUMPY_FIX.format(_find_numpy())
    if any(text in error for text in _OLD_COVERAGE):
        return _WORKSPACE_FIX if _is_python_of_the_system_with_ros() else _COVERAGE_FIX
    return ""


def _find_numpy() -> str:
    """Return the version and the folder of the NumPy that Python finds."""
    for package in distributions(name="numpy"):  # the first one is imported, the others are hidden
        return f"{package.version} in {package.locate_file('')}"
    return "the installed one"


def _name_python(fix: str) -> str:
    """Name the Python that runs this program in a fix by pip."""
    return f"{sys.executable} -m {fix}" if fix.startswith("pip install ") else fix


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
