"""Parse Protocol Buffers with a schema that the caller declares, without compiler and generated code.

A schema lists the fields to read. All other fields are skipped. The schema also limits the nesting, so that a file
cannot recurse deeper than its schema::

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
"""Wire types. The two types of groups are not supported: they were deprecated before the supported files existed."""
VARINT_BYTES = 10
"""Most bytes of a varint."""


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


def parse(data: bytes | memoryview, schema: Schema) -> dict[str, list[Any]]:
    """Parse a message.

    Args:
        data: Encoded message.
        schema: Fields to read.

    Returns:
        Field names and their values, in the order of the file. A missing field has an empty list. Arrays and bytes are
        views of ``data``.

    Raises:
        ValueError: If the message is truncated, or does not match the schema.
    """
    found: dict[str, list[Any]] = {name: [] for name, _ in schema.values()}
    for number, wire, value in _read_fields(memoryview(data)):
        if number in schema:
            name, kind = schema[number]
            found[name] += _read_values(name, kind, wire, value)
    return found


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
    value = 0
    for shift, byte in enumerate(data[at : at + VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise ValueError(f"protobuf: expected an integer at byte {at}, got no end; the file is truncated or not a protobuf")


def _read_values(name: str, kind: Kind | Schema, wire: int, value: Any) -> list[Any]:
    wires = _WIRES[kind] if isinstance(kind, Kind) else (BLOCK,)
    if wire not in wires:
        raise ValueError(f"protobuf {name}: expected a wire type of {wires}, got {wire}; the file has another format")
    if not isinstance(kind, Kind):
        return [parse(value, kind)]
    if kind is Kind.INTEGER:
        return [_to_signed(value)] if wire == VARINT else _read_integers(value)
    if kind in _DTYPES:
        return [_to_array(name, value, _DTYPES[kind])]
    return [_to_text(name, value) if kind is Kind.TEXT else value]


def _read_integers(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
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
