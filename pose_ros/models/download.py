"""Download one file over HTTP: resumed after an interruption, verified, and saved completely or not at all.

The received bytes are never executed, unpacked or parsed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pose_ros.file_kind import HEAD_BYTES, FileKind, identify_bytes

DownloadProgress = Callable[[int, int], None]
"""Called with received bytes and total bytes. If the server sends no length, the total is the bytes at the start."""

CHUNK_BYTES = 1 << 18
MAX_BYTES = 4 << 30
"""Default limit of a file, bytes. The largest known model has a quarter of it."""
MAX_S = 6 * 3600.0
"""Default limit of the time of a download, seconds."""
PARTIAL_CONTENT = 206
RANGE_NOT_SATISFIABLE = 416
ADVICE = {
    401: "the server requires a login",
    403: "the server rejects programs, or requires a login",
    404: "the publisher has moved or removed the file",
    429: "too many downloads at the moment: try again later",
}


def download(
    url: str,
    target: Path,
    checksum: str = "not pinned",
    progress: DownloadProgress | None = None,
    timeout_s: float = 30.0,
    max_bytes: int = MAX_BYTES,
    max_s: float = MAX_S,
) -> None:
    """Download a file. An interrupted download, ``TARGET.part``, is resumed if the server supports it.

    A link in place of ``TARGET.part`` is removed, and what it leads to is not touched.

    Several processes can download the same file at the same time. One downloads it, and the others wait.

    Args:
        url: Address of the file, http or https.
        target: Path of the result. An existing file is verified and kept.
        checksum: ``sha256:`` or ``md5:`` and its first or all digits, or ``not pinned``.
        progress: Called after every received piece.
        timeout_s: Longest wait for data from the server, seconds.
        max_bytes: Largest file.
        max_s: Longest time of the whole download, seconds.

    Raises:
        ValueError: If the checksum differs or the file is too large (the received data are then removed), if the
            server sent a web page, or if it redirects from https or to an address of neither http nor https.
        OSError: If the server is not reachable, does not have the file, stops early or is too slow, or the disk is
            full.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"download: expected an address of http or https, got {url}")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with _lock_part(part) as file, _explain_errors(url, part):
        if target.exists():  # it existed before, or the process that we waited for has downloaded it
            _remove_part(part)
            verify(target, checksum)
            return
        try:
            _fetch(url, file, progress, _Limits(timeout_s, max_bytes, time.monotonic() + max_s))
            os.fsync(file.fileno())
            verify(part, checksum)
        except ValueError as error:
            _remove_part(part)
            raise ValueError(f"download {url}: {error}; the received data was removed") from error
        part.replace(target)
        _remove_part(part)


def verify(path: Path, checksum: str) -> None:
    """Compare a file with its checksum.

    Raises:
        ValueError: If the checksum differs.
    """
    algorithm, colon, digits = checksum.partition(":")
    got = digest(path, algorithm) if colon else digits
    if not got.startswith(digits):
        raise ValueError(f"{path.name}: expected {checksum}, got {algorithm}:{got}")


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Compute the checksum of a file, in hexadecimal digits."""
    total = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            total.update(piece)
    return total.hexdigest()


def is_web_page(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a web page."""
    return identify_bytes(head[:HEAD_BYTES]) is FileKind.WEB_PAGE


@contextmanager
def _lock_part(part: Path) -> Iterator[IO[bytes]]:
    """Open the unfinished file for appending, with an exclusive lock."""
    while True:
        with _open_part(part) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                is_current = os.path.samestat(os.fstat(file.fileno()), part.lstat())
            except FileNotFoundError:
                is_current = False  # the process that we waited for has finished and renamed it
            if is_current:
                try:
                    yield file
                finally:
                    if not os.fstat(file.fileno()).st_size:
                        _remove_part(part)
                return


def _open_part(part: Path) -> IO[bytes]:
    """Open the unfinished file for appending. Symbolic links, hard links and pipes in its place are removed first."""
    with suppress(FileNotFoundError):
        state = part.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
            _remove_part(part)
    # Without a buffer, so that the size in an error is true, and a full disk is noticed when the data are written
    return open(part, "ab", buffering=0, opener=_open_nofollow)


def _open_nofollow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


@dataclass(frozen=True)
class _Limits:
    """Limits of a download. ``deadline_s`` is a time of ``time.monotonic``."""

    timeout_s: float
    max_bytes: int
    deadline_s: float

    def check(self, received: int) -> None:
        """Compare the bytes of the file and the time with the limits."""
        if received > self.max_bytes:
            raise ValueError(f"expected a file of at most {self.max_bytes} bytes, got at least {received}")
        if time.monotonic() > self.deadline_s:
            raise TimeoutError


class _CheckedRedirects(HTTPRedirectHandler):
    """Follows redirects to http and https, and from https only to https."""

    def redirect_request(self, request: Request, *answer: Any) -> Request | None:
        url = str(answer[-1])
        if not url.startswith(("https://", "http://" if request.type == "http" else "https://")):
            raise ValueError(f"expected a redirect to {'http or ' * (request.type == 'http')}https, got {url:.200}")
        return super().redirect_request(request, *answer)


def _fetch(url: str, file: IO[bytes], progress: DownloadProgress | None, limits: _Limits) -> None:
    tag = _tag_of(Path(file.name))
    is_known = tag.is_file() and not tag.is_symlink()
    start = os.fstat(file.fileno()).st_size if is_known else 0  # tell() is wrong if another process has written
    resume = {"Range": f"bytes={start}-", "If-Range": tag.read_text()} if start else {}
    try:
        request = Request(url, headers={"User-Agent": "pose_ros", **resume})
        answer = build_opener(_CheckedRedirects).open(request, timeout=limits.timeout_s)
    except HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE or not start:
            raise
        tag.unlink()  # the part has all bytes or too many: without its tag, the download starts again
        _fetch(url, file, progress, limits)
        return
    with answer:
        if answer.status != PARTIAL_CONTENT:  # the server does not support resuming, or has a different file now
            start = 0
            file.truncate(0)
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise ValueError(f"expected the bytes from {start} on, got {answer.headers.get('Content-Range')}")
        _receive(answer, file, start, progress, limits)


def _receive(answer: Any, file: IO[bytes], got: int, progress: DownloadProgress | None, limits: _Limits) -> None:
    """Write the body, which starts at byte ``got``."""
    part = Path(file.name)
    total = got + int(answer.headers.get("Content-Length") or 0)
    limits.check(total)
    if total - got > (free := shutil.disk_usage(part.parent).free):
        raise OSError(errno.ENOSPC, f"{total - got} bytes do not fit into {free} free bytes", str(part.parent))
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    if tag and not tag.startswith("W/"):  # a weak tag does not guarantee identical bytes
        _tag_of(part).unlink(missing_ok=True)  # it may be a link
        with open(_tag_of(part), "x", opener=_open_nofollow) as tag_file:
            tag_file.write(tag)
    while piece := answer.read1(CHUNK_BYTES):  # what is there: a slow server must not outlast the time limit
        limits.check(got + len(piece))
        if got == 0 and (is_web_page(piece) or answer.headers.get_content_type() == "text/html"):
            raise ValueError(_web_page_message(answer.url))
        _write_all(file, piece)
        got += len(piece)
        if progress:
            progress(got, total)
    if got < total:
        raise http.client.IncompleteRead(b"", total - got)


def _write_all(file: IO[bytes], piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[file.write(left) :]


def _web_page_message(url: str) -> str:
    reason = "Google Drive requires a confirmation" if "google.com" in url else "a login or confirmation page?"
    return f"expected a file, got a web page ({reason}): open it in a browser and save the file yourself"


@contextmanager
def _explain_errors(url: str, part: Path) -> Iterator[None]:
    """Raise errors of the network and the disk again, with a message of one sentence."""
    try:
        yield
    except HTTPError as error:
        advice = f"; {ADVICE[error.code]}" if error.code in ADVICE else ""
        raise OSError(f"download {url}: expected a file, got HTTP {error.code} {error.reason}{advice}") from error
    except URLError as error:
        raise OSError(f"download {url}: expected an answer, got {_describe_reason(error.reason)}") from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise OSError(
            f"download {url}: expected the whole file, got {part.stat().st_size} bytes and then no more data; "
            "repeat the command to resume"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(f"download {url}: expected free space in {part.parent}, got a full disk") from error
        raise


def _describe_reason(reason: object) -> str:
    if isinstance(reason, socket.gaierror):
        return "an unknown host (is this machine online?)"
    if isinstance(reason, TimeoutError):
        return "a timeout (is this machine online?)"
    return f"{reason} (is this machine online?)"


def _tag_of(part: Path) -> Path:
    """Return the path of the server's entity tag, which identifies the received bytes."""
    return part.with_name(f"{part.name}.tag")


def _remove_part(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_of(part).unlink(missing_ok=True)
