"""The headers of Python: building the messages needs them, and a plain python3 comes without."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import debs
from steps import SetupError


def fetch(python: str, folder: Path) -> None:
    """Puts the headers into a folder of their own, out of the package that Debian and Ubuntu have for them.

    Args:
        python: The name of the interpreter: python3.12.
        folder: Where Python.h will lie.

    Raises:
        SetupError: The package cannot be had.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="headers-") as scratch:
        files = Path(scratch, "files")
        try:
            debs.unpack(debs.download(f"lib{python}-dev", Path(scratch)), files)
        except debs.DebError as error:
            raise SetupError(
                f"this machine lacks {python}-dev, and it could not be fetched without root ({error}):"
                f" sudo apt install {python}-dev"
            ) from error
        include = files / "usr/include"
        shutil.rmtree(folder, ignore_errors=True)
        (include / python).replace(folder)
        # pyconfig.h includes <x86_64-linux-gnu/python3.12/pyconfig.h>: beside it, that is found without another -I.
        for architecture in include.iterdir():
            architecture.replace(folder / architecture.name)
