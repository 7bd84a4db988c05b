"""numba where it is installed, plain Python where not."""

from __future__ import annotations

from collections.abc import Callable
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
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # "no locator available": nowhere to write a cache
        return numba.njit(nogil=True)(function)
