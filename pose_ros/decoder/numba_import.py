"""Import numba without SciPy.

numba imports ``scipy.linalg`` to find out whether compiled functions can multiply matrices. If SciPy is installed, that
is a sixth of the CPU time until the first result. Our functions multiply none.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import Any


def import_numba() -> Any:
    """Import numba, and return it. None = not installed.

    A function of another program that multiplies matrices still finds ``scipy.linalg``, when it is compiled.
    """
    try:
        import numba
    except ImportError:
        return None
    if "scipy.linalg" not in sys.modules:
        with suppress(ImportError, AttributeError):  # private names, which a later version may lack
            _skip_search()
    return numba


def _skip_search() -> None:
    """Load the module that searches for SciPy, with a search that does not import it."""
    from numba.np import linalg

    search, linalg.ensure_blas = linalg.ensure_blas, _check_scipy
    try:
        import numba.np.arraymath  # noqa: F401  it searches now, and never again
    finally:
        linalg.ensure_blas = search


def _check_scipy() -> None:
    if find_spec("scipy") is None:
        raise ImportError("expected scipy, got none; pip install scipy")
