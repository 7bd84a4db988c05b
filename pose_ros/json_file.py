"""Read JSON files. Every fault of a file is one error with its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pose_ros.file_kind import HEAD_BYTES, FileKind, describe_kind, identify_bytes


def read_json(file: Path, name: str) -> Any:
    """Read a JSON file.

    Args:
        file: The file, which exists.
        name: Name of the content, for errors.

    Raises:
        ValueError: If the file is not JSON, or its lists are nested too deeply.
    """
    try:
        return parse_json(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{name} {file}: expected JSON, got {error}") from error


def parse_json(data: bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: If the data are not JSON, or lists are nested too deeply.
    """
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("lists or objects that are nested too deeply") from error
    except UnicodeDecodeError as error:
        kind = identify_bytes(data[:HEAD_BYTES])
        is_known = kind not in (FileKind.UNKNOWN, FileKind.TEXT)
        raise ValueError(describe_kind(kind) if is_known else "bytes that are no text") from error
