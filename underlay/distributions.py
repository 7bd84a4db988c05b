#!/usr/bin/env python3
"""Build the source distribution and the wheel, check their contents, and run the program from each.

Each is installed into an empty environment, where it finds people in an image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = "pose_ros/models/default.onnx"
MOST_BESIDES_MODEL = 4_000_000
IN_SDIST = (
    "CHANGELOG.rst",
    "CITATION.cff",
    "CMakeLists.txt",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "NOTICE",
    "README.md",
    "package.xml",
    "pyproject.toml",
    "rosdoc2.yaml",
    "setup.py",
    ".ci/run",
    "config/camera.yaml",
    "docs/install.md",
    "launch/camera.launch.py",
    "msg/PersonPose.msg",
    "pose_ros/ros/node/process.py",
    "scripts/pose_node",
    "test/core/test_package.py",
    "underlay/install.py",
)
IN_WHEEL = (MODEL, "pose_ros/py.typed", "pose_ros/models/catalogue.yaml", "pose_ros/live/static/index.html")
NOT_IN_SDIST = ("docker/apt/", "docs/_pages/")  # made by docker/ and by `make docs`
NOT_IN_WHEEL = ("pose_ros/ros/node/", "pose_ros/ros/view/", "pose_ros/ros/launching/", "test/", "underlay/", "msg/")


def build(source: Path, target: Path) -> tuple[Path, Path]:
    """Build both distributions. The wheel is built from the source distribution, as pip does it.

    Returns:
        Source distribution and wheel.
    """
    with tempfile.TemporaryDirectory() as folder:
        run([sys.executable, "-m", "venv", folder])
        run([f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "build"])
        run([f"{folder}/bin/python", "-m", "build", "--outdir", str(target), str(source)])
    (sdist,), (wheel,) = target.glob("*.tar.gz"), target.glob("*.whl")
    return sdist, wheel


def find_faults(sdist: Path, wheel: Path) -> list[str]:
    """Return one line for each fault in the contents."""
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = {item.filename: item.file_size for item in archive.infolist()}
    faults = [f"{sdist.name}: expected {name}, got none" for name in IN_SDIST if name not in in_sdist]
    faults += [f"{wheel.name}: expected {name}, got none" for name in IN_WHEEL if name not in in_wheel]
    unwanted = [name for name in in_wheel if name.startswith(NOT_IN_WHEEL)]
    unwanted += [name for name in in_sdist if name.startswith(NOT_IN_SDIST)]
    unwanted += [name for name in (*in_sdist, *in_wheel) if "__pycache__" in name or name.endswith((".pyc", ".nbc"))]
    faults += [f"expected no {name}" for name in unwanted]
    besides = wheel.stat().st_size - in_wheel.get(MODEL, 0)
    if besides > MOST_BESIDES_MODEL:
        faults.append(f"{wheel.name}: expected at most {MOST_BESIDES_MODEL} bytes besides the model, got {besides}")
    return faults


def try_out(distribution: Path, folder: Path) -> None:
    """Install a distribution into an empty environment, and find people in a rendered image with it."""
    run([sys.executable, "-m", "venv", str(folder / "env")])
    run([str(folder / "env/bin/python"), "-m", "pip", "install", "--quiet", str(distribution)])
    program = str(folder / "env/bin/pose_ros")
    run([program, "synthetic", "scenes", "-n", "1"], folder)
    run([program, "image", "scenes/images", "--json", "people.jsonl"], folder)


def run(command: list[str], folder: Path | None = None) -> None:
    """Run a program. Its output is shown only if it fails.

    Raises:
        SystemExit: It failed.
    """
    # .venv/ros.sh puts the built package on this path. pip would find it, and not install the wheel.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=folder,
        check=False,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} exited with status {done.returncode}:\n{done.stdout}")


def main() -> int:
    """Build and check. Returns the exit status: 1 = a fault."""
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    distributions = build(ROOT, target)
    faults = find_faults(*distributions)
    print("\n".join(faults) if faults else "contents: complete")
    for distribution in distributions:
        with tempfile.TemporaryDirectory() as folder:
            try_out(distribution, Path(folder))
        print(f"{distribution.relative_to(ROOT)}, {distribution.stat().st_size / 1e6:.1f} MB: installed and run")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
