"""Write files atomically, and locate the user's cache folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file completely or not at all.

    The context manager yields a temporary path to write to. At the end, the temporary file replaces ``path``. After an
    exception the old file stays, and the temporary file is deleted. Several writers may run at once, in threads or in
    containers that share a process number. The last one wins.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def user_cache(name: str = "") -> Path:
    """Return the folder ``pose_ros/<name>`` in ``$XDG_CACHE_HOME``, by default ``~/.cache``.

    A relative ``XDG_CACHE_HOME`` is ignored, as the XDG Base Directory Specification requires.

    Args:
        name: Name of the subfolder. Empty = the cache folder of the package.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "pose_ros" / name
