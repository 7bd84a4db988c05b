"""Run a program in an empty home folder, and see what it leaves there and which hosts it looks up."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ALLOWED = (".cache/pose_ros", ".ros/log", ".cache/numba")
"""Folders of this package, of ROS and of the compiled decoders."""
SWITCHES = ("ORT_DISABLE_TELEMETRY", "CI")
"""Variables that switch telemetry off in the shell of the tests. The programs under test must do it themselves."""


class EmptyHome:
    """A home folder, and a resolver that finds no host.

    Args:
        folder: Empty folder for both.
    """

    def __init__(self, folder: Path) -> None:
        self.home, self._lookups = folder / "home", folder / "lookups"
        self.home.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        self.env = {**kept, "HOME": str(self.home), "LOOKUPS": str(self._lookups)}
        self.env["LD_PRELOAD"] = str(_compile_resolver(folder))
        for name in SWITCHES:
            self.env.pop(name, None)

    def run(self, *command: object) -> None:
        """Run a program in this home folder. Fail the test if the program fails."""
        words = [str(word) for word in command]
        done = subprocess.run(
            words, env=self.env, cwd=self.home, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def foreign_files(self) -> list[str]:
        """Return the files that neither this package nor ROS has written."""
        files = (path.relative_to(self.home).as_posix() for path in self.home.rglob("*") if path.is_file())
        return sorted(file for file in files if not file.startswith(ALLOWED))

    def lookups(self) -> list[str]:
        """Return the names of other hosts that were looked up."""
        return self._lookups.read_text().splitlines() if self._lookups.exists() else []


def _compile_resolver(folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler to build the resolver that finds no host")
    library, source = folder / "libstub_resolver.so", Path(__file__).with_name("stub_resolver.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=120)
    return library
