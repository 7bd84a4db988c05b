"""Check that no output of a command replaces one of its inputs or another output."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pose_ros.files import is_stream
from pose_ros.media.addresses import hide_secrets


def check_paths(inputs: Iterable[Path | None], outputs: Iterable[tuple[str, Path | None]]) -> None:
    """Compare the files of a command, also through hard and symbolic links. Pipes and devices may be the same.

    Args:
        inputs: Files and folders that the command reads. The files of a folder count, too. None = not given.
        outputs: Option and file of each output. None = not given.

    Raises:
        ValueError: If an output is an input or another output.
    """
    taken = {_identity(file): file for path in inputs if path is not None for file in _files_of(path)}
    for option, file in outputs:
        if file is None or is_stream(file):
            continue
        other = taken.setdefault(_identity(file), file)
        if other is not file:
            same = "again" if str(other) == str(file) else f"which is {other}"
            raise ValueError(f"{option}: expected a file other than the inputs and outputs, got {file} {same}")


def check_inputs(files: Iterable[Path]) -> None:
    """Check that files exist, before an output is touched.

    Raises:
        FileNotFoundError: If one does not exist.
    """
    for file in files:
        if not file.exists():
            raise FileNotFoundError(
                f"input: expected a file or folder, got {hide_secrets(str(file))}, which does not exist"
            )


def _files_of(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        yield from path.iterdir()


def _identity(path: Path) -> tuple[int, int] | str:
    """Return device and inode of a file that exists, or else its absolute path without links."""
    absolute = os.path.realpath(path)  # also without "new/..", where "new" is created with the output
    try:
        state = os.stat(absolute)
    except OSError:
        return absolute
    return state.st_dev, state.st_ino
