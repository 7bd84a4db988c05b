"""Test downloads from a local server: interrupted, resumed, redirected, wrong, or not a file."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO

import pytest
from typer.testing import CliRunner, Result

from pose_ros.cli import app
from pose_ros.models import catalogue
from pose_ros.models import download as module
from pose_ros.models.download import download, is_web_page, verify

BODY = random.Random(0).randbytes(3 << 20)
SHA256 = hashlib.sha256(BODY).hexdigest()
HALF = len(BODY) // 2


@dataclass
class Site:
    """Behaviour of the server, and the requests that it received.

    Attributes:
        cut_at: Bytes after which the connection ends. 0 = never.
        sends_length: Whether the length of the file is in the response.
        pause_s: Pause after each byte, s. 0 = all bytes at once.
        offset: Error of the position in Content-Range, bytes.
        requested_ranges: The header ``Range`` of each request.
    """

    body: bytes = BODY
    content_type: str = "application/octet-stream"
    etag: str = '"first"'
    ranges: bool = True
    cut_at: int = 0
    sends_length: bool = True
    pause_s: float = 0.0
    redirect: str = ""
    offset: int = 0
    requested_ranges: list[str | None] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            respond(self, site)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_port}/model.pth"
        yield site
        server.shutdown()


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Site()) as site:
        yield site


def respond(request: BaseHTTPRequestHandler, site: Site) -> None:
    site.requested_ranges.append(request.headers["Range"])
    if request.path != "/model.pth":
        return request.send_error(404)
    if site.redirect:
        request.send_response(302)
        request.send_header("Location", site.redirect)
        return request.end_headers()
    start = 0
    if site.ranges and request.headers["Range"] and request.headers["If-Range"] == site.etag:
        start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    if start >= len(site.body):
        return request.send_error(416)
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start + site.offset}-{len(site.body) - 1}/{len(site.body)}")
    if site.etag:
        request.send_header("ETag", site.etag)
    request.send_header("Content-Type", site.content_type)
    if site.sends_length:
        request.send_header("Content-Length", str(len(site.body) - start))
    request.end_headers()
    with suppress(ConnectionError):
        while site.pause_s:
            request.wfile.write(b"x")
            time.sleep(site.pause_s)
        request.wfile.write(site.body[start : site.cut_at or None])
    return None


def test_the_error_tells_how_much_of_a_small_file_is_there(site: Site, tmp_path: Path) -> None:
    site.cut_at = 100
    with pytest.raises(OSError, match="the whole file, got 100 bytes and then no more data"):
        download(site.url, tmp_path / "model.pth")
    assert (tmp_path / "model.pth.part").read_bytes() == BODY[:100]
    site.cut_at = 0
    download(site.url, tmp_path / "model.pth", checksum=f"sha256:{SHA256}")
    assert site.requested_ranges == [None, "bytes=100-"]


def download_half(site: Site, target: Path) -> None:
    """Interrupt a download after half of the file."""
    site.cut_at = HALF
    with pytest.raises(OSError, match=f"the whole file, got {HALF} bytes.*repeat the command to resume"):
        download(site.url, target)
    assert not target.exists() and target.with_name("model.pth.part").stat().st_size == HALF
    site.cut_at = 0


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "checksum", [f"sha256:{SHA256}", f"sha256:{SHA256[:8]}", "not pinned"], ids=["whole", "first digits", "not pinned"]
)
def test_a_file_is_downloaded_without_leftovers(site: Site, tmp_path: Path, checksum: str) -> None:
    calls: list[tuple[int, int]] = []
    download(site.url, tmp_path / "new" / "model.pth", checksum, lambda *progress: calls.append(progress))
    assert (tmp_path / "new" / "model.pth").read_bytes() == BODY
    assert file_names(tmp_path / "new") == ["model.pth"]
    assert calls[-1] == (len(BODY), len(BODY)) and calls == sorted(calls) and len(calls) > 2


LINKS = {"symbolic": Path.symlink_to, "hard": Path.hardlink_to}


@pytest.mark.parametrize("name", ["model.pth.part", "model.pth.part.tag"])
@pytest.mark.parametrize("link", LINKS)
def test_links_in_place_of_unfinished_files_are_never_followed(
    site: Site, tmp_path: Path, name: str, link: str
) -> None:
    folder, precious = tmp_path / "models", tmp_path / "precious"
    folder.mkdir()
    precious.write_bytes(b"precious")
    if name.endswith(".tag"):
        download_half(site, folder / "model.pth")
        (folder / name).unlink()
    LINKS[link](folder / name, precious)
    download(site.url, folder / "model.pth", f"sha256:{SHA256}")
    assert precious.read_bytes() == b"precious" and (folder / "model.pth").read_bytes() == BODY
    assert file_names(folder) == ["model.pth"]


def test_a_pipe_in_place_of_an_unfinished_file_is_removed(site: Site, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.pth.part")
    download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert file_names(tmp_path) == ["model.pth"]


def test_md5_checksums_are_supported(site: Site, tmp_path: Path) -> None:
    digits = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
    download(site.url, tmp_path / "model.pth", f"md5:{digits}")
    with pytest.raises(ValueError, match="expected md5:0000"):
        verify(tmp_path / "model.pth", "md5:" + "0" * 32)


def test_an_incomplete_download_is_resumed(site: Site, tmp_path: Path) -> None:
    download_half(site, tmp_path / "model.pth")
    download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert site.requested_ranges == [None, f"bytes={HALF}-"]
    assert file_names(tmp_path) == ["model.pth"]


def test_a_download_resumes_after_the_last_byte_of_another_process(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both processes find the same half. The other downloads 1000 more bytes and is interrupted."""
    download_half(site, tmp_path / "model.pth")
    lock = module.fcntl.flock

    def wait_and_lock(number: int, operation: int) -> None:
        with (tmp_path / "model.pth.part").open("ab") as other:
            other.write(BODY[HALF : HALF + 1000])
        lock(number, operation)

    monkeypatch.setattr(module.fcntl, "flock", wait_and_lock)
    download(site.url, tmp_path / "model.pth")
    assert site.requested_ranges == [None, f"bytes={HALF + 1000}-"]
    assert (tmp_path / "model.pth").read_bytes() == BODY


@pytest.mark.parametrize(
    ("change", "last_range"),
    [
        ({"ranges": False}, f"bytes={HALF}-"),
        ({"body": BODY[::-1], "etag": '"second"'}, f"bytes={HALF}-"),
        ({"body": BODY[:HALF]}, None),
    ],
    ids=["no ranges", "the file has changed", "the file has become shorter"],
)
def test_a_download_that_cannot_resume_starts_again(
    site: Site, tmp_path: Path, change: dict[str, object], last_range: str | None
) -> None:
    download_half(site, tmp_path / "model.pth")
    for name, value in change.items():
        setattr(site, name, value)
    download(site.url, tmp_path / "model.pth", f"sha256:{hashlib.sha256(site.body).hexdigest()}")
    assert site.requested_ranges[-1] == last_range
    assert (tmp_path / "model.pth").read_bytes() == site.body and file_names(tmp_path) == ["model.pth"]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'], ids=["no tag", "weak tag"])
def test_a_download_without_a_strong_tag_starts_again(site: Site, tmp_path: Path, etag: str) -> None:
    site.etag = etag
    download_half(site, tmp_path / "model.pth")
    download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert site.requested_ranges == [None, None]


def test_a_wrong_checksum_leaves_nothing(site: Site, tmp_path: Path) -> None:
    wrong = "sha256:" + "0" * 64
    with pytest.raises(ValueError, match=f"expected {wrong}, got sha256:{SHA256}; the received data was removed"):
        download(site.url, tmp_path / "model.pth", wrong)
    assert file_names(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content_type": "text/html"}, "got a web page"),
        ({"body": b"\n <!DOCTYPE html><html><title>Virus scan warning</title>"}, "open it in a browser"),
        ({"redirect": "/elsewhere"}, "got HTTP 404 Not Found; the publisher has moved or removed the file"),
        ({"redirect": "file:///etc/hostname"}, "got HTTP 302"),
        ({"redirect": "ftp://127.0.0.1/model.pth"}, "expected a redirect to http or https, got ftp://127.0.0.1"),
    ],
    ids=["page by its type", "page by its first bytes", "404", "redirect to a local file", "redirect to ftp"],
)
def test_a_response_that_is_not_a_file_is_reported(
    site: Site, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    for name, value in change.items():
        setattr(site, name, value)
    with pytest.raises((OSError, ValueError), match=message) as error:
        download(site.url, tmp_path / "model.pth")
    assert str(error.value).startswith(f"download {site.url}: expected") and "\n" not in str(error.value)
    assert file_names(tmp_path) == []


def test_a_redirect_is_followed(site: Site, tmp_path: Path) -> None:
    with serve(Site(redirect=site.url)) as other:
        download(other.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert len(other.requested_ranges) == len(site.requested_ranges) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://no-such-host.invalid/model.pth", "an unknown host .is this machine online"),
        ("http://127.0.0.1:9/model.pth", "refused .is this machine online"),
        ("file:///etc/hostname", "expected an address of http or https"),
        ("ftp://127.0.0.1/model.pth", "expected an address of http or https"),
    ],
    ids=["unknown host", "refused", "a local file", "ftp"],
)
def test_an_unreachable_server_is_reported(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises((OSError, ValueError), match=message):
        download(url, tmp_path / "model.pth", timeout_s=5)
    assert file_names(tmp_path) == []


def test_a_server_that_does_not_respond_is_reported(tmp_path: Path, site: Site) -> None:
    listener = module.socket.create_server(("127.0.0.1", 0))
    with listener, pytest.raises(OSError, match="no more data"):
        download(f"http://127.0.0.1:{listener.getsockname()[1]}/model.pth", tmp_path / "model.pth", timeout_s=0.2)


@pytest.mark.parametrize("sends_length", [True, False])
def test_a_file_that_is_too_large_is_not_stored(site: Site, tmp_path: Path, sends_length: bool) -> None:
    site.sends_length = sends_length
    with pytest.raises(ValueError, match="expected a file of at most 1000 bytes"):
        download(site.url, tmp_path / "model.pth", max_bytes=1000)
    assert file_names(tmp_path) == []


def test_a_slow_server_does_not_outlast_the_time_limit(site: Site, tmp_path: Path) -> None:
    site.pause_s = 0.05  # after each of 3 million bytes
    with pytest.raises(OSError, match="repeat the command to resume"):
        download(site.url, tmp_path / "model.pth", max_s=0.3)
    assert not (tmp_path / "model.pth").exists()


def test_a_redirect_from_https_to_http_is_refused() -> None:
    request = module.Request("https://example.org/model.pth")
    with pytest.raises(ValueError, match=r"expected a redirect to https, got http://example\.org"):
        module._CheckedRedirects().redirect_request(request, None, 302, "Found", {}, "http://example.org/model.pth")


def test_a_disk_without_enough_space(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = module.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=f"expected free space in {tmp_path}, got a full disk"):
        download(site.url, tmp_path / "model.pth")


def test_a_download_resumes_after_a_full_disk(site: Site, tmp_path: Path) -> None:
    def fill_disk(got: int, total: int) -> None:
        if got > HALF:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="full disk"):
        download(site.url, tmp_path / "model.pth", progress=fill_disk)
    download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert site.requested_ranges[1] is not None


def test_a_download_resumes_after_ctrl_c(site: Site, tmp_path: Path) -> None:
    def interrupt(got: int, total: int) -> None:
        if got > HALF:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(site.url, tmp_path / "model.pth", progress=interrupt)
    assert not (tmp_path / "model.pth").exists()
    download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert site.requested_ranges[1] is not None


def test_an_existing_file_is_verified_and_kept(site: Site, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"other")
    with pytest.raises(ValueError, match=f"model.pth: expected sha256:{SHA256}"):
        download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert site.requested_ranges == [] and file_names(tmp_path) == ["model.pth"]


def test_several_processes_download_the_same_file_once(site: Site, tmp_path: Path) -> None:
    script = (
        "import pathlib, sys; from pose_ros.models.download import download; "
        "download(sys.argv[1], pathlib.Path('model.pth'), sys.argv[2])"
    )
    command = [sys.executable, "-c", script, site.url, f"sha256:{SHA256}"]
    processes = [subprocess.Popen(command, cwd=tmp_path) for _ in range(4)]
    assert [process.wait(180) for process in processes] == [0, 0, 0, 0]
    assert (tmp_path / "model.pth").read_bytes() == BODY
    assert file_names(tmp_path) == ["model.pth"] and site.requested_ranges == [None]


@pytest.mark.parametrize(
    ("head", "is_page"),
    [(b"<!doctype HTML>", True), (b"\r\n<html lang=en>", True), (b"PK\x03\x04", False), (b"", False)],
    ids=["doctype", "html", "zip", "empty"],
)
def test_web_pages_are_identified_by_their_first_bytes(head: bytes, is_page: bool) -> None:
    assert is_web_page(head) is is_page


# Command line -------------------------------------------------------------------------------------------------------


@pytest.fixture
def model_folder(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a catalogue with models on the local server. Returns the folder of the downloads."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    default, free, page, *_ = catalogue.entries()
    local = replace(free, name="free", file="model.pth", url=site.url, page="", checksum=f"sha256:{SHA256}")
    restricted = [
        replace(local, name=word, commercial=word, weights_licence="academic only") for word in ("no", "unclear")
    ]
    browser = replace(page, name="page", file="model.pth", page="https://example.org/page")
    entries = (default, local, *restricted, browser)
    monkeypatch.setattr(catalogue, "entries", lambda file=None: entries)
    return tmp_path / "cache/pose_ros/models"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", "get", *map(str, arguments)])


def test_get_shows_licence_checksum_and_next_command(site: Site, model_folder: Path) -> None:
    result = run("free")
    target = model_folder / "free/model.pth"
    assert result.exit_code == 0 and target.read_bytes() == BODY
    assert result.stderr.startswith("free: MIT; commercial use: yes; https://github.com/NVIDIA-AI-IOT/trt_pose")
    assert result.stdout.splitlines() == [
        str(target),
        f"sha256 {SHA256} (matches sha256:{SHA256[:10]}…)",
        f"next: pose_ros export {target} -o free.onnx",
    ]
    assert run("free").exit_code == 0 and len(site.requested_ranges) == 1


@pytest.mark.parametrize(("name", "word"), [("no", "forbidden"), ("unclear", "not clearly permitted")])
def test_get_requires_restrictive_licences_to_be_accepted(
    site: Site, model_folder: Path, tmp_path: Path, name: str, word: str
) -> None:
    rejected = run(name)
    assert rejected.exit_code == 1 and site.requested_ranges == []
    assert f"expected --accept-licence, got none; commercial use is {word}: academic" in rejected.stderr
    assert run(name, "--accept-licence", "-o", tmp_path / "own.pth").exit_code == 0
    assert (tmp_path / "own.pth").read_bytes() == BODY and not model_folder.exists()


def test_get_names_the_page_for_download_in_a_browser(site: Site, model_folder: Path) -> None:
    result = run("page")
    assert result.exit_code == 1 and site.requested_ranges == []
    assert (
        f"open https://example.org/page in a browser, save model.pth as {model_folder}/page/model.pth" in result.stderr
    )
    (model_folder / "page/model.pth").write_bytes(BODY)
    assert f"sha256 {SHA256} (not verified: no checksum is published)" in run("page").stdout


def test_get_removes_a_file_with_a_wrong_checksum(site: Site, model_folder: Path) -> None:
    site.body = BODY[::-1]
    result = run("free")
    assert result.exit_code == 1 and "the received data was removed" in result.stderr.splitlines()[-1]
    assert file_names(model_folder / "free") == []


def test_get_of_the_default_model_prints_its_path(site: Site, model_folder: Path) -> None:
    assert str(catalogue.FILE.parent / "default.onnx") in run("default").stdout
    assert run("nothing").stderr.endswith("got 'nothing'; pose_ros models list shows all\n")


@pytest.mark.parametrize("name", ["posenet", "PoseNet", "posnet", "posenet_mobilenet"])
def test_a_wrong_name_lists_those_of_its_family(name: str) -> None:
    named = run(name).stderr.partition("such as ")[2].partition(", got")[0].split(", ")
    assert len(named) == 5 and all(each.startswith("posenet_mobilenet_v1_") for each in named)


def test_other_bytes_than_those_asked_for_are_refused(site: Site, tmp_path: Path) -> None:
    download_half(site, tmp_path / "model.pth")
    site.offset = 7
    with pytest.raises(ValueError, match=f"expected the bytes from {HALF} on, got bytes {HALF + 7}-"):
        download(site.url, tmp_path / "model.pth")
    assert file_names(tmp_path) == []


def test_a_server_without_the_range_of_an_empty_file_is_asked_once(site: Site, tmp_path: Path) -> None:
    site.body = b""
    with pytest.raises(OSError, match="got HTTP 416"):
        download(site.url, tmp_path / "model.pth")
    assert site.requested_ranges == [None]


def test_the_text_of_a_web_page_inside_a_file_is_no_web_page(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 1000)
    site.body = bytes(1000) + b"<!DOCTYPE html><html>" + bytes(1000)
    download(site.url, tmp_path / "model.pth")
    assert (tmp_path / "model.pth").read_bytes() == site.body


def test_the_received_bytes_reach_the_disk_before_the_file_appears(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, int]] = []
    sync = os.fsync
    monkeypatch.setattr(
        module.os,
        "fsync",
        lambda number: (synced.append(((tmp_path / "model.pth").exists(), os.fstat(number).st_size)), sync(number)),
    )
    download(site.url, tmp_path / "model.pth")
    assert (False, len(BODY)) in synced


def test_a_file_that_another_process_has_replaced_is_not_written(site: Site, tmp_path: Path) -> None:
    """While this process waits for the lock, the other one removes its file and begins another."""
    part, lock, files = tmp_path / "model.pth.part", module.fcntl.flock, []

    def wait_and_lock(file: IO[bytes], operation: int) -> None:
        lock(file, operation)
        files.append(os.fstat(file.fileno()).st_ino)
        if len(files) == 1:
            part.rename(tmp_path / "other")
            part.touch()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.fcntl, "flock", wait_and_lock)
        download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert len(files) == 2 and (tmp_path / "other").stat().st_size == 0
    assert (tmp_path / "model.pth").read_bytes() == BODY
