"""Download the Python headers. Building the messages needs them, and many machines do not have them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import debs
from steps import SetupError


def fetch(python: str, folder: Path) -> None:
    """Download the Debian package of the headers and unpack the headers into a folder.

    Args:
        python: Name of the interpreter, such as python3.12.
        folder: Target folder of Python.h. An existing folder is replaced.

    Raises:
        SetupError: The package cannot be downloaded.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="headers-") as scratch:
        files = Path(scratch, "files")
        try:
            debs.unpack(debs.download(f"lib{python}-dev", Path(scratch)), files)
        except debs.DebError as error:
            raise SetupError(
                f"{python}-dev is missing and could not be downloaded without root ({error}); run:"
                f" sudo apt install {python}-dev"
            ) from error
        include = files / "usr/include"
        shutil.rmtree(folder, ignore_errors=True)
        (include / python).replace(folder)
        # pyconfig.h includes <x86_64-linux-gnu/python3.12/pyconfig.h>. In this folder, it is found without another -I.
        for architecture in include.iterdir():
            architecture.replace(folder / architecture.name)
