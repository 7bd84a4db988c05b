"""What the doctor looks at: each probe is a few lines of Python, run in a process of its own.

A broken library may raise anything, end the process or hang; then only its probe fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

ABSENT = 44
"""Exit code of a probe that finds nothing."""
REFUSED = 45
"""Exit code of a probe that a runtime refuses: it prints the reason, and what to do on the next line."""

_TIMEOUT_S = 60
_PREPARED = f"""
import importlib.util, sys
sys.path.pop(0)  # the current folder is no place to import from
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
    """One thing to look at.

    Attributes:
        name: What it is, for people.
        module: What has to be importable; absent is not broken.
        code: Prints one line: version and whatever matters.
        use: What it is good for.
        pip: What to install with pip where it is missing.
        apt: What to install with apt in a sourced ROS 2; ``{distro}`` stands for its name.
        fix: Another way to get it, in words.
        required: Whether the library cannot work without.
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
        """How to get it on this machine."""
        distro = os.environ.get("ROS_DISTRO")
        if self.apt and distro:
            return f"sudo apt install {self.apt.format(distro=distro)}"
        return self.fix or f"{sys.executable} -m pip install {self.pip}"


@dataclass(frozen=True)
class Finding:
    """What a probe found.

    Attributes:
        probe: The probe.
        state: ``"ok"``, ``"missing"`` or ``"broken"``.
        text: Its line, or the error.
        fix: What to do, where the probe itself could tell.
    """

    probe: Probe
    state: str
    text: str
    fix: str = ""

    def remedy(self) -> str:
        """How to mend it on this machine."""
        return self.fix or self.probe.remedy()


def runtime_probe(name: str, module: str, code: str, use: str, pip: str = "", fix: str = "") -> Probe:
    """A probe whose code (one line) may raise Unavailable: its reason and fix are then the finding's."""
    return Probe(name, module, _RUNTIME.format(code=code), use, pip, fix=fix)


def examine(probes: Sequence[Probe]) -> list[Finding]:
    """Run all probes, several at a time."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_examined, probes))


def _examined(probe: Probe) -> Finding:
    command = [sys.executable, "-c", _PREPARED.format(module=probe.module) + probe.code]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        child = subprocess.run(
            command, env=env, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(probe, "broken", str(error))
    if child.returncode == ABSENT:
        return Finding(probe, "missing", "")
    if child.returncode == REFUSED:
        reason, _, fix = child.stdout.removesuffix("\n").rpartition("\n")
        return Finding(probe, "missing", _last_line(reason), fix)
    if child.returncode != 0:
        return Finding(probe, "broken", _last_line(child.stderr) or f"ended with code {child.returncode}")
    return Finding(probe, "ok", _last_line(child.stdout))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""
