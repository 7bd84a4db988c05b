#!/usr/bin/env python3
"""Set up a checkout with everything that is needed to run, test and change it, without changes to the system.

Creates .venv (the Python packages, and ROS 2 wheels unless a ROS 2 is sourced), .colcon (the built messages) and
.venv/ros.sh (source it to use both). A second run repeats only the steps with changed inputs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import headers
import shell
import workspace
from environment import Environment, write_if_changed
from pythons import choose_python, require_tools
from steps import SetupError, Step, discard_unfinished, list_files, lock, read_contents

ROOT = Path(__file__).resolve().parents[1]
PINS = Path(__file__).resolve().with_name("pins.txt")
NO_TORCH = "tests of networks and training are skipped (TORCH=torch installs the newest build, with several GB of CUDA)"


def base_inputs(env: Environment) -> tuple[str, ...]:
    """Return the inputs of every step: a change of checkout path, Python or ROS 2 repeats all steps."""
    python = (os.path.realpath(env.python.executable), str(env.python.version), str(env.include))
    return (str(ROOT), *python, str(env.distro))


def header_steps(env: Environment) -> list[Step]:
    """Return the step for the Python headers, if the machine has none. A sourced ROS 2 needs those of the machine."""
    if env.python.has_headers or env.distro:
        return []
    name = env.python.name
    title = f"headers of {name} (from the package lib{name}-dev)"
    return [Step(title, env.stamp("headers"), base_inputs(env), lambda: headers.fetch(name, env.include))]


def environment_steps(env: Environment) -> list[Step]:
    """Return the steps for the virtual environment and its packages."""
    basis = (*base_inputs(env), str(env.python.numpy))
    requirements = (ROOT / "pyproject.toml").read_text().partition("[tool.")[0]
    packages = (*basis, read_contents([PINS, ROOT / "setup.py", ROOT / "package.xml"]), requirements)
    ros = f"ROS 2 {env.distro}" if env.distro else "ROS 2 from wheels"
    return [
        Step(f"virtual environment on {env.python.name}", env.stamp("venv"), basis, env.create),
        *(header_steps(env) if env.python.has_known_ros_wheels else []),  # before the packages, to report errors early
        Step(f"packages ({ros}, takes a minute or two)", env.stamp("packages"), packages, lambda: env.install(PINS)),
    ]


def workspace_steps(env: Environment) -> list[Step]:
    """Return the steps for the workspace and its build."""
    basis = (*base_inputs(env), PINS.read_text())
    manifests = read_contents([ROOT / "CMakeLists.txt", ROOT / "package.xml", *(ROOT / "msg").glob("*.msg")])
    files = "\n".join(list_files(ROOT / folder) for folder in ("pose_ros", "scripts", "launch", "config", "rviz"))
    inputs = (*basis, manifests, files)
    return [
        *header_steps(env),
        Step("workspace", workspace.stamp(ROOT, "workspace"), basis, lambda: workspace.lay_out(ROOT)),
        Step("build of the messages", workspace.stamp(ROOT, "build"), inputs, lambda: workspace.build(ROOT, env)),
    ]


def install_torch(env: Environment, requirement: str) -> None:
    """Install PyTorch for the tests of networks and training. If pip finds no build, these tests are skipped."""
    packages = ("setuptools<80", requirement)  # colcon fails with newer versions, and torch accepts any version
    title = f"{requirement} (for the tests of networks and training)"
    try:
        step = Step(title, env.stamp("torch"), (*base_inputs(env), *packages), lambda: env.pip("install", *packages))
        step.run()
    except SetupError as error:
        reason = "pip finds no build for this machine" if "No matching distribution" in str(error) else str(error)
        print(f"  {requirement}: not installed: {reason}; {NO_TORCH}", flush=True)


def set_up(wanted: str | None, torch: str | None) -> None:
    """Bring the checkout up to date.

    Args:
        wanted: Python to use, name or path. None = the best one on this machine.
        torch: PyTorch requirement for pip. None = do not install PyTorch.
    """
    distro = os.environ.get("ROS_DISTRO") or None
    env = Environment(ROOT, choose_python(wanted, ROOT / ".venv", distro), distro)
    if env.has_ros:
        workspace.check_path(ROOT)
    for product in (env.prefix, ROOT / ".colcon"):
        discard_unfinished(product)
    require_tools(env.python, distro, builds=env.python.has_known_ros_wheels or bool(distro))
    for step in environment_steps(env):
        step.run()
    if env.has_ros:
        require_tools(env.python, distro, builds=True)
        for step in workspace_steps(env):
            step.run()
    write_if_changed(env.prefix / "ros.sh", shell.make_script(ROOT, env))
    files = [file for room in ("decoder", "tracking", "depth") for file in (ROOT / "pose_ros" / room).glob("*.py")]
    decoders = (*base_inputs(env), read_contents(files))
    Step("compiled decoders", env.stamp("decoders"), decoders, lambda: workspace.compile_decoders(env)).run()
    if torch:
        install_torch(env, torch)


def main() -> int:
    """Set up the checkout. Returns the exit status: 1 = failed, with the reason on stderr."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", help="Python to use, name or path (default: the best one found)")
    parser.add_argument("--torch", help="also install this PyTorch if pip finds it, such as torch==2.13.0+cpu")
    wanted = parser.parse_args()
    started_s = time.monotonic()
    try:
        with lock(ROOT):
            set_up(wanted.python, wanted.torch)
    except SetupError as error:
        print(f"setup failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup interrupted; run it again to continue", file=sys.stderr)
        return 130
    print(f"setup is up to date ({time.monotonic() - started_s:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
