"""Files that appear whole or not at all, and the user's cache folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appears_whole(path: Path) -> Iterator[Path]:
    """Gives the path to write to; what stands there at the end takes the place of ``path``, unless it was interrupted.

    The file before stays until then, and nothing unfinished is left behind. Of several writers at once, threads or
    containers with one process number, the last one's stays.
    """
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def user_cache(name: str = "") -> Path:
    """Our folder, or that of one kind of things: ``pose_ros/<name>`` in ``$XDG_CACHE_HOME``, by default ``~/.cache``.

    A relative ``XDG_CACHE_HOME`` counts for nothing, as the XDG Base Directory Specification asks.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "pose_ros" / name
