"""Return the memory of program code that only the start of the node needs.

Loading a model and compiled functions reads most of the LLVM library, and parts of the runtimes that never run again:
more than 100 MB. They count as memory of the process, and the kernel keeps code in memory before anything else.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator

LOADED, DYNAMIC = 1, 2
"""Kinds of program headers: a segment in memory, and the table of the dynamic linker."""
WRITABLE = 2
"""Flag of a segment."""
TEXT_RELOCATIONS = 22
"""Entry in the table of the dynamic linker: it also changes segments that are not writable."""


class _ProgramHeader(ctypes.Structure):
    """``Elf64_Phdr`` of elf.h."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("kind", "flags")),
        *((name, ctypes.c_uint64) for name in ("offset", "start", "physical", "file_size", "size", "alignment")),
    )


class _Library(ctypes.Structure):
    """Beginning of ``struct dl_phdr_info`` of link.h."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.POINTER(_ProgramHeader)),
        ("header_count", ctypes.c_uint16),
    )


_Visit = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Library), ctypes.c_size_t, ctypes.c_void_p)


def return_idle_code() -> None:
    """Unmap the code and the constants of all shared libraries. What runs again is mapped again.

    The pages stay in the kernel's cache of files while there is memory, so that mapping them again takes a few
    milliseconds in total. Only 64-bit Linux can do this.
    """
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for start, end in find_code():
        advise(start, end - start, mmap.MADV_DONTNEED)  # refused if the program has locked its memory


def find_code() -> list[tuple[int, int]]:
    """Find the pages of all loaded libraries that are equal to their files.

    The libraries say so themselves. ``/proc/self/maps`` could show a library that another thread is just loading.

    Returns:
        Addresses of the start and the end of each range.
    """
    ranges: list[tuple[int, int]] = []

    @_Visit
    def visit(library: ctypes._Pointer[_Library], size: int, data: int | None) -> int:
        if library.contents.name.startswith(b"/"):  # others are the program itself, and a part of the kernel
            ranges.extend(_constant_pages(library.contents))
        return 0

    ctypes.CDLL(None).dl_iterate_phdr(visit, None)
    return ranges


def _constant_pages(library: _Library) -> Iterator[tuple[int, int]]:
    headers = library.headers[: library.header_count]
    if any(TEXT_RELOCATIONS in _read_tags(library.address + each.start) for each in headers if each.kind == DYNAMIC):
        return
    for header in headers:
        if header.kind == LOADED and not header.flags & WRITABLE:
            start = -(-(library.address + header.start) // mmap.PAGESIZE) * mmap.PAGESIZE
            end = (library.address + header.start + header.size) // mmap.PAGESIZE * mmap.PAGESIZE
            if start < end:
                yield start, end


def _read_tags(address: int) -> set[int]:
    """Read which entries the table of the dynamic linker at this address has."""
    tags = set()
    while tag := ctypes.c_int64.from_address(address).value:
        tags.add(tag)
        address += 16
    return tags
