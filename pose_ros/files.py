"""Write files completely or not at all, read them with a limit, and locate the user's cache folder."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

LARGEST_BYTES = 1 << 31
"""Largest file of weights to read as a whole. Published ones have up to 0.5 GB."""
_PREFIX = ".unfinished-"
_LOCK = "lock"
_NEW_S = 60.0
"""Age below which a folder without a lock is left alone: its process may be about to lock it."""


_unfinished: set[UnfinishedFolder] = set()
"""Folders of this process."""


class UnfinishedFolder:
    """Hidden folder for files that are not complete yet, beside their targets.

    It is locked while its process lives. A process that was killed leaves the folder behind. The next process that
    writes to the same place removes it.

    Attributes:
        path: The folder, readable by this user only.

    Raises:
        OSError: If the parent folder cannot be written.
    """

    def __init__(self, parent: Path) -> None:
        parent = parent.absolute()
        _clear_once(parent)
        self._lock: int | None
        self.path, self._lock = _create_locked(parent)
        _unfinished.add(self)

    def remove(self) -> None:
        """Remove the folder and its files. A second call does nothing."""
        _unfinished.discard(self)
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = None


@contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """Create a folder for temporary files, see ``UnfinishedFolder``. It is removed at the end."""
    folder = UnfinishedFolder(parent)
    try:
        yield folder.path
    finally:
        folder.remove()


class UnfinishedFile:
    """File that is written beside its target, and replaces the target when it is complete.

    Attributes:
        target: File to replace. Its permissions are kept.
        path: Where to write. The file does not exist yet, and has the suffix of the target.

    Raises:
        OSError: If the target is read-only or its folder cannot be written.
        ValueError: If the target is a folder, a device or a pipe.
    """

    def __init__(self, target: Path, follow_links: bool = True) -> None:
        """Create a place to write to.

        Args:
            target: File to replace.
            follow_links: Whether to replace the file behind a symbolic link, not the link.
        """
        self.target = target.resolve() if follow_links else target.absolute()
        if follow_links:
            _check_target(self.target)
        with self.explain_errors():
            self._folder = UnfinishedFolder(self.target.parent)
        self.path = self._folder.path / f"file{self.target.suffix}"

    def complete(self) -> None:
        """Flush the file to the disk, and replace the target.

        Raises:
            OSError: If the disk is full, or the file was not written.
        """
        try:
            with self.explain_errors():
                flush_file(self.path)
                _copy_permissions(self.target, self.path)
                self.path.replace(self.target)
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the file, and keep the target. After ``complete``, it does nothing."""
        self._folder.remove()

    @contextmanager
    def explain_errors(self) -> Iterator[None]:
        """Name the target in errors of the file system, which name no file or the temporary one."""
        try:
            yield
        except OSError as error:
            if error.errno is None or (error.filename is not None and _PREFIX not in str(error.filename)):
                raise
            raise OSError(
                error.errno,
                f"{self.target}: expected a complete file, got: {error.strerror}; an earlier file is unchanged",
            ) from error


class InPlaceFile:
    """File that grows at its final place, with the methods of ``UnfinishedFile``: a pipe, a device or a log.

    Attributes:
        path: Where to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def complete(self) -> None:
        """Flush the file to the disk."""
        with suppress(OSError):  # a pipe or a device cannot be flushed
            flush_file(self.path)

    def discard(self) -> None:
        """Keep what was written."""

    @contextmanager
    def explain_errors(self) -> Iterator[None]:
        """Name the file in errors of the file system, which name no file."""
        try:
            yield
        except OSError as error:
            if error.errno is None or error.filename is not None:
                raise
            raise OSError(error.errno, f"{self.path}: expected to write all data, got: {error.strerror}") from error


def open_target(path: Path, *, in_place: bool = False, follow_links: bool = True) -> UnfinishedFile | InPlaceFile:
    """Return the place to write a file to: beside it, or directly into a pipe, a device or a file that may grow.

    Args:
        path: File to write.
        in_place: Whether the file may grow in place.
        follow_links: Whether to replace the file behind a symbolic link, not the link.
    """
    if in_place or (follow_links and is_stream(path)):
        return InPlaceFile(path)
    return UnfinishedFile(path, follow_links)


@contextmanager
def atomic_write(path: Path, *, follow_links: bool = True) -> Iterator[Path]:
    """Write a file completely or not at all.

    The context manager yields a temporary path to write to. At the end, the temporary file is flushed to the disk and
    replaces ``path``. After an exception the old file stays, and the temporary file is deleted. Several writers may
    run at once, in threads or in containers that share a process number. The last one wins. A pipe or a device is
    written directly.

    Args:
        path: File to write.
        follow_links: Whether to replace the file behind a symbolic link, not the link.
    """
    file = open_target(path, follow_links=follow_links)
    try:
        with file.explain_errors():
            yield file.path
        file.complete()
    finally:
        file.discard()


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Write a new folder completely or not at all.

    The context manager yields a temporary path, which does not exist yet. At the end, the files of this folder are
    flushed to the disk, and it is moved to ``target``. After an exception there is no folder.

    Raises:
        FileExistsError: If the target exists at the end.
        OSError: If the folder of the target cannot be created or written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with unfinished_folder(target.parent) as folder:
        draft = folder / target.name
        yield draft
        for file in filter(Path.is_file, draft.rglob("*")):
            flush_file(file)
        if target.exists() or target.is_symlink():
            raise FileExistsError(f"output: expected a new folder, got {target}, which exists")
        draft.rename(target)


def clear_unfinished(parent: Path) -> None:
    """Remove the unfinished files that killed processes left in a folder. Files of a living process stay."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # of another user, or another process was faster
            _remove_left_over(folder)


def discard_unfinished() -> None:
    """Remove all unfinished files of this process, before it ends without leaving its ``with`` blocks."""
    for folder in tuple(_unfinished):
        shutil.rmtree(folder.path, ignore_errors=True)


def visible_part(path: Path) -> Path:
    """Return a path, or for a temporary file the folder in which it is."""
    hidden = next((each for each in (path, *path.parents) if each.name.startswith(_PREFIX)), None)
    return path if hidden is None else hidden.parent


def describe_os_error(error: OSError) -> str:
    """Return the message of an error of the file system, with the name of the user's file instead of a temporary one.

    An error without a file has a message of ours, or the one of the system.
    """
    if error.filename is None:
        return error.strerror or str(error) or repr(error)
    name = error.filename if isinstance(error.filename, int) else visible_part(Path(os.fsdecode(error.filename)))
    return f"{name}: expected to read or write it, got: {error.strerror}"


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe, a device or the output of this process, which cannot be replaced by a file."""
    own_outputs = ("/dev/std", "/dev/fd/", "/proc/")
    return str(path.absolute()).startswith(own_outputs) or (path.exists() and not path.is_file() and not path.is_dir())


def is_file(path: Path) -> bool:
    """Whether a path is a file. A name that the file system cannot have is the name of no file."""
    try:
        return path.is_file()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENAMETOOLONG, errno.EINVAL):
            raise
        return False


def read_limited(path: Path, most_bytes: int) -> bytes:
    """Read a regular file that an untrusted person may have made.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not a regular file, or larger than ``most_bytes``.
    """
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("not a regular file")
        if state.st_size > most_bytes:
            raise ValueError(f"a file of {state.st_size} bytes, more than {most_bytes}")
        return file.read(state.st_size)  # files of /proc have size 0 and no end


def user_cache(name: str = "") -> Path:
    """Return the folder ``pose_ros/<name>`` in ``$XDG_CACHE_HOME``, by default ``~/.cache``.

    A relative ``XDG_CACHE_HOME`` is ignored, as the XDG Base Directory Specification requires.

    Args:
        name: Name of the subfolder. Empty = the cache folder of the package.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "pose_ros" / name


@cache
def _clear_once(parent: Path) -> None:
    """Clear a folder at the first write of this process. A search at every write would be slow in a large folder."""
    clear_unfinished(parent)


def _create_locked(parent: Path) -> tuple[Path, int]:
    """Create a folder, and open and lock the lock file in it."""
    while True:
        folder = parent / f"{_PREFIX}{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with suppress(OSError):  # a file system without locks: nobody can lock and remove the folder either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / _LOCK).exists():
                return folder, lock
            os.close(lock)
        except FileNotFoundError:
            continue  # another process has removed the folder before it was locked


def _remove_left_over(folder: Path) -> None:
    """Remove a folder of this module, unless it is a link, locked, or so new that it may be locked soon."""
    if folder.is_symlink() or not folder.is_dir():
        return
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        if time.time() - folder.stat().st_mtime > _NEW_S:
            shutil.rmtree(folder)
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)


def _check_target(target: Path) -> None:
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "a device or a pipe"
        raise ValueError(f"output: expected a file to write, got {target}, which is {kind}")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(f"output: expected a writable file, got {target}, which is read-only")


def _copy_permissions(source: Path, target: Path) -> None:
    """Give a file the permissions of the file that it replaces: a private file stays private."""
    with suppress(FileNotFoundError):
        state = source.lstat()
        if stat.S_ISREG(state.st_mode):
            target.chmod(stat.S_IMODE(state.st_mode))


def flush_file(path: Path) -> None:
    """Flush a file from the memory of the system to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
