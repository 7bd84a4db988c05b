"""The user's folder of what can be fetched or made again."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(name: str = "") -> Path:
    """Our folder, or that of one kind of things: ``pose_ros/<name>`` in ``$XDG_CACHE_HOME``, by default ``~/.cache``.

    A relative ``XDG_CACHE_HOME`` counts for nothing, as the XDG Base Directory Specification asks.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (home if home.is_absolute() else Path.home() / ".cache") / "pose_ros" / name
