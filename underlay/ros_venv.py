#!/usr/bin/env python3
"""Make a virtual environment for a colcon workspace, with the Python packages of pose_ros.

It also sees the packages of the system, such as rclpy. pip installs only into the environment, so the Python of the
system stays as it is. NumPy keeps the major version of the system, for which the messages of ROS 2 were built.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from environment import COVERAGE, Environment, run
from pythons import choose_python, require_tools
from requirements import read_requirements
from steps import SetupError
from workspace import check_path

ROOT = Path(__file__).resolve().parents[1]
CHECK = "import cv2, numba, numpy, onnxruntime, rclpy, rosbags, typer, yaml; print(numpy.__version__, numpy.__file__)"
DEVELOPER_TOOLS = ("mypy", "ruff", "types-PyYAML")


def find_workspace(wanted: str | None) -> Path:
    """Return the folder of the colcon workspace: the one with the folder ``src`` that contains this checkout.

    Raises:
        SetupError: There is none.
    """
    if wanted:
        return Path(wanted).expanduser().resolve()
    shell = Path(os.environ.get("PWD", ROOT))  # src/pose_ros may be a link
    clone = shell if shell.resolve() == ROOT else ROOT
    for folder in clone.parents:
        if folder.name == "src":
            return folder.parent
    raise SetupError(f"workspace: expected a checkout below <workspace>/src, got {clone}; set WS=<workspace>")


def make(workspace: Path, python_name: str | None, has_tests: bool) -> Environment:
    """Make the environment ``.venv`` of a workspace, or bring it up to date.

    Raises:
        SetupError: No ROS 2 is sourced, or a package cannot be installed or imported.
    """
    distro = os.environ.get("ROS_DISTRO")
    if not distro:
        raise SetupError("no ROS 2 is sourced; run: source /opt/ros/<distro>/setup.bash")
    check_path(workspace)
    env = Environment(workspace, choose_python(python_name, workspace / ".venv", distro), distro)
    require_tools(env.python, distro, builds=True)
    if not env.executable.exists():
        env.create()
    (env.prefix / "COLCON_IGNORE").touch()  # colcon searches no packages in here
    requirements = read_requirements(ROOT / "pyproject.toml") + read_requirements(ROOT / "pyproject.toml", "view")
    if has_tests:
        tests = read_requirements(ROOT / "pyproject.toml", "dev")
        requirements += [each for each in tests if not each.startswith(DEVELOPER_TOOLS)]
    env.pip("install", "--constraint", str(env.write_numpy_constraint()), COVERAGE, *requirements)
    version, _, folder = (
        run([str(env.executable), "-c", CHECK], env.variables()).strip().rpartition("\n")[2].partition(" ")
    )
    print(f"  NumPy {version} ({folder}); NumPy of the system: {env.python.numpy or 'none'}")
    return env


def main() -> int:
    """Make the environment. Returns the exit status: 1 = failed, with the reason on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workspace", help="folder of the workspace (default: the one that contains this checkout)")
    parser.add_argument("--python", help="Python to use, name or path (default: the one that can import rclpy)")
    parser.add_argument("--tests", action="store_true", help="also install what colcon test needs")
    wanted = parser.parse_args()
    try:
        env = make(find_workspace(wanted.workspace), wanted.python, wanted.tests)
    except SetupError as error:
        print(f"make venv failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nmake venv interrupted; run it again to continue", file=sys.stderr)
        return 130
    print(
        f"done. In every shell, after sourcing ROS 2:\n\n    source {shlex.quote(str(env.prefix / 'bin/activate'))}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
