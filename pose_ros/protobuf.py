"""Parse Protocol Buffers with a schema that the caller declares, without compiler and generated code.

A schema lists the fields to read. All other fields are skipped. The schema also limits the nesting, so that a file
cannot recurse deeper than its schema. ``MAX_FIELDS`` limits the time and memory that a file can cost::

    LAYER = {1: ("name", Kind.TEXT), 7: ("blobs", BLOB)}
    NET = {100: ("layer", LAYER)}
    parse(data, NET)  # {"layer": [{"name": ["conv1"], "blobs": [{…}, …]}, …]}

References:
    Protocol Buffers, Encoding, https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Union

import numpy as np

VARINT, FIXED_64, BLOCK, FIXED_32 = 0, 1, 2, 5
"""Wire types. The two types of groups are not supported: they were deprecated before the supported files existed."""
VARINT_BYTES = 10
"""Most bytes of a varint."""

MAX_FIELDS = 200_000
"""Most fields and packed integers of a file, nested and skipped ones included. Published networks have up to 50,000."""


class Kind(Enum):
    """Type of a field. Every field may be repeated, so its values are a list."""

    INTEGER = "signed integers, packed or not"
    FLOAT = "float32, an array for each packed run"
    DOUBLE = "float64, an array for each packed run"
    BYTES = "a view of the bytes"
    TEXT = "text"


Schema = Mapping[int, tuple[str, Union[Kind, "Schema"]]]
"""Maps the number of a field to its name and type. The type of a nested message is another schema."""

_DTYPES: dict[Kind, np.dtype[Any]] = {Kind.FLOAT: np.dtype("<f4"), Kind.DOUBLE: np.dtype("<f8")}
_WIRES = {
    Kind.INTEGER: (VARINT, BLOCK),
    Kind.FLOAT: (FIXED_32, BLOCK),
    Kind.DOUBLE: (FIXED_64, BLOCK),
    Kind.BYTES: (BLOCK,),
    Kind.TEXT: (BLOCK,),
}


class Message(dict[str, list[Any]]):
    """Field names and their values. A missing field has an empty list, which takes no memory."""

    def __missing__(self, name: str) -> list[Any]:
        return []


def parse(data: bytes | memoryview, schema: Schema) -> Message:
    """Parse a message.

    Args:
        data: Encoded message.
        schema: Fields to read.

    Returns:
        Field names and their values, in the order of the file. Arrays and bytes are views of ``data``.

    Raises:
        ValueError: If the message is truncated, does not match the schema, or has more than ``MAX_FIELDS`` fields.
    """
    return _parse(memoryview(data), schema, itertools.count(1))


def _parse(data: memoryview, schema: Schema, counter: Iterator[int]) -> Message:
    found = Message()
    for number, wire, value in _read_fields(data):
        _count(counter)
        if number in schema:
            name, kind = schema[number]
            found.setdefault(name, []).extend(_read_values(name, kind, wire, value, counter))
    return found


def _count(counter: Iterator[int]) -> None:
    """Count a field.

    Raises:
        ValueError: If the file has too many.
    """
    if next(counter) > MAX_FIELDS:
        raise ValueError(f"protobuf: expected at most {MAX_FIELDS} fields, got more; no network needs so many")


def _read_fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Yield number, wire type and raw value of each field. The value is an integer for VARINT, else bytes."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _read_varint(data, at)
            yield number, wire, value
            continue
        if wire == BLOCK:
            size, at = _read_varint(data, at)
        elif wire in (FIXED_32, FIXED_64):
            size = 4 if wire == FIXED_32 else 8
        else:
            raise ValueError(f"protobuf: expected a wire type of 0, 1, 2 or 5, got {wire} at byte {at}")
        if size > len(data) - at:
            left = len(data) - at
            raise ValueError(f"protobuf: expected {size} bytes at byte {at}, got {left}; the file is truncated")
        yield number, wire, data[at : at + size]
        at += size


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read an integer with seven bits per byte, low bits first. Return it and the position after it."""
    if at < len(data) and (first := data[at]) < 0x80:  # nearly all are short
        return first, at + 1
    value = 0
    for shift, byte in enumerate(data[at : at + VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise ValueError(f"protobuf: expected an integer at byte {at}, got no end; the file is truncated or not a protobuf")


def _read_values(name: str, kind: Kind | Schema, wire: int, value: Any, counter: Iterator[int]) -> list[Any]:
    wires = _WIRES[kind] if isinstance(kind, Kind) else (BLOCK,)
    if wire not in wires:
        raise ValueError(f"protobuf {name}: expected a wire type of {wires}, got {wire}; the file has another format")
    if not isinstance(kind, Kind):
        return [_parse(value, kind, counter)]
    if kind is Kind.INTEGER:
        return [_to_signed(value)] if wire == VARINT else _read_integers(value, counter)
    if kind in _DTYPES:
        return [_to_array(name, value, _DTYPES[kind])]
    return [_to_text(name, value) if kind is Kind.TEXT else value]


def _read_integers(data: memoryview, counter: Iterator[int]) -> list[int]:
    values, at = [], 0
    while at < len(data):
        _count(counter)
        value, at = _read_varint(data, at)
        values.append(_to_signed(value))
    return values


def _to_signed(value: int) -> int:
    """Convert a 64-bit two's complement to a signed integer."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _to_array(name: str, data: memoryview, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if len(data) % dtype.itemsize:
        raise ValueError(f"protobuf {name}: expected whole numbers of {dtype.itemsize} bytes, got {len(data)} bytes")
    return np.frombuffer(data, dtype)


def _to_text(name: str, data: memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"protobuf {name}: expected text, got {bytes(data[:20])!r}") from error
