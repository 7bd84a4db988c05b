#!/usr/bin/env python3
"""Test that the versions in pyproject.toml are true: the lowest on the oldest Python, the highest on the newest.

For both, the package and its extras are installed into an empty environment in .floors, apart from the extras with
PyTorch. Then `pose_ros` finds people in an image, `pose_ros doctor` reports, and the core tests run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from requirements import read_requirements

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".floors"
TESTS = "test/core -q --numprocesses auto --maxprocesses 8 --dist worksteal"
EXTRAS = ("dev", "evaluate", "openvino", "partition", "view")


@dataclass(frozen=True)
class Corner:
    """One end of the supported versions.

    Attributes:
        python: Version of Python.
        resolution: Setting of uv: which versions it chooses for the packages that pyproject.toml names.
    """

    python: str
    resolution: str


CORNERS = {"lowest": Corner("3.10", "lowest-direct"), "highest": Corner("3.14", "highest")}


class FloorError(Exception):
    """A check failed. The message names it."""


def check(name: str, corner: Corner, python: str | None, tests: list[str]) -> None:
    """Install the package with the versions of one corner, and test it.

    Args:
        name: Name of the corner, and of its folder.
        corner: Which versions.
        python: Path of the interpreter. None = uv finds or downloads it.
        tests: Arguments of pytest. Empty = no tests.

    Raises:
        FloorError: A step failed.
    """
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    uv = find_uv()
    run([uv, "venv", "--quiet", "--seed", "--python", python or corner.python, str(folder / "env")])
    to_env = ["--python", str(folder / "env/bin/python")]
    run([uv, "build", "--quiet", *to_env, "--out-dir", str(folder / "dist"), str(ROOT)])  # the wheel from the sdist
    (wheel,) = (folder / "dist").glob("*.whl")
    # uv chooses the lowest version only of those packages that the command names.
    run([uv, "pip", "install", "--quiet", *to_env, "--resolution", corner.resolution, str(wheel), *read_all()])
    print_versions(uv, to_env)
    variables = {
        **os.environ,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PATH": f"{folder}/env/bin:{os.environ['PATH']}",
    }
    for variable in ("PYTHONPATH", "VIRTUAL_ENV"):
        variables.pop(variable, None)
    program = str(folder / "env/bin/pose_ros")
    for words in (
        ["--help"],
        ["synthetic", "scenes", "-n", "1"],
        ["image", "scenes/images", "--json", "people.jsonl"],
        ["doctor"],
    ):
        run([program, *words], folder, variables)
    if not (folder / "people.jsonl").read_text().strip():
        raise FloorError("pose_ros image: expected a line for the image, got none")
    if tests:
        run([str(folder / "env/bin/pytest"), *tests], ROOT, variables, is_quiet=False)


def find_uv() -> str:
    """Return the program uv. It is installed into .floors/uv if the machine has none."""
    found = shutil.which("uv")
    if found:
        return found
    folder = FOLDER / "uv"
    if not (folder / "bin/uv").exists():
        run([sys.executable, "-m", "venv", str(folder)])
        run([str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "uv"])
    return str(folder / "bin/uv")


def read_all() -> list[str]:
    """Return the requirements of the package and of its extras."""
    lists = [read_requirements(ROOT / "pyproject.toml", extra) for extra in (None, *EXTRAS)]
    return sorted({requirement for requirements in lists for requirement in requirements})


def print_versions(uv: str, to_env: list[str]) -> None:
    """Print the installed versions of the packages that pyproject.toml names."""
    listed = json.loads(run([uv, "pip", "list", "--quiet", *to_env, "--format", "json"]))
    versions = {each["name"].lower(): each["version"] for each in listed}
    names = {requirement.split(">")[0].split("~")[0] for requirement in read_all()}
    print("  " + ", ".join(f"{name} {versions.get(name.lower(), '?')}" for name in sorted(names)), flush=True)


def run(
    command: list[str], folder: Path | None = None, variables: dict[str, str] | None = None, is_quiet: bool = True
) -> str:
    """Run a program and return its output.

    Raises:
        FloorError: It failed.
    """
    print(f"  {' '.join(command)}", flush=True)
    pipe = subprocess.PIPE if is_quiet else None
    out = subprocess.STDOUT if is_quiet and "list" not in command else None
    done = subprocess.run(command, cwd=folder, env=variables, check=False, text=True, stdout=pipe, stderr=out)
    if done.returncode:
        raise FloorError(f"{' '.join(command)} exited with status {done.returncode}\n{done.stdout or ''}")
    return done.stdout or ""


def main() -> int:
    """Check both corners. Returns the exit status: 1 = a check failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corner", nargs="?", choices=CORNERS, help="only this corner (default: both)")
    parser.add_argument("--python", help="path of the interpreter (default: found or downloaded by uv)")
    parser.add_argument(
        "--tests",
        default=TESTS,
        help="arguments of pytest (default: %(default)s)",
    )
    wanted = parser.parse_args()
    status = 0
    for name, corner in CORNERS.items():
        if wanted.corner in (None, name):
            print(f"{name} versions on Python {corner.python}")
            try:
                check(name, corner, wanted.python, wanted.tests.split())
            except FloorError as error:
                print(f"{name}: {error}", file=sys.stderr)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
