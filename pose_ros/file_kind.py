"""Identify a file by its first bytes. Its name may have any suffix.

References:
    ISO/IEC 14496-12 (``ftyp``), MCAP (https://mcap.dev/spec), Git LFS (the pointer file), RFC 8878 (Zstandard).
"""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

HEAD_BYTES = 512


class FileKind(Enum):
    """Kind of a file. The value names it in a sentence: "got a web page"."""

    IMAGE = "an image"
    ANIMATION = "a GIF"
    HEIC = "a HEIC image"
    MCAP = "an MCAP file"
    SQLITE = "an SQLite database"
    ROS1_BAG = "a ROS 1 bag"
    ZSTD = "a file compressed with zstd"
    VIDEO = "a video"
    WEB_PAGE = "a web page"
    LFS_POINTER = "a Git LFS pointer"
    TEXT = "a text file"
    ARCHIVE = "an archive"
    PDF = "a PDF document"
    EMPTY = "an empty file"
    UNKNOWN = "an unknown format"


_STARTS = {
    b"\xff\xd8\xff": FileKind.IMAGE,  # JPEG
    b"\x89PNG\r\n\x1a\n": FileKind.IMAGE,
    b"II*\0": FileKind.IMAGE,  # TIFF
    b"MM\0*": FileKind.IMAGE,
    b"II+\0": FileKind.IMAGE,  # BigTIFF
    b"MM\0+": FileKind.IMAGE,
    b"\0\0\0\x0cjP  \r\n\x87\n": FileKind.IMAGE,  # JPEG 2000
    b"\xffO\xffQ": FileKind.IMAGE,  # JPEG 2000 without container
    b"#?RADIANCE": FileKind.IMAGE,
    b"#?RGBE": FileKind.IMAGE,
    b"\x59\xa6\x6a\x95": FileKind.IMAGE,  # Sun raster
    b"GIF8": FileKind.ANIMATION,
    b"\x89MCAP": FileKind.MCAP,
    b"SQLite format 3\0": FileKind.SQLITE,
    b"#ROSBAG ": FileKind.ROS1_BAG,
    b"\x28\xb5\x2f\xfd": FileKind.ZSTD,
    b"\x1aE\xdf\xa3": FileKind.VIDEO,  # Matroska, WebM
    b"YUV4MPEG2 ": FileKind.VIDEO,
    b"version https://git-lfs": FileKind.LFS_POINTER,
    b"%PDF-": FileKind.PDF,
    b"PK\x03\x04": FileKind.ARCHIVE,
    b"PK\x05\x06": FileKind.ARCHIVE,
    b"\x1f\x8b": FileKind.ARCHIVE,
    b"7z\xbc\xaf\x27\x1c": FileKind.ARCHIVE,
    b"Rar!": FileKind.ARCHIVE,
    b"\xfd7zXZ": FileKind.ARCHIVE,
}
_RIFF = {b"WEBP": FileKind.IMAGE, b"AVI ": FileKind.VIDEO}
_BRANDS = dict.fromkeys((b"mif1", b"msf1", b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"), FileKind.HEIC)
_WEB_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_NETPBM = re.compile(rb"P[1-7Ff]\s")
_BITMAP = re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", re.DOTALL)
_PATTERNS = {_NETPBM: FileKind.IMAGE, _BITMAP: FileKind.IMAGE, _WEB_PAGE: FileKind.WEB_PAGE}
_BINARY = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")

MEDIA = (FileKind.IMAGE, FileKind.ANIMATION, FileKind.VIDEO, FileKind.UNKNOWN)
"""Kinds that OpenCV may be able to read."""


def identify_file(path: Path) -> FileKind:
    """Identify a file.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        return identify_bytes(file.read(HEAD_BYTES))


def identify_bytes(head: bytes) -> FileKind:
    """Identify a file by its first bytes, ``HEAD_BYTES`` or the whole file."""
    if not head:
        return FileKind.EMPTY
    if head[4:8] == b"ftyp":
        brands = head[8 : max(12, int.from_bytes(head[:4], "big"))]
        return FileKind.IMAGE if b"avif" in brands else _BRANDS.get(head[8:12], FileKind.VIDEO)
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], FileKind.UNKNOWN)
    start = next((kind for start, kind in _STARTS.items() if head.startswith(start)), None)
    pattern = next((kind for pattern, kind in _PATTERNS.items() if pattern.match(head)), None)
    return start or pattern or (FileKind.TEXT if _is_text(head) else FileKind.UNKNOWN)


def check_not_placeholder(path: Path, name: str, expected: str) -> None:
    """Check that a file is not what is often saved in its place: a web page or a Git LFS pointer.

    Args:
        path: Existing file.
        name: Name for the error, e.g. ``"model"``.
        expected: Expected content, e.g. ``"a network"``.

    Raises:
        ValueError: If the file is one of these.
    """
    kind = identify_file(path)
    if kind in (FileKind.WEB_PAGE, FileKind.LFS_POINTER):
        raise ValueError(f"{name} {path}: expected {expected}, got {describe_kind(kind)}")


def describe_kind(kind: FileKind) -> str:
    """Name a kind of file in a sentence, with what to do about it."""
    return kind.value + _CURES.get(kind, "")


_CURES = {
    FileKind.WEB_PAGE: " (a login or confirmation page?); open its address in a browser and save the file itself",
    FileKind.LFS_POINTER: "; download the content with git lfs pull",
    FileKind.EMPTY: "; copy or download it again",
    FileKind.ROS1_BAG: "; convert it: pip install rosbags, then rosbags-convert --src FILE.bag --dst FOLDER",
    FileKind.HEIC: "; convert it to JPEG",
    FileKind.ARCHIVE: "; unpack it",
    FileKind.PDF: "; save its pages as images",
    FileKind.VIDEO: "; read it with pose_ros video",
    FileKind.MCAP: "; read it with pose_ros bag",
    FileKind.SQLITE: "; read it with pose_ros bag",
}


def _is_text(head: bytes) -> bool:
    """Return whether bytes are text: UTF-8 without control characters, or UTF-16 with its mark."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return len(head) % 2 == 0 and head.count(b"\0") >= len(head) // 4
    if _BINARY.search(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return len(head) == HEAD_BYTES and error.start > HEAD_BYTES - 4  # a character at the end is cut
    return True
