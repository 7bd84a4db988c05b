"""Compile functions with numba if it is installed. Otherwise they run as plain Python."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pose_ros.decoder.numba_import import import_numba

numba = import_numba()
Function = TypeVar("Function", bound=Callable[..., Any])

COMPILED = numba is not None
"""Whether functions decorated with ``jit`` are compiled."""


def jit(function: Function) -> Function:
    """Compile a function on first use, and cache the machine code on disk. Without numba, return the function itself.

    The compiled code releases the GIL. If neither the package folder nor the user's cache folder is writable, each
    process compiles the function again.

    Assign numbers to elements, and never an array to a row or a slice: numba then compiles the error message with all
    its functions for text, which takes seconds.
    """
    if numba is None:
        return function
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # "no locator available": no folder for the cache is writable
        return numba.njit(nogil=True)(function)
    _stamp_by_all_files(compiled)
    compiled._cache = _TolerantCache(compiled._cache)
    return compiled


def jit_inline(function: Function) -> Function:
    """Compile a function only as a part of its callers. This reduces the total compile time by a fifth."""
    return function if numba is None else numba.njit(nogil=True, inline="always")(function)


class _TolerantCache:
    """Cache of numba that does not raise on a damaged file or a full disk. The function is compiled again."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return the cached machine code, or None."""
        try:
            return self._cache.load_overload(signature, context)
        except Exception:  # unpickling a damaged file may raise any error
            return None

    def save_overload(self, signature: Any, code: Any) -> None:
        """Cache machine code, if possible."""
        try:
            self._cache.save_overload(signature, code)
        except Exception:
            with contextlib.suppress(OSError):
                self._cache.flush()  # replaces an unreadable index, for the next process


def _stamp_by_all_files(compiled: Any) -> None:
    """Make the cache invalid when any file changes in the function's folder or in this folder.

    numba checks only the file of the function. But the machine code also contains the functions that it calls.
    """
    cache: Any = getattr(compiled._cache, "_cache_file", None)
    if hasattr(cache, "_source_stamp"):
        folders = {Path(__file__).parent, Path(compiled.py_func.__code__.co_filename).parent}
        cache._source_stamp = tuple(_stamp(folder) for folder in sorted(folders))


@functools.cache
def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    files = sorted(folder.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
