"""Check the paths of a command before its work: inputs exist, and outputs can be written and replace no input."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pose_ros.files import is_stream, unfinished_folder
from pose_ros.media.addresses import hide_secrets, is_address


def check_paths(inputs: Iterable[Path | None], outputs: Iterable[tuple[str, Path | None]]) -> None:
    """Compare the files of a command, also through hard and symbolic links. Pipes and devices may be the same.

    The folders of the outputs must take new files, or be new.

    Args:
        inputs: Files and folders that the command reads. The files of a folder count, too. None = not given.
        outputs: Option and file of each output. None = not given.

    Raises:
        OSError: If the folder of an output takes no files.
        ValueError: If an output is an input or another output, or lies in a file instead of a folder.
    """
    taken = {_identity(file): file for path in inputs if path is not None for file in _files_of(path)}
    checked: set[Path] = set()
    for option, file in outputs:
        if file is None:
            continue
        if file.parent not in checked and not os.path.lexists(file):
            check_folder(option, file.parent)
            checked.add(file.parent)
        if is_stream(file):
            continue
        other = taken.setdefault(_identity(file), file)
        if other is not file:
            same = "again" if str(other) == str(file) else f"which is {other}"
            raise ValueError(f"{option}: expected a file other than the inputs and outputs, got {file} {same}")


def check_folder(option: str, folder: Path) -> None:
    """Check that a folder takes new files. A folder that does not exist yet must be possible.

    Raises:
        OSError: If it takes none.
        ValueError: If it is a file, or in one.
    """
    place = Path(os.path.abspath(folder))
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise ValueError(f"{option}: expected a folder, got the file {place}; choose another name")
    try:
        with unfinished_folder(place):
            pass
    except OSError as error:
        reason = "" if isinstance(error, FileNotFoundError) else f" ({error.strerror})"  # of /proc, which does exist
        text = f"{option}: expected a folder that takes new files, got {place}{reason}; choose another folder"
        raise OSError(error.errno, text) from error


def check_inputs(files: Iterable[Path]) -> None:
    """Check that files exist, before an output is touched.

    Raises:
        FileNotFoundError: If one does not exist.
        ValueError: If one is an address.
    """
    for file in files:
        address = str(file).replace(":/", "://", 1)  # a path has lost the second slash
        if is_address(address) and not file.exists():
            raise ValueError(
                f"input: expected files or folders, got the address {hide_secrets(address)}; use pose_ros video"
            )
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
