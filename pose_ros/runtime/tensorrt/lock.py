"""Lock a file across processes. The kernel releases the lock when its process ends."""

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
    """Error for a lock that is held by another process or thread."""


def do_not_wait() -> None:
    """Raise Busy. Pass it to ``hold_lock`` as ``before_waiting`` to fail instead of waiting.

    Raises:
        Busy: Always.
    """
    raise Busy


@contextmanager
def hold_lock(
    path: Path, before_waiting: Callable[[], None], is_cancelled: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Hold a lock that excludes other processes, and other threads of this process.

    There is no lock if the folder cannot be written or its file system does not support locks.

    Args:
        path: Lock file. It exists only while the lock is held.
        before_waiting: Called if the lock is already held. Any error but OSError cancels the attempt.
        is_cancelled: Called while waiting. True cancels the attempt.

    Raises:
        InterruptedError: If the attempt was cancelled.
    """
    descriptor = _acquire(path, before_waiting, is_cancelled)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                path.unlink()  # while we hold it: a later process then creates a new file
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # close does not unlock a file that a forked child also has open
            os.close(descriptor)


def _acquire(path: Path, before_waiting: Callable[[], None], is_cancelled: Callable[[], bool]) -> int | None:
    """Lock the file and return its descriptor. None if the folder or file system does not allow a lock."""
    try:
        while True:
            descriptor = os.open(path, _FLAGS, 0o644)
            with ExitStack() as cleanup:
                cleanup.callback(os.close, descriptor)
                _wait(descriptor, before_waiting, is_cancelled)
                if _is_file_at(path, descriptor):
                    cleanup.pop_all()
                    return descriptor
    except InterruptedError:
        raise
    except OSError:  # a file system without locks, or a folder that cannot be written
        return None


def _wait(descriptor: int, before_waiting: Callable[[], None], is_cancelled: Callable[[], bool]) -> None:
    if _try_lock(descriptor):
        return
    before_waiting()
    while not _try_lock(descriptor):  # a blocking lock could not be cancelled
        if is_cancelled():
            raise InterruptedError("engine: waiting was cancelled")
        time.sleep(POLL_S)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_file_at(path: Path, descriptor: int) -> bool:
    """Whether the path still refers to the open file. The process that held the lock may have removed the file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
