"""Which Python to build the environment on, and what the machine lacks for it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from steps import SetupError

OLDEST = (3, 10)
ROS_WHEELS = ((3, 10), (3, 11), (3, 12), (3, 13), (3, 14))  # the Pythons for which the pinned ROS 2 is built, on x86-64
PROBE = """
import importlib.util, json, os, sys, sysconfig
def version_of(name):
    try: return __import__(name).__version__
    except Exception: return None
def can_import(name):
    try: return bool(__import__(name))
    except Exception: return False
print(json.dumps(dict(
    executable=sys.executable, version=sys.version_info[:2],
    has_venv=importlib.util.find_spec("ensurepip") is not None,
    include=sysconfig.get_paths()["include"],
    has_rclpy=bool(os.environ.get("ROS_DISTRO")) and can_import("rclpy"),
    numpy=version_of("numpy") if os.environ.get("ROS_DISTRO") else None,
)))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter of the machine, and what it brings. Only where ROS is sourced is it asked for rclpy and numpy."""

    executable: str
    version: tuple[int, int]
    has_venv: bool
    include: str
    has_rclpy: bool
    numpy: str | None

    @property
    def name(self) -> str:
        """As distributions call it: python3.12."""
        return "python{}.{}".format(*self.version)

    @property
    def has_headers(self) -> bool:
        """Whether programs in C can be built for it."""
        return Path(self.include, "Python.h").is_file()

    @property
    def surely_has_ros_wheels(self) -> bool:
        """Whether the pinned ROS 2 is known to be built for it; otherwise pip has to be asked."""
        return self.version in ROS_WHEELS and platform.machine() == "x86_64"


def choose(wanted: str | None, venv: Path, distro: str | None) -> Python:
    """The Python to build on.

    Args:
        wanted: The user's choice, if any.
        venv: The environment in the checkout: the Python that it was made with is kept if it still fits.
        distro: The ROS 2 distribution that is sourced, or None.

    Raises:
        SetupError: None fits.
    """
    found = []
    for python in _candidates(wanted, venv):
        if python.has_rclpy if distro else python.version in ROS_WHEELS:
            return python
        found.append(python)
    if distro:
        tried = ", ".join(python.executable for python in found) or wanted or "no python3 on PATH"
        raise SetupError(f"ROS 2 {distro} is sourced, but rclpy cannot be imported by {tried}: set PYTHON=<its python>")
    for python in found:
        if python.version >= OLDEST:
            return python
    got = found[0].name if found else f"nothing that runs as {wanted or 'python3'}"
    raise SetupError(f"python: expected 3.10 or newer, got {got}: sudo apt install python3.12, or set PYTHON=<path>")


def require_tools(python: Python, distro: str | None, *, builds: bool) -> None:
    """Raises SetupError, naming the packages to install, if a tool of the system is missing."""
    missing = []
    if builds:
        missing += [tool for tool in ("g++", "make") if not shutil.which(tool)]
    missing += [f"{python.name}-dev"] if distro and not python.has_headers else []
    missing += [] if python.has_venv else [f"{python.name}-venv"]
    if missing:
        raise SetupError(f"this machine lacks {' and '.join(missing)}: sudo apt install {' '.join(missing)}")


def search_path(venv: Path) -> str:
    """PATH without the environment itself, which may be active in the user's shell."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if Path(folder) != venv / "bin")


def _candidates(wanted: str | None, venv: Path) -> Iterator[Python]:
    remembered = venv / "base_python"
    names = ["python3", *("python{}.{}".format(*version) for version in reversed(ROS_WHEELS)), "/usr/bin/python3"]
    if remembered.is_file():
        names.insert(0, remembered.read_text())
    for name in [wanted] if wanted else names:
        python = _probe(name, search_path(venv))
        if python:
            yield python


def _probe(name: str, path: str) -> Python | None:
    executable = shutil.which(name, path=path)
    if not executable:
        return None
    answer = subprocess.run([executable, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if answer.returncode:
        return None
    facts = json.loads(answer.stdout)
    return Python(**{**facts, "version": tuple(facts["version"])})
