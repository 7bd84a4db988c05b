"""Compute the checksum of a model file, including its external weight files."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from pose_ros.runtime.external_weights import locate
from pose_ros.runtime.onnx_graph import read_external_names

ABSENT = "absent"
_CHUNK_BYTES = 1 << 20


def model_sha256(path: str | Path) -> str:
    """Compute the checksum of a model: the SHA-256 of its file, which is read in chunks.

    Weights that an ONNX file keeps in other files are included. The checksum is then the SHA-256 of a list of all
    names and checksums. Their names are relative to the model's folder. A file that is not in this folder counts as
    ``"absent"``, and is not read.

    Raises:
        OSError: If a file cannot be read.
    """
    path, names = Path(path), frozenset[str]()
    checksum = _sha256(path)
    with suppress(ValueError):  # a checkpoint, which has no external weights
        names = read_external_names(path)
    if not names:
        return checksum
    files = ((name, locate(path, name)) for name in sorted(names))
    return sha256_of_json([checksum, *([name, _sha256(file) if file else ABSENT] for name, file in files)])


def sha256_of_json(data: object) -> str:
    """Compute the SHA-256 of data as JSON, with sorted keys. JSON quotes texts, so two texts cannot merge into one."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    """Compute the checksum of a file of known size. Files of /proc have size 0 and no end."""
    checksum, left = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
            checksum.update(chunk)
            left -= len(chunk)
    return checksum.hexdigest()
