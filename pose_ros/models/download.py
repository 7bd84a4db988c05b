"""Fetching one file over HTTP: resumed where it stopped, verified, and there whole or not at all.

What arrives is never executed, unpacked or read as anything but bytes.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

DownloadProgress = Callable[[int, int], None]
"""Called with the bytes so far and the bytes in all, 0 where the server does not tell."""

CHUNK_BYTES = 1 << 18
PARTIAL_CONTENT = 206
RANGE_NOT_SATISFIABLE = 416
ADVICE = {
    401: "it asks for a log-in",
    403: "it refuses programs, or asks for a log-in",
    404: "the publisher has moved or withdrawn it",
    429: "too many people want it now: try again later",
}


def download(
    url: str,
    target: Path,
    checksum: str = "not pinned",
    progress: DownloadProgress | None = None,
    timeout_s: float = 30.0,
) -> None:
    """Fetch a file. What is there of an interrupted download, ``TARGET.part``, is continued if the server can.

    Several processes may ask for the same file: one fetches it, the others wait for it.

    Args:
        url: http or https.
        target: Where it goes; a file that is already there is verified and kept.
        checksum: ``sha256:`` or ``md5:`` and its first or all digits, or ``not pinned``.
        progress: Told of every piece.
        timeout_s: Longest silence of the server.

    Raises:
        ValueError: If the file has another checksum (it is then removed), or a web page came instead of a file.
        OSError: If the server cannot be reached, has no such file or stops half-way, or the disk is full.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"download: expected an address of http or https, got {url}")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with _locked(part) as file, _explained(url, part):
        if target.exists():  # it was here before, or the process that we waited for has fetched it
            _forget(part)
            verify(target, checksum)
            return
        try:
            _fetch(url, file, progress, timeout_s)
            file.flush()
            os.fsync(file.fileno())
            verify(part, checksum)
        except ValueError as error:
            _forget(part)
            raise ValueError(f"download {url}: {error}; what came has been removed") from error
        part.replace(target)
        _forget(part)


def verify(path: Path, checksum: str) -> None:
    """Compare a file with its checksum.

    Raises:
        ValueError: If it has another one.
    """
    algorithm, colon, digits = checksum.partition(":")
    got = digest(path, algorithm) if colon else digits
    if not got.startswith(digits):
        raise ValueError(f"{path.name}: expected {checksum}, got {algorithm}:{got}")


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a file, in hexadecimal digits."""
    total = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            total.update(piece)
    return total.hexdigest()


def is_web_page(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a web page."""
    return head.lstrip().lower().startswith((b"<!doctype html", b"<html"))


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """The unfinished file, open for appending, ours alone."""
    while True:
        with part.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                same = os.path.samestat(os.fstat(file.fileno()), part.stat())
            except FileNotFoundError:
                same = False  # whom we waited for has finished and renamed it
            if same:
                try:
                    yield file
                finally:
                    if not os.fstat(file.fileno()).st_size:
                        _forget(part)
                return


def _fetch(url: str, file: IO[bytes], progress: DownloadProgress | None, timeout_s: float) -> None:
    tag = _tag_of(Path(file.name))
    start = os.fstat(file.fileno()).st_size if tag.is_file() else 0  # not tell(): we may have waited for another
    resume = {"Range": f"bytes={start}-", "If-Range": tag.read_text()} if start else {}
    try:
        answer = urlopen(Request(url, headers={"User-Agent": "pose_ros", **resume}), timeout=timeout_s)
    except HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE or not start:
            raise
        tag.unlink()  # all of it is here, or too much: without its tag it is fetched again
        _fetch(url, file, progress, timeout_s)
        return
    with answer:
        if url.startswith("https:") and not answer.url.startswith("https:"):
            raise ValueError(f"expected to stay on https, got sent to {answer.url}")
        if answer.status != PARTIAL_CONTENT:  # the server cannot resume, or has another file by now
            start = 0
            file.truncate(0)
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise ValueError(f"expected the bytes from {start}, got {answer.headers.get('Content-Range')}")
        _receive(answer, file, start, progress)


def _receive(answer: Any, file: IO[bytes], got: int, progress: DownloadProgress | None) -> None:
    """Write the body, which begins at byte ``got``."""
    part = Path(file.name)
    total = got + int(answer.headers.get("Content-Length") or 0)
    if total - got > (free := shutil.disk_usage(part.parent).free):
        raise OSError(errno.ENOSPC, f"{total - got} bytes do not fit into the {free} that are free", str(part.parent))
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    if tag and not tag.startswith("W/"):  # a weak tag does not promise the same bytes
        _tag_of(part).write_text(tag)
    while piece := answer.read(CHUNK_BYTES):
        if got == 0 and (is_web_page(piece) or answer.headers.get_content_type() == "text/html"):
            raise ValueError(_page_instead(answer.url))
        file.write(piece)
        got += len(piece)
        if progress:
            progress(got, total)
    if got < total:
        raise http.client.IncompleteRead(b"", total - got)


def _page_instead(url: str) -> str:
    why = "Google Drive asks people to confirm" if "google.com" in url else "a log-in, or a confirmation?"
    return f"expected a file, got a web page ({why}): open it in a browser and save the file yourself"


@contextmanager
def _explained(url: str, part: Path) -> Iterator[None]:
    """Turn what can go wrong into one sentence."""
    try:
        yield
    except HTTPError as error:
        advice = f"; {ADVICE[error.code]}" if error.code in ADVICE else ""
        raise OSError(f"download {url}: expected a file, got HTTP {error.code} {error.reason}{advice}") from error
    except URLError as error:
        raise OSError(f"download {url}: expected an answer, got {_said(error.reason)}") from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise OSError(
            f"download {url}: expected the whole file, got {part.stat().st_size} bytes and then silence; "
            "the same command goes on from there"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(f"download {url}: expected room in {part.parent}, got a full disk") from error
        raise


def _said(reason: object) -> str:
    if isinstance(reason, socket.gaierror):
        return "no such host (is this machine online?)"
    if isinstance(reason, TimeoutError):
        return "silence (is this machine online?)"
    return f"{reason} (is this machine online?)"


def _tag_of(part: Path) -> Path:
    """Where the server's name for these very bytes is kept."""
    return part.with_name(f"{part.name}.tag")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_of(part).unlink(missing_ok=True)
