"""Create the virtual environment .venv: the packages of pyproject.toml, and ROS 2 wheels unless a ROS 2 is sourced."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pythons import Python, search_path
from steps import SetupError

BUILDER = re.compile(r"/opt/python/cp\d+-cp\d+/(?P<numpy>lib/[^;\"]*/numpy/_?core/)?include(/python3\.\d+)?")
NO_NETWORK = re.compile(
    r"NewConnection|ConnectionError|connection broken|Temporary failure|timed out|ProxyError|SSLError|unreachable"
)
NO_WHEELS = (
    "no ROS 2 wheels for this Python and machine. Only the library is installed, and ROS tests are skipped."
    " For ROS 2, install one of python3.10 to python3.14 or source a ROS 2, then run make setup again"
)
TOOLS = ("pytest", "ruff", "mypy")
# colcon of apt brings the coverage of apt. numba cannot be imported beside a coverage before 7.6.1.
COVERAGE = "coverage>=7.6.1"


@dataclass(frozen=True)
class Environment:
    """Virtual environment of one checkout.

    Attributes:
        root: Folder of the checkout.
        python: Python interpreter of the machine that the environment uses.
        distro: Name of the sourced ROS 2 distribution. None = ROS 2 comes from wheels.
    """

    root: Path
    python: Python
    distro: str | None

    @property
    def prefix(self) -> Path:
        """Folder of the environment."""
        return self.root / ".venv"

    @property
    def executable(self) -> Path:
        """Python interpreter of the environment."""
        return self.prefix / "bin/python"

    @property
    def site_packages(self) -> Path:
        """Folder of the Python packages of the environment."""
        return self.prefix / "lib" / self.python.name / "site-packages"

    @property
    def include(self) -> Path:
        """Folder of Python.h: inside the environment if the machine has no headers."""
        return Path(self.python.include) if self.python.has_headers else self.prefix / "headers"

    @property
    def has_ros(self) -> bool:
        """Whether ROS 2 is available. False only if no wheels exist for this Python and machine."""
        return bool(self.distro) or (self.site_packages / "rclpy").is_dir()

    def stamp(self, step: str) -> Path:
        """Return the stamp file of a step that changes the environment."""
        return self.prefix / "stamps" / step

    def create(self) -> None:
        """Create the empty environment. If a ROS 2 is sourced, it includes the packages of the system."""
        shared = ["--system-site-packages"] if self.distro else []
        shutil.rmtree(self.prefix, ignore_errors=True)
        run([self.python.executable, "-m", "venv", *shared, str(self.prefix)], self.variables())
        (self.prefix / "base_python").write_text(self.python.executable)

    def install(self, pins: Path) -> None:
        """Install the packages, and the checkout itself in editable mode."""
        project = ["--editable", f"{self.root}[dev]"]
        if self.distro:
            self.pip("install", "--constraint", str(self.write_numpy_constraint()), COVERAGE, *project)
            self._install_tools()
        elif self._has_wheels(pins):
            self.pip("install", "--requirement", str(pins), *project)
            self._fix_cmake_paths()
        else:
            print(f"  {self.python.name}: {NO_WHEELS}", flush=True)
            self.pip("install", *project)
        if self.has_ros:
            self._install_build_tools()

    def pip(self, *arguments: str) -> None:
        """Run the pip of the environment, with the pip configuration of the machine."""
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        try:
            run([str(self.executable), "-m", "pip", arguments[0], *quiet, *arguments[1:]], self.variables())
        except SetupError as error:
            if NO_NETWORK.search(str(error)):
                raise SetupError(
                    "pip cannot reach its package index; check the network and run make setup again"
                ) from None
            raise

    def variables(self) -> dict[str, str]:
        """Return the variables for a program that uses the environment, independent of the shell of the user."""
        variables = dict(os.environ)
        variables["PATH"] = f"{self.prefix / 'bin'}{os.pathsep}{search_path(self.prefix)}"
        for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH"):
            folders = [folder for folder in variables.pop(name, "").split(os.pathsep) if folder]
            # ROS from wheels needs none of these folders. A sourced ROS needs all except those of this checkout.
            kept = [folder for folder in folders if self.distro and not folder.startswith(f"{self.root}/")]
            if kept:
                variables[name] = os.pathsep.join(kept)
        if not self.distro:
            variables.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
        variables.pop("MAKEFLAGS", None)  # flags of the outer make must not reach the make of CMake
        return variables

    def write_numpy_constraint(self) -> Path:
        """Write a constraint: the major version of numpy that the sourced ROS 2 messages were built with."""
        major = (self.python.numpy or "").partition(".")[0]
        constraints = self.prefix / "constraints.txt"
        constraints.write_text(f"numpy=={major}.*\n" if major else "")
        return constraints

    def _install_tools(self) -> None:
        """Install the tools in the environment even if the system has them: system tools do not find its packages."""
        for tool in TOOLS:
            if not (self.prefix / "bin" / tool).exists():
                self.pip("install", "--ignore-installed", "--no-deps", tool)

    def _install_build_tools(self) -> None:
        for tool, package in (("cmake", "cmake<4"), ("colcon", "colcon-common-extensions")):
            if not shutil.which(tool, path=self.variables()["PATH"]):
                self.pip("install", package)

    def _has_wheels(self, pins: Path) -> bool:
        if self.python.has_known_ros_wheels:
            return True
        rclpy = next(line for line in pins.read_text().splitlines() if line.startswith("ros-rclpy"))
        with tempfile.TemporaryDirectory() as folder:
            try:
                self.pip("download", "--no-deps", "--only-binary=:all:", "--dest", folder, rclpy)
            except SetupError as error:
                if "No matching distribution" in str(error):
                    return False
                raise
        return True

    def _fix_cmake_paths(self) -> None:
        """Replace the paths of the build machine in the CMake files of the wheels with paths of this machine."""
        numpy = "import numpy; print(numpy.get_include())"
        numpy_include = run([str(self.executable), "-c", numpy], self.variables()).strip()
        for path in self.prefix.glob("share/*/cmake/*.cmake"):
            text = path.read_text()
            fixed = BUILDER.sub(lambda match: numpy_include if match["numpy"] else str(self.include), text)
            write_if_changed(path, fixed)


def run(command: list[str], variables: dict[str, str], folder: Path | None = None) -> str:
    """Run a program without showing its output, and return the output.

    Raises:
        SetupError: The program failed. The message ends with the last lines of its output.
    """
    done = subprocess.run(
        command,
        env=variables,
        cwd=folder,
        check=False,
        close_fds=False,  # the program inherits the lock and holds it if this process ends first
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode == 0:
        return done.stdout
    last = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-40:])
    raise SetupError(f"{' '.join(command[:4])} ... failed with status {done.returncode}:\n{last}")


def write_if_changed(path: Path, text: str) -> None:
    """Write a file only if its text changes. An unchanged time stamp avoids a new build."""
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
