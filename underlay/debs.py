"""Download and unpack Debian packages with apt, without root and without installing them.

The demo also uses this module, for its video. Therefore it imports only the standard library.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

OPTIONS = (
    "APT::Sandbox::User=root",  # otherwise root's apt downloads as a user that may not write to this folder
    "Acquire::Retries=1",
    "Acquire::http::Timeout=20",
    "Acquire::https::Timeout=20",
)


class DebError(Exception):
    """A package cannot be downloaded. The message is a few words."""


def download(package: str, folder: Path) -> Path:
    """Download a package into an empty folder and return its file.

    Raises:
        DebError: The package cannot be downloaded.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise DebError("apt-get is missing")
    try:
        _apt(folder, "download", package)
    except DebError:  # the package lists of the machine are missing, empty or old: download private lists
        private = folder.resolve()
        for name in ("lists/partial", "archives/partial"):
            (private / name).mkdir(parents=True)
        options = (f"-oDir::State::lists={private}/lists", f"-oDir::Cache={private}", "-oAcquire::Languages=none")
        with contextlib.suppress(DebError):  # if one source fails, the others may still have the package
            _apt(folder, *options, "update")
        _apt(folder, *options, "download", package)
    return next(folder.glob("*.deb"))


def unpack(deb: Path, folder: Path) -> None:
    """Unpack all files of a package into a folder."""
    _run(["dpkg-deb", "--extract", str(deb), str(folder)])


def _apt(folder: Path, *words: str) -> None:
    _run(["apt-get", "--quiet", *(f"-o{option}" for option in OPTIONS), *words], folder)


def _run(command: list[str], folder: Path | None = None) -> None:
    variables = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        command, cwd=folder, env=variables, check=False, text=True, stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode:
        errors = [line.removeprefix("E: ") for line in done.stderr.splitlines() if line.startswith("E: ")]
        raise DebError(errors[0] if errors else f"{command[0]} exited with status {done.returncode}")
