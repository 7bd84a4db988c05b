"""Packages of Debian and Ubuntu, downloaded with apt for their files alone: without root, nothing is installed.

It needs nothing but the standard library, for the demo takes its video from such a package too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

OPTIONS = (
    "APT::Sandbox::User=root",  # root's apt would hand the download to a user who may not write into our folder
    "Acquire::Retries=1",
    "Acquire::http::Timeout=20",
    "Acquire::https::Timeout=20",
)


class DebError(Exception):
    """Why a package cannot be had, in a few words."""


def download(package: str, folder: Path) -> Path:
    """The file of a package, downloaded into a folder that holds nothing else.

    Raises:
        DebError: It cannot be had.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise DebError("there is no apt-get")
    try:
        _apt(folder, "download", package)
    except DebError:  # the machine's lists of packages are missing, empty or old: read them anew, privately
        private = folder.resolve()
        for part in ("lists/partial", "archives/partial"):
            (private / part).mkdir(parents=True)
        options = (f"-oDir::State::lists={private}/lists", f"-oDir::Cache={private}", "-oAcquire::Languages=none")
        with contextlib.suppress(DebError):  # one broken source does not make the others useless
            _apt(folder, *options, "update")
        _apt(folder, *options, "download", package)
    return next(folder.glob("*.deb"))


def unpack(deb: Path, folder: Path) -> None:
    """Unpacks the files of a package, from its root on."""
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
        raise DebError(errors[0] if errors else f"{command[0]} ended with status {done.returncode}")
