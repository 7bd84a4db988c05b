"""A lock among processes, which the kernel opens when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

POLL_S = 0.1
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Busy(Exception):
    """Another holds the lock, and we do not wait."""


def do_not_wait() -> None:
    """For ``locked``: give up where another holds the lock.

    Raises:
        Busy: Always.
    """
    raise Busy


@contextmanager
def locked(
    path: Path, before_waiting: Callable[[], None], given_up: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Keep other processes, and other threads of this one, out of their own ``locked`` of the same path.

    Where the folder cannot be written or its file system has no locks, nobody is kept out.

    Args:
        path: The lock's file, which is there only while the lock is held.
        before_waiting: Called when another holds the lock; what it raises, other than OSError, ends the attempt.
        given_up: Asked while waiting; true ends the attempt.

    Raises:
        InterruptedError: If it was given up.
    """
    descriptor = _acquired(path, before_waiting, given_up)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                path.unlink()  # while it is ours: who opens it afterwards has a file of its own
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough where a forked child has it open, too
            os.close(descriptor)


def _acquired(path: Path, before_waiting: Callable[[], None], given_up: Callable[[], bool]) -> int | None:
    """The open file of the lock, or None where there can be none."""
    try:
        while True:
            descriptor = os.open(path, _FLAGS, 0o644)
            with ExitStack() as otherwise:
                otherwise.callback(os.close, descriptor)
                _wait(descriptor, before_waiting, given_up)
                if _lies_at(path, descriptor):
                    otherwise.pop_all()
                    return descriptor
    except InterruptedError:
        raise
    except OSError:  # a file system without locks, or a folder that cannot be written
        return None


def _wait(descriptor: int, before_waiting: Callable[[], None], given_up: Callable[[], bool]) -> None:
    if _taken(descriptor):
        return
    before_waiting()
    while not _taken(descriptor):  # a lock that blocks would not hear that it is given up
        if given_up():
            raise InterruptedError("engine: nobody waits for it any more")
        time.sleep(POLL_S)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lies_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one of that name; its holder removes it when done."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
