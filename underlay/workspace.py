"""Build the colcon workspace .colcon: the messages, with links to the Python modules."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from environment import Environment, run
from steps import SetupError

SOURCE = ".colcon/src/pose_ros"


LOAD_ALL_STAGES = """
from pose_ros.config import DepthConfig, EstimatorConfig, SmoothingConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.pipeline import PosePipeline
config = EstimatorConfig(smoothing=SmoothingConfig(enabled=True), depth=DepthConfig(enabled=True))
PosePipeline(PoseEstimator.load(config=config))
"""


def stamp(root: Path, step: str) -> Path:
    """Return the stamp file of a step that changes the workspace."""
    return root / ".colcon/stamps" / step


def check_path(folder: Path) -> None:
    """Raise SetupError if ROS 2 cannot build in a folder: its CMake files cut paths at letters beyond ASCII."""
    if not str(folder).isascii():
        raise SetupError(f"path: expected ASCII letters, for the build of the messages, got {folder}; move the folder")


def lay_out(root: Path) -> None:
    """Create the workspace from scratch. CMake caches do not work with another Python, ROS or path."""
    shutil.rmtree(root / ".colcon", ignore_errors=True)
    # With this link, .venv is outside the source folder. CMake rejects include folders inside the source folder.
    source = root / SOURCE
    source.parent.mkdir(parents=True)
    source.symlink_to("../..", target_is_directory=True)


def build(root: Path, env: Environment) -> None:
    """Build the package with the ROS 2 of the environment."""
    variables = env.variables()
    if env.distro:
        python, search = env.python.executable, []
    else:
        python, search = str(env.executable), ["-DPython3_FIND_VIRTUALENV=ONLY", f"-DPython3_INCLUDE_DIR={env.include}"]
        variables.update(AMENT_PREFIX_PATH=str(env.prefix), CMAKE_PREFIX_PATH=str(env.prefix))
    variables["COLCON_HOME"] = str(root / ".colcon")  # the colcon defaults of the user are for other workspaces
    _remove_broken_links(root)
    colcon = shutil.which("colcon", path=variables["PATH"]) or "colcon"
    folders = ["--build-base", ".colcon/build", "--install-base", ".colcon/install", "--symlink-install"]
    cmake = [f"-DPython3_EXECUTABLE={python}", *search, "-DBUILD_TESTING=OFF"]
    command = [colcon, "--log-base", ".colcon/log", "build", "--paths", SOURCE, *folders, "--cmake-args", *cmake]
    run(command, variables, folder=root)


def compile_decoders(env: Environment) -> None:
    """Load the default model and all stages once. This stores their compiled code on disk for all later processes."""
    command = f"cd / && . {shlex.quote(str(env.prefix / 'ros.sh'))} && python -c '{LOAD_ALL_STAGES}'"
    run(["sh", "-c", command], env.variables())


def _remove_broken_links(root: Path) -> None:
    for link in (root / ".colcon/install").rglob("*"):
        if link.is_symlink() and not link.exists():
            link.unlink()
