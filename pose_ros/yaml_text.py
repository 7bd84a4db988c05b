"""The text of YAML files that users write."""

from __future__ import annotations

from pathlib import Path


def yaml_text(path: Path, name: str) -> str:
    """Read a file that ought to be YAML; it is not parsed.

    Args:
        path: The file.
        name: What it is, for errors.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{name}: expected a YAML file, got {path}, which does not exist")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected a YAML file, got {path}, which is no text") from error
