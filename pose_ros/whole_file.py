"""Files that appear whole or not at all, whatever interrupts their writing."""

from __future__ import annotations

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
