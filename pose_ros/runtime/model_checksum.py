"""Compute the checksum of a model file, including its external weight files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

ABSENT = "absent"
_CHUNK_BYTES = 1 << 20
_MAX_NAME_BYTES = 4096
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x80-\xff]?[\x01-\x7f])")
"""Start of an external file name in ONNX: the key ``location``, then the length of the name in one or two bytes."""


def model_sha256(path: str | Path) -> str:
    """Compute the checksum of a model: the SHA-256 of its file, which is read in chunks.

    Weights that an ONNX file keeps in other files are included. The checksum is then the SHA-256 of a list of all
    names and checksums. These files are found by the ``location`` entries anywhere in the graph. Their names are
    relative to the model's folder. A file that does not exist counts as ``"absent"``.

    Raises:
        OSError: If a file cannot be read.
    """
    path = Path(path)
    checksum, names, before = hashlib.sha256(), set[str](), b""
    for chunk in _read_chunks(path):
        checksum.update(chunk)
        window = before + chunk
        names.update(_find_names(window))
        before = window[-2 * _MAX_NAME_BYTES :]  # an entry may continue in the next chunk
    if not names:
        return checksum.hexdigest()
    return sha256_of_json([checksum.hexdigest(), *([name, _sha256(path.parent / name)] for name in sorted(names))])


def sha256_of_json(data: object) -> str:
    """Compute the SHA-256 of data as JSON, with sorted keys. JSON quotes texts, so two texts cannot merge into one."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _find_names(window: bytes) -> Iterator[str]:
    for match in _LOCATION.finditer(window):
        length = match[1][0] & 0x7F | sum(byte << 7 for byte in match[1][1:])
        name = window[match.end() : match.end() + length]
        if len(name) == length <= _MAX_NAME_BYTES:
            yield os.fsdecode(name)


def _sha256(path: Path) -> str:
    if not os.path.isfile(path):  # Path.is_file raises an error for some names
        return ABSENT
    checksum = hashlib.sha256()
    for chunk in _read_chunks(path):
        checksum.update(chunk)
    return checksum.hexdigest()


def _read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
