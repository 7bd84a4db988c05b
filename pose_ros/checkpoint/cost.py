"""Refuse archives and pickles that cost much more time or memory than a checkpoint of their size."""

from __future__ import annotations

import pickletools
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO

LARGEST_RATIO = 20
"""Largest ratio of compression. That of trained weights is below 2, and below 10 with nine of ten pruned."""
FREE_BYTES = 64 << 20
"""Unpacked size that needs no ratio."""
LARGEST_DIRECTORY = 2 << 20
"""Largest directory of an archive, bytes. That of 10,000 tensors has 1 MB."""
MOST_STEPS = 1_000_000
"""Most steps of the pickles in a torch file. 1000 tensors take 40,000."""
LONGEST_NAME = 1000
"""Longest name of a class, with its module. The time that torch takes to report one grows faster than its length."""
OLD_PICKLES = 5
"""Pickles at the start of a torch file that is no archive."""

_END, _END_64, _TAIL_BYTES = b"PK\5\6", b"PK\6\7", 22 + 20 + 56 + (1 << 16)


def check_archive(path: Path) -> None:
    """Check the cost of a compressed archive before it is unpacked.

    Raises:
        ValueError: If it is too high.
        zipfile.BadZipFile: If it is no archive.
    """
    _check_directory(path)
    _check_size(path, FREE_BYTES + LARGEST_RATIO * path.stat().st_size)


def check_torch_file(path: Path) -> None:
    """Check the cost of a torch file before torch reads it: an archive, or pickles followed by numbers.

    Raises:
        ValueError: If it is too high.
    """
    _check_directory(path)
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            _check_pickles(file, OLD_PICKLES)
        return
    _check_size(path, path.stat().st_size)  # torch does not compress
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".pkl"):
                with archive.open(name) as file:
                    _check_pickles(file, 1)


def _check_directory(path: Path) -> None:
    """Check the size of the directory at the end of an archive, which Python reads as a whole."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        tail = file.read(_TAIL_BYTES)
    end = tail.rfind(_END)
    if end < 0 or len(tail) < end + 22:
        return  # no archive
    (size,) = struct.unpack_from("<L", tail, end + 12)
    if end >= 76 and tail[end - 20 : end - 16] == _END_64:
        (size,) = struct.unpack_from("<Q", tail, end - 76 + 40)
    if size > LARGEST_DIRECTORY:
        raise ValueError(f"an archive with a directory of {size} bytes, more than {LARGEST_DIRECTORY}")


def _check_size(path: Path, limit_bytes: int) -> None:
    with zipfile.ZipFile(path) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
    if total > limit_bytes:
        raise ValueError(f"an archive that unpacks to {total} bytes, more than {limit_bytes}")


def _check_pickles(file: IO[bytes], count: int) -> None:
    """Count the steps of pickles, without executing them. What is no pickle is left to torch."""
    steps = longest = 0
    with suppress(ValueError, EOFError, struct.error):
        for _ in range(count):
            for operation, argument, _ in pickletools.genops(file):
                steps += 1
                if operation.name in ("GLOBAL", "INST"):
                    longest = max(longest, len(str(argument)))
                if steps > MOST_STEPS or longest > LONGEST_NAME:
                    break
    if longest > LONGEST_NAME:
        raise ValueError(f"a class whose name has {longest} characters")
    if steps > MOST_STEPS:
        raise ValueError(f"a description of more than {MOST_STEPS} steps")
