"""numba where it is installed, plain Python where not."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

try:
    import numba
except ImportError:
    numba = None

Function = TypeVar("Function", bound=Callable[..., Any])

COMPILED = numba is not None
"""Whether functions marked with ``jit`` are machine code."""


def jit(function: Function) -> Function:
    """Compile on first use and keep the machine code on disk; without numba, return the function itself.

    The compiled code releases the GIL. Where neither the package nor the user's cache folder can be written, it is
    compiled anew by each process.
    """
    if numba is None:
        return function
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # "no locator available": nowhere to write a cache
        return numba.njit(nogil=True)(function)
    _date_by_all_files(compiled)
    compiled._cache = _Forgiving(compiled._cache)
    return compiled


def inlined(function: Function) -> Function:
    """Compile into the functions that call it, and not by itself: a fifth less time to compile them all."""
    return function if numba is None else numba.njit(nogil=True, inline="always")(function)


class _Forgiving:
    """numba's cache, but a damaged file or a full disk means compiling again, not an error."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The kept machine code, or None."""
        try:
            return self._cache.load_overload(signature, context)
        except Exception:  # whatever unpickling a damaged file raises
            return None

    def save_overload(self, signature: Any, code: Any) -> None:
        """Keep machine code, if that can be."""
        try:
            self._cache.save_overload(signature, code)
        except Exception:
            with contextlib.suppress(OSError):
                self._cache.flush()  # an index that cannot be read is begun anew, for the next process


def _date_by_all_files(compiled: Any) -> None:
    """Make the cache valid only while every file of the function's folder, and of this one, is the same.

    numba looks at the file of the function alone, but its machine code holds that of the functions it calls, too.
    """
    cache: Any = getattr(compiled._cache, "_cache_file", None)
    if hasattr(cache, "_source_stamp"):
        folders = {Path(__file__).parent, Path(compiled.py_func.__code__.co_filename).parent}
        cache._source_stamp = tuple(_stamp(folder) for folder in sorted(folders))


@functools.cache
def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    files = sorted(folder.glob("*.py"))
    return tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
