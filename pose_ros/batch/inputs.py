"""Find the inputs of a batch: files, folders, globs and lists of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pose_ros.file_kind import FileKind, identify_file
from pose_ros.media.addresses import hide_secrets, is_address
from pose_ros.media.bag_folder import METADATA
from pose_ros.media.sources import IMAGE_SUFFIXES

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv"),
    *(".3gp", ".ogv", ".mjpg", ".mjpeg", ".y4m", ".h264", ".264", ".hevc", ".h265"),
)
BAG_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
_KINDS = (FileKind.IMAGE, FileKind.ANIMATION, FileKind.VIDEO, FileKind.MCAP)
"""Kinds of files without a suffix that are inputs."""


@dataclass(frozen=True)
class Input:
    """A video, image or bag.

    Attributes:
        name: Path relative to the common folder of all inputs. It names the outputs and the row of the manifest.
        path: Absolute path.
        size_bytes: Size, of a folder that of its files.
        modified_ns: Time of the last change, ns.
    """

    name: str
    path: Path
    size_bytes: int
    modified_ns: int


def find_inputs(arguments: Sequence[str], listed: Sequence[str] = (), *, out: Path, root: Path | None) -> list[Input]:
    """Find the inputs that the user names, sorted by name.

    A folder stands for the videos, images and bags in it and its folders. A folder of outputs and hidden files are
    left out. A folder with a metadata.yaml is one bag.

    Args:
        arguments: Files, folders and globs.
        listed: More of them, but no globs.
        out: Folder of the outputs.
        root: Folder to which names are relative. None = the deepest common folder.

    Raises:
        FileNotFoundError: If an input does not exist.
        ValueError: If there are no inputs, an input lies outside ``root``, or outputs would replace inputs.
    """
    if "" in arguments:  # an unset variable of a shell. As a path it is the current folder
        raise ValueError("inputs: expected files or folders, got an empty name")
    if address := next((each for each in (*arguments, *listed) if is_address(each)), None):
        raise ValueError(f"inputs: expected files or folders, got {hide_secrets(address)}; use pose_ros video")
    expanded = list(_expand_globs(arguments))
    expanded += [(Path(os.path.abspath(name)), False) for name in listed]
    if not expanded:
        raise ValueError("inputs: expected files or folders, got none")
    out = Path(os.path.abspath(out))
    named = [path for path, _ in expanded]
    paths = sorted({path for each, must_exist in expanded for path in _expand_folder(each, out, must_exist)})
    if not paths:
        raise ValueError(f"inputs: expected videos, images or bags, got none in {', '.join(map(str, named))}")
    parents = [each if each.is_dir() and not _is_bag(each) else each.parent for each in named]
    base = Path(os.path.abspath(root)) if root is not None else Path(os.path.commonpath(parents))
    found = [Input(_relative(path, base), path, *_state(path)) for path in paths]
    _check_results(found, out)
    return found


def read_list(file: Path) -> list[str]:
    """Read a file with one path per line. Empty lines are skipped. Bytes that are not UTF-8 are kept.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not a text.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise OSError(
            error.errno, f"--list: expected a text file with one path per line, got {file}: {error.strerror}"
        ) from error
    if b"\0" in content:
        raise ValueError(f"--list {file}: expected one path per line, got a binary file")
    return [os.fsdecode(line) for line in content.splitlines() if line.strip()]


def _expand_globs(arguments: Sequence[str]) -> Iterator[tuple[Path, bool]]:
    """Yield each path, and whether the user has named it."""
    for argument in arguments:
        if os.path.lexists(argument) or not glob.has_magic(argument):
            yield Path(os.path.abspath(argument)), True
            continue
        found = glob.glob(argument, recursive=True)
        if not found:
            raise FileNotFoundError(f"inputs: expected files that match {argument}, got none")
        yield from ((Path(os.path.abspath(name)), False) for name in found)


def _expand_folder(path: Path, out: Path, must_exist: bool) -> Iterator[Path]:
    """Yield a file or bag, or the inputs in a folder. A folder that a link leads to again is read once."""
    if must_exist and not path.exists():
        kind = "a link to a file that does not exist" if path.is_symlink() else "which does not exist"
        raise FileNotFoundError(f"inputs: expected a file or folder, got {path}, {kind}")
    if not path.is_dir() or _is_bag(path):
        yield path
        return
    if path == out:
        raise ValueError(f"--out: expected a folder other than the inputs, got {out}; use a folder in it")
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(path, followlinks=True, onerror=_raise):
        state = os.stat(folder)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        inside = [Path(folder, name) for name in sorted(folders) if name[0] != "."]
        bags = [each for each in inside if _is_bag(each)]
        folders[:] = [each.name for each in inside if each not in bags and each != out]
        yield from bags
        yield from (file for file in (Path(folder, name) for name in sorted(files)) if _is_input(file))


def _raise(error: OSError) -> None:
    """Raise the error of a folder that cannot be read. ``os.walk`` would skip it."""
    raise error


def _is_bag(folder: Path) -> bool:
    return (folder / METADATA).is_file()


def _is_input(file: Path) -> bool:
    """Return whether a file in a folder is an input, by its suffix, or without one by its content."""
    name = file.name.lower()
    if name[0] == "." or (file.exists() and not file.is_file()):  # a pipe would be waited for
        return False
    if file.suffix:
        return name.endswith((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, *BAG_SUFFIXES))
    return file.is_file() and identify_file(file) in _KINDS


def _check_results(inputs: Sequence[Input], out: Path) -> None:
    """Refuse an input that has the place of the annotated video or image of another one."""
    results = {out / f"{entry.name}.drawn": entry.name for entry in inputs}
    for entry in inputs:
        if (owner := results.get(entry.path.with_suffix(""))) is not None:
            raise ValueError(
                f"--out {out}: expected a folder without inputs, got {entry.path}, where the result of {owner} "
                "belongs; use another folder"
            )


def _relative(path: Path, base: Path) -> str:
    try:
        return str(path.relative_to(base))
    except ValueError as error:
        raise ValueError(f"--root: expected a folder that contains all inputs, got {base} for {path}") from error


def _state(path: Path) -> tuple[int, int]:
    """Return size and time of the last change. Unknown ones are 0: the input fails when it is read."""
    try:
        states = [os.stat(file) for file in (path.iterdir() if path.is_dir() else [path])]
    except OSError:
        return 0, 0
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)
