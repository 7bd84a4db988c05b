"""Encode Protocol Buffers by hand, also messages that no library would write."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """Encode an integer, a negative one in 64 bits."""
    number &= (1 << 64) - 1
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def entry(number: int, value: bytes | int) -> bytes:
    """Encode one field of a message: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value
