"""The virtual environment .venv: the packages of pyproject.toml and, unless a ROS 2 is sourced, a ROS 2 from wheels."""

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
    "ROS 2 has no wheels for it on this machine, so only the library is set up and tests of ROS will be skipped;"
    " to have ROS 2, install one of python3.10 ... python3.14 or source a ROS 2, and run it again"
)
TOOLS = ("pytest", "ruff", "mypy")


@dataclass(frozen=True)
class Environment:
    """The environment of one checkout.

    Attributes:
        root: The checkout.
        python: The interpreter of the machine that it is made with.
        distro: The ROS 2 distribution that is sourced; None = ROS 2 comes from wheels.
    """

    root: Path
    python: Python
    distro: str | None

    @property
    def prefix(self) -> Path:
        """The folder of the environment."""
        return self.root / ".venv"

    @property
    def executable(self) -> Path:
        """Its interpreter."""
        return self.prefix / "bin/python"

    @property
    def site_packages(self) -> Path:
        """Where its packages lie."""
        return self.prefix / "lib" / self.python.name / "site-packages"

    @property
    def include(self) -> Path:
        """Where Python.h lies, or will lie: in the environment itself if the machine has none."""
        return Path(self.python.include) if self.python.has_headers else self.prefix / "headers"

    @property
    def has_ros(self) -> bool:
        """Whether there is a ROS 2 to build on: always, except where no wheels exist for this Python and machine."""
        return bool(self.distro) or (self.site_packages / "rclpy").is_dir()

    def stamp(self, step: str) -> Path:
        """Where a step that changes the environment leaves its stamp."""
        return self.prefix / "stamps" / step

    def create(self) -> None:
        """Makes the empty environment; where ROS 2 is sourced it sees the packages of the system."""
        shared = ["--system-site-packages"] if self.distro else []
        shutil.rmtree(self.prefix, ignore_errors=True)
        run([self.python.executable, "-m", "venv", *shared, str(self.prefix)], self.variables())
        (self.prefix / "base_python").write_text(self.python.executable)

    def install(self, pins: Path) -> None:
        """Installs the packages, and the checkout itself as an editable one."""
        project = ["--editable", f"{self.root}[dev]"]
        if self.distro:
            self.pip("install", "--constraint", str(self._keep_numpy()), *project)
            self._install_tools()
        elif self._wheels_exist(pins):
            self.pip("install", "--requirement", str(pins), *project)
            self._relocate()
        else:
            print(f"  {self.python.name}: {NO_WHEELS}", flush=True)
            self.pip("install", *project)
        if self.has_ros:
            self._install_build_tools()

    def pip(self, *arguments: str) -> None:
        """Runs the pip of the environment, with the configuration of the machine."""
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
        try:
            run([str(self.executable), "-m", "pip", arguments[0], *quiet, *arguments[1:]], self.variables())
        except SetupError as error:
            if NO_NETWORK.search(str(error)):
                raise SetupError("pip cannot reach its package index: check the network, then run it again") from None
            raise

    def variables(self) -> dict[str, str]:
        """The variables for a program that works on the environment, whatever the user's shell has sourced."""
        variables = dict(os.environ)
        variables["PATH"] = f"{self.prefix / 'bin'}{os.pathsep}{search_path(self.prefix)}"
        for name in ("PYTHONPATH", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH"):
            folders = [folder for folder in variables.pop(name, "").split(os.pathsep) if folder]
            # ROS from wheels needs nothing of the shell's; a sourced one needs all but what this checkout has added.
            kept = [folder for folder in folders if self.distro and not folder.startswith(f"{self.root}/")]
            if kept:
                variables[name] = os.pathsep.join(kept)
        if not self.distro:
            variables.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
        variables.pop("MAKEFLAGS", None)  # those of the user's make are not meant for CMake's
        return variables

    def _keep_numpy(self) -> Path:
        """Constrains numpy to the major version that the messages of the sourced ROS 2 were built with."""
        major = (self.python.numpy or "").partition(".")[0]
        constraints = self.prefix / "constraints.txt"
        constraints.write_text(f"numpy=={major}.*\n" if major else "")
        return constraints

    def _install_tools(self) -> None:
        """Puts the tools into the environment even where the system has them: run from there, they miss the rest."""
        for tool in TOOLS:
            if not (self.prefix / "bin" / tool).exists():
                self.pip("install", "--ignore-installed", "--no-deps", tool)

    def _install_build_tools(self) -> None:
        for tool, package in (("cmake", "cmake<4"), ("colcon", "colcon-common-extensions")):
            if not shutil.which(tool, path=self.variables()["PATH"]):
                self.pip("install", package)

    def _wheels_exist(self, pins: Path) -> bool:
        if self.python.surely_has_ros_wheels:
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

    def _relocate(self) -> None:
        """Points the CMake files of the wheels, which name the folders of their builder, to this machine's."""
        numpy = "import numpy; print(numpy.get_include())"
        numpy_include = run([str(self.executable), "-c", numpy], self.variables()).strip()
        for path in self.prefix.glob("share/*/cmake/*.cmake"):
            text = path.read_text()
            moved = BUILDER.sub(lambda match: numpy_include if match["numpy"] else str(self.include), text)
            write_if_changed(path, moved)


def run(command: list[str], variables: dict[str, str], folder: Path | None = None) -> str:
    """Runs a program quietly and returns what it printed.

    Raises:
        SetupError: It failed; the message ends with the last lines that it printed.
    """
    done = subprocess.run(
        command,
        env=variables,
        cwd=folder,
        check=False,
        close_fds=False,  # so that the lock is held until a program that outlives us has ended
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
    """Writes a file unless it already reads so: its time stamp then stays, and nothing is built again."""
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
