"""Choose the Python for the environment, and report missing system packages."""

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
ROS_WHEELS = ((3, 10), (3, 11), (3, 12), (3, 13), (3, 14))  # Python versions with wheels of the pinned ROS 2, on x86-64
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
    """Python interpreter of the machine.

    Attributes:
        executable: Path of the interpreter.
        version: Major and minor version.
        has_venv: Whether it can create virtual environments.
        include: Folder of Python.h, if installed.
        has_rclpy: Whether it can import rclpy. False if no ROS 2 is sourced.
        numpy: Version of numpy. None = missing, or no ROS 2 is sourced.
    """

    executable: str
    version: tuple[int, int]
    has_venv: bool
    include: str
    has_rclpy: bool
    numpy: str | None

    @property
    def name(self) -> str:
        """Name in distributions, such as python3.12."""
        return "python{}.{}".format(*self.version)

    @property
    def has_headers(self) -> bool:
        """Whether Python.h is installed, so that C extensions can be built."""
        return Path(self.include, "Python.h").is_file()

    @property
    def has_known_ros_wheels(self) -> bool:
        """Whether wheels of the pinned ROS 2 are known to exist. If not known, pip must search for them."""
        return self.version in ROS_WHEELS and platform.machine() == "x86_64"


def choose_python(wanted: str | None, venv: Path, distro: str | None) -> Python:
    """Choose the Python for the environment.

    Args:
        wanted: Name or path that the user chose. None = search for the best one.
        venv: Environment of the checkout. Its Python is kept if it is still suitable.
        distro: Name of the sourced ROS 2 distribution. None = no ROS 2 is sourced.

    Raises:
        SetupError: No Python is suitable.
    """
    found = []
    for python in _candidates(wanted, venv):
        if python.has_rclpy if distro else python.version in ROS_WHEELS:
            return python
        found.append(python)
    if distro:
        tried = ", ".join(python.executable for python in found) or wanted or "no python3 on PATH"
        raise SetupError(f"ROS 2 {distro} is sourced, but {tried} cannot import rclpy; set PYTHON=<path of its Python>")
    for python in found:
        if python.version >= OLDEST:
            return python
    got = found[0].name if found else f"no working {wanted or 'python3'}"
    raise SetupError(
        f"python: expected 3.10 or newer, got {got}; run sudo apt install python3.12, or set PYTHON=<path>"
    )


def require_tools(python: Python, distro: str | None, *, builds: bool) -> None:
    """Raise SetupError with the packages to install if a system tool is missing."""
    missing = []
    if builds:
        missing += [tool for tool in ("g++", "make") if not shutil.which(tool)]
    missing += [f"{python.name}-dev"] if distro and not python.has_headers else []
    missing += [] if python.has_venv else [f"{python.name}-venv"]
    if missing:
        raise SetupError(f"missing: {' and '.join(missing)}; run sudo apt install {' '.join(missing)}")


def search_path(venv: Path) -> str:
    """Return PATH without the environment, which may be active in the shell of the user."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if Path(folder) != venv / "bin")


def _candidates(wanted: str | None, venv: Path) -> Iterator[Python]:
    saved = venv / "base_python"
    names = ["python3", *("python{}.{}".format(*version) for version in reversed(ROS_WHEELS)), "/usr/bin/python3"]
    if saved.is_file():
        names.insert(0, saved.read_text())
    for name in [wanted] if wanted else names:
        python = _probe(name, search_path(venv))
        if python:
            yield python


def _probe(name: str, path: str) -> Python | None:
    executable = shutil.which(name, path=path)
    if not executable:
        return None
    result = subprocess.run([executable, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if result.returncode:
        return None
    facts = json.loads(result.stdout)
    return Python(**{**facts, "version": tuple(facts["version"])})
