"""The checksum of a model file, together with the files of weights that it names."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

ABSENT = "absent"
_PIECE_BYTES = 1 << 20
_LONGEST_NAME = 4096
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x80-\xff]?[\x01-\x7f])")
"""How ONNX begins to name a file of weights: the key ``location``, then the length of the name in one or two bytes."""


def model_sha256(path: str | Path) -> str:
    """The checksum of a model: the SHA-256 of its file, which is read in pieces.

    Where an ONNX file keeps weights in other files, these count, too: the checksum is then the SHA-256 of a list of
    all names and checksums. They are found by the entries ``location`` that name them, wherever in the graph, relative
    to the model's folder; one that is not there counts as absent.

    Raises:
        OSError: If a file cannot be read.
    """
    path = Path(path)
    whole, names, before = hashlib.sha256(), set[str](), b""
    for piece in _pieces(path):
        whole.update(piece)
        window = before + piece
        names.update(_names(window))
        before = window[-2 * _LONGEST_NAME :]  # an entry may go on in the next piece
    if not names:
        return whole.hexdigest()
    return sha256_of_json([whole.hexdigest(), *([name, _sha256(path.parent / name)] for name in sorted(names))])


def sha256_of_json(data: object) -> str:
    """SHA-256 of data, whatever the order of its entries. JSON quotes, so texts cannot run into one another."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _names(window: bytes) -> Iterator[str]:
    for match in _LOCATION.finditer(window):
        length = match[1][0] & 0x7F | sum(byte << 7 for byte in match[1][1:])
        name = window[match.end() : match.end() + length]
        if len(name) == length <= _LONGEST_NAME:
            yield os.fsdecode(name)


def _sha256(path: Path) -> str:
    if not os.path.isfile(path):  # it may be called anything, which Path.is_file does not bear
        return ABSENT
    whole = hashlib.sha256()
    for piece in _pieces(path):
        whole.update(piece)
    return whole.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
