"""Damage data at random, as fuzzers do."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

NUMBERS = (0, 1, 2, 3, 4, 8, 16, 127, 128, 255, 256, 1000, 8192, 20_000, 32_767, 65_535, 65_536, 2**20, 2**24 - 1)
NUMBERS += (2**26, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 16, 2**40, 2**63, 2**64 - 1)
"""Numbers that sizes, counts and offsets are compared with."""
_HEAD = 256


def mutate(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Damage data in one to six places. Half of the changes are in the first 256 bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
        if not changed:
            break
        at = rng.randrange(min(len(changed), _HEAD) if rng.random() < 0.5 else len(changed))
        rng.choice(_CHANGES)(changed, at, rng, others)
    return bytes(changed)


def _set_byte(data: bytearray, at: int, rng: random.Random, others: list[bytes]) -> None:
    data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))


def _flip_bit(data: bytearray, at: int, rng: random.Random, others: list[bytes]) -> None:
    data[at] ^= 1 << rng.randrange(8)


def _set_number(data: bytearray, at: int, rng: random.Random, others: list[bytes]) -> None:
    code, limit = rng.choice((("H", 2**16), ("I", 2**32), ("I", 2**32), ("Q", 2**64)))
    packed = struct.pack(rng.choice("<>") + code, rng.choice(NUMBERS) % limit)
    data[at : at + len(packed)] = packed


def _cut(data: bytearray, at: int, rng: random.Random, others: list[bytes]) -> None:
    del data[at : at + rng.choice((1, 2, 4, 12, 64, len(data)))]


def _repeat(data: bytearray, at: int, rng: random.Random, others: list[bytes]) -> None:
    piece = data[at : at + rng.choice((1, 4, 12, 64, 1024))]
    data[at:at] = piece * rng.choice((1, 2, 16, 200))


def _insert_other(data: bytearray, at: int, rng: random.Random, others: list[bytes]) -> None:
    other = rng.choice(others)
    start = rng.randrange(len(other))
    data[at:at] = other[start : start + rng.choice((4, 16, 64, len(other)))]


_Change = Callable[[bytearray, int, random.Random, list[bytes]], None]
_CHANGES: tuple[_Change, ...] = (
    *(_set_byte, _set_byte, _flip_bit, _flip_bit, _set_number, _set_number, _set_number),
    *(_cut, _repeat, _insert_other),
)
