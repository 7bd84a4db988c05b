"""Read the requirements of pyproject.toml. Python 3.10 has no reader of TOML, and setup needs no other package."""

from __future__ import annotations

import ast
import re
from pathlib import Path


def read_requirements(pyproject: Path, extra: str | None = None) -> list[str]:
    """Return the packages that pip installs for the library, or those of one extra.

    Raises:
        ValueError: The file has no such list.
    """
    name = extra or "dependencies"
    found = re.search(rf"^{re.escape(name)} = (\[.*?\])$", pyproject.read_text(encoding="utf-8"), re.M | re.S)
    if not found:
        raise ValueError(f"{pyproject}: expected a list {name}, got none")
    return [str(requirement) for requirement in ast.literal_eval(found[1])]
