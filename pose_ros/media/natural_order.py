"""Order of file names in which 2 comes before 10."""

from __future__ import annotations

import re
from pathlib import Path


def natural_key(file: Path) -> list[tuple[str, int]]:
    """Return a key for sorting files by name, ``2.png`` before ``10.png``."""
    return [(text, int(digits or -1)) for text, digits in re.findall(r"([^0-9]*)([0-9]*)", file.name.lower())]
