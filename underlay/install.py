#!/usr/bin/env python3
"""Sets up a checkout: everything that is needed to run, test and change it, without touching the system.

Makes .venv (the Python packages, and a ROS 2 from wheels unless one is sourced), .colcon (the built messages) and
.venv/ros.sh (source it to use both). Run again, it does only what has changed.
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
from pythons import choose, require_tools
from steps import SetupError, Step, contents, discard_unfinished, lock, names

ROOT = Path(__file__).resolve().parents[1]
PINS = Path(__file__).resolve().with_name("pins.txt")
NO_TORCH = "tests of networks and training are skipped; TORCH=torch takes the newest one, with several GB of CUDA"


def origin(env: Environment) -> tuple[str, ...]:
    """What nothing that was made survives a change of."""
    python = (os.path.realpath(env.python.executable), str(env.python.version), str(env.include))
    return (str(ROOT), *python, str(env.distro))


def header_steps(env: Environment) -> list[Step]:
    """The headers of Python, where the machine has none; a sourced ROS 2 needs the machine's own."""
    if env.python.has_headers or env.distro:
        return []
    name = env.python.name
    title = f"headers of {name} (out of the package lib{name}-dev)"
    return [Step(title, env.stamp("headers"), origin(env), lambda: headers.fetch(name, env.include))]


def environment_steps(env: Environment) -> list[Step]:
    """The virtual environment and the packages in it."""
    basis = (*origin(env), str(env.python.numpy))
    requirements = (ROOT / "pyproject.toml").read_text().partition("[tool.")[0]
    packages = (*basis, contents([PINS, ROOT / "setup.py", ROOT / "package.xml"]), requirements)
    ros = f"ROS 2 {env.distro}" if env.distro else "ROS 2 from wheels"
    return [
        Step(f"virtual environment on {env.python.name}", env.stamp("venv"), basis, env.create),
        *(header_steps(env) if env.python.surely_has_ros_wheels else []),  # before the packages, to fail early
        Step(f"packages ({ros}; a minute or two)", env.stamp("packages"), packages, lambda: env.install(PINS)),
    ]


def workspace_steps(env: Environment) -> list[Step]:
    """The workspace and the build in it."""
    basis = (*origin(env), PINS.read_text())
    manifests = contents([ROOT / "CMakeLists.txt", ROOT / "package.xml", *(ROOT / "msg").glob("*.msg")])
    files = "\n".join(names(ROOT / folder) for folder in ("pose_ros", "scripts", "launch", "config", "rviz"))
    inputs = (*basis, manifests, files)
    return [
        *header_steps(env),
        Step("workspace", workspace.stamp(ROOT, "workspace"), basis, lambda: workspace.lay_out(ROOT)),
        Step("build of the messages", workspace.stamp(ROOT, "build"), inputs, lambda: workspace.build(ROOT, env)),
    ]


def torch_step(env: Environment, requirement: str) -> None:
    """PyTorch, which only networks and training need: where pip finds no such build, their tests are skipped."""
    packages = ("setuptools<80", requirement)  # colcon fails with later ones, and torch asks for any
    title = f"{requirement} (for the tests of networks and training)"
    try:
        step = Step(title, env.stamp("torch"), (*origin(env), *packages), lambda: env.pip("install", *packages))
        step.run()
    except SetupError as error:
        reason = "pip finds no such build" if "No matching distribution" in str(error) else str(error)
        print(f"  no {requirement}: {reason}; {NO_TORCH}", flush=True)


def set_up(wanted: str | None, torch: str | None) -> None:
    """Brings the checkout up to date.

    Args:
        wanted: The Python to build on; None = the best one on this machine.
        torch: The PyTorch that is wanted, as pip names it; None = none.
    """
    distro = os.environ.get("ROS_DISTRO") or None
    env = Environment(ROOT, choose(wanted, ROOT / ".venv", distro), distro)
    for product in (env.prefix, ROOT / ".colcon"):
        discard_unfinished(product)
    require_tools(env.python, distro, builds=env.python.surely_has_ros_wheels or bool(distro))
    for step in environment_steps(env):
        step.run()
    if env.has_ros:
        require_tools(env.python, distro, builds=True)
        for step in workspace_steps(env):
            step.run()
    write_if_changed(env.prefix / "ros.sh", shell.script(ROOT, env))
    decoders = (*origin(env), contents((ROOT / "pose_ros/decoder").glob("*.py")))
    Step("machine code of the decoders", env.stamp("decoders"), decoders, lambda: workspace.compile_decoders(env)).run()
    if torch:
        torch_step(env, torch)


def main() -> int:
    """Returns the exit status: 1 when something is missing, said in one sentence."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", help="the Python to build on, by name or path (default: the best one found)")
    parser.add_argument("--torch", help="also install this PyTorch, such as torch==2.13.0+cpu, if it can be had")
    wanted = parser.parse_args()
    started_s = time.monotonic()
    try:
        with lock(ROOT):
            set_up(wanted.python, wanted.torch)
    except SetupError as error:
        print(f"set-up stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nset-up interrupted: run it again to go on", file=sys.stderr)
        return 130
    print(f"set-up is up to date ({time.monotonic() - started_s:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
