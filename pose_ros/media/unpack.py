"""Unpack data that are compressed with zstd or lz4, with a limit of their size."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

MAX_UNPACKED_BYTES = 2**29
"""Most bytes that one message or chunk may unpack to."""
_ZSTD_START = b"\x28\xb5\x2f\xfd"
_PIECE_BYTES = 1 << 20


def unpack(data: bytes, compression: str, limit_bytes: int = MAX_UNPACKED_BYTES) -> bytes:
    """Unpack data. If they are cut off, return the part that can be unpacked.

    Args:
        data: Compressed data.
        compression: ``"zstd"``, ``"lz4"``, or empty = not compressed.
        limit_bytes: Expected length. The result has at most one byte more.

    Raises:
        ValueError: If the data are damaged or compressed in another way.
    """
    if limit_bytes > MAX_UNPACKED_BYTES:
        raise ValueError(f"expected at most {MAX_UNPACKED_BYTES} bytes, got {limit_bytes}")
    if not compression:
        return data
    try:
        return bytes(_make_decompressor(compression).decompress(data, limit_bytes + 1))
    except (ImportError, ValueError):
        raise
    except Exception as error:  # each library has its own class
        raise ValueError(f"expected {compression} data, got: {error}") from error


def unpack_message(data: bytes) -> bytes:
    """Unpack a message of a bag, if it is compressed. A message that is not compressed starts with 0.

    Raises:
        ValueError: If the data are damaged or larger than ``MAX_UNPACKED_BYTES``.
    """
    if not data.startswith(_ZSTD_START):
        return data
    unpacked = unpack(data, "zstd")
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise ValueError(f"expected at most {MAX_UNPACKED_BYTES} bytes, got more")
    return unpacked


def unpack_file(path: Path, target: Path) -> None:
    """Unpack a file that is compressed with zstd.

    Raises:
        OSError: If the disk is full.
        ValueError: If the file is damaged.
    """
    try:
        with zstd_module().open(path, "rb") as source, target.open("wb") as file:
            while piece := source.read(_PIECE_BYTES):
                file.write(piece)
    except (ImportError, OSError):
        raise
    except EOFError:
        return  # cut off: the reader of the content reports it
    except Exception as error:
        raise ValueError(f"expected zstd data, got: {error}") from error


def _make_decompressor(compression: str) -> Any:
    makers: dict[str, Callable[[], Any]] = {"zstd": _make_zstd, "lz4": _make_lz4}
    if compression not in makers:
        raise ValueError(f"expected zstd or lz4 data, got {compression[:20]!r}")
    return makers[compression]()


def _make_zstd() -> Any:
    return zstd_module().ZstdDecompressor()


def _make_lz4() -> Any:
    return importlib.import_module("lz4.frame").LZ4FrameDecompressor()


def zstd_module() -> Any:
    """Return the zstd module: part of Python since 3.14, before a package that rosbags installs."""
    with suppress(ImportError):
        return importlib.import_module("compression.zstd")
    with suppress(ImportError):
        return importlib.import_module("backports.zstd")
    raise ImportError("zstd: expected a module to unpack the bag, got none; pip install backports.zstd")
