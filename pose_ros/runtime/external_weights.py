"""Find the files in which an ONNX file keeps its weights. They must be in the folder of the ONNX file.

An ONNX file of a stranger could otherwise name any file of this machine, or a device that never ends.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

MAX_NAME_BYTES = 4096
SHOWN = 80
"""Most characters of a file name in an error."""


def find_names(message: dict[str, list[Any]]) -> Iterator[str]:
    """Yield the names of external files anywhere in a message of ``onnx_schema``."""
    for field, values in message.items():
        for value in values:
            if isinstance(value, dict):
                if field != "external":
                    yield from find_names(value)
                elif "location" in value["key"]:
                    yield from value["value"]


def locate(model: Path, name: str) -> Path | None:
    """Return the path of an external file. None if it is not a regular file in the folder of the model.

    A link counts as the file it points to. A model that is a link may have its weights in the folder it points to.
    """
    if os.path.isabs(name) or len(os.fsencode(name)) > MAX_NAME_BYTES or "\0" in name:
        return None
    try:
        path = (model.parent / name).resolve()
        is_inside = any(path.is_relative_to(folder) for folder in (model.parent.resolve(), model.resolve().parent))
        return path if is_inside and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # loops of links, and names that the system refuses
        return None


def check_external_files(model: Path, names: Collection[str]) -> None:
    """Check that all external files exist where they may be.

    Raises:
        ValueError: If one does not.
    """
    for name in sorted(names):
        if locate(model, name) is None:
            raise ValueError(
                f"weights in {name[:SHOWN]!r}, which is not a file in the folder of the model; "
                "put all files of the model into one folder"
            )
