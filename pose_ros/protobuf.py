"""Protocol Buffers read by a schema that is declared where it is used: no compiler, no generated code.

A schema names the fields that are wanted; all others are skipped. It also bounds the nesting, so that a file cannot
recurse deeper than its schema::

    LAYER = {1: ("name", Kind.TEXT), 7: ("blobs", BLOB)}
    NET = {100: ("layer", LAYER)}
    parse(data, NET)  # {"layer": [{"name": ["conv1"], "blobs": [{…}, …]}, …]}

References:
    Protocol Buffers, Encoding, https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Union

import numpy as np

VARINT, FIXED_64, BLOCK, FIXED_32 = 0, 1, 2, 5
"""Wire types. The two of groups were given up before any file that is read here was written."""
VARINT_BYTES = 10


class Kind(Enum):
    """What a field holds. Every field may be repeated: its values come as a list."""

    INTEGER = "signed integers, packed or not"
    FLOAT = "float32, an array for each packed run"
    DOUBLE = "float64, an array for each packed run"
    BYTES = "a view of the bytes"
    TEXT = "text"


Schema = Mapping[int, tuple[str, Union[Kind, "Schema"]]]
"""Number of a field to its name and what it holds; another schema for a message within."""

_DTYPES: dict[Kind, np.dtype[Any]] = {Kind.FLOAT: np.dtype("<f4"), Kind.DOUBLE: np.dtype("<f8")}
_WIRES = {
    Kind.INTEGER: (VARINT, BLOCK),
    Kind.FLOAT: (FIXED_32, BLOCK),
    Kind.DOUBLE: (FIXED_64, BLOCK),
    Kind.BYTES: (BLOCK,),
    Kind.TEXT: (BLOCK,),
}


def parse(data: bytes | memoryview, schema: Schema) -> dict[str, list[Any]]:
    """Read a message.

    Returns:
        Name to values, in the order of the file; an empty list for a field that is not there. Arrays and bytes are
        views of ``data``.

    Raises:
        ValueError: If the message is cut off, or not of this schema.
    """
    found: dict[str, list[Any]] = {name: [] for name, _ in schema.values()}
    for number, wire, value in _fields(memoryview(data)):
        if number in schema:
            name, kind = schema[number]
            found[name] += _values(name, kind, wire, value)
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and raw value of each field: an integer for VARINT, else bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == BLOCK:
            size, at = _varint(data, at)
        elif wire in (FIXED_32, FIXED_64):
            size = 4 if wire == FIXED_32 else 8
        else:
            raise ValueError(f"protobuf: expected a wire type of 0, 1, 2 or 5, got {wire} at byte {at}")
        if size > len(data) - at:
            raise ValueError(f"protobuf: expected {size} bytes at byte {at}, got {len(data) - at}: the file is cut off")
        yield number, wire, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, low ones first, and where it ends."""
    value = 0
    for shift, byte in enumerate(data[at : at + VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise ValueError(f"protobuf: expected an integer at byte {at}, got none that ends: the file is cut off, or another")


def _values(name: str, kind: Kind | Schema, wire: int, value: Any) -> list[Any]:
    wires = _WIRES[kind] if isinstance(kind, Kind) else (BLOCK,)
    if wire not in wires:
        raise ValueError(f"protobuf {name}: expected a wire type of {wires}, got {wire}: a file of another kind")
    if not isinstance(kind, Kind):
        return [parse(value, kind)]
    if kind is Kind.INTEGER:
        return [_signed(value)] if wire == VARINT else _integers(value)
    if kind in _DTYPES:
        return [_array(name, value, _DTYPES[kind])]
    return [_text(name, value) if kind is Kind.TEXT else value]


def _integers(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(_signed(value))
    return values


def _signed(value: int) -> int:
    """Negative integers are written as their 64-bit complement."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _array(name: str, data: memoryview, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if len(data) % dtype.itemsize:
        raise ValueError(f"protobuf {name}: expected whole numbers of {dtype.itemsize} bytes, got {len(data)} bytes")
    return np.frombuffer(data, dtype)


def _text(name: str, data: memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"protobuf {name}: expected text, got {bytes(data[:20])!r}") from error
