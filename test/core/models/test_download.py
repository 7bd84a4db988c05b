"""Downloads from a real server on this machine: cut off, resumed, moved, wrong, or no file at all."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pose_ros.cli import app
from pose_ros.models import catalogue
from pose_ros.models import download as module
from pose_ros.models.download import download, is_web_page, verify

BODY = os.urandom(3 << 20)
SHA256 = hashlib.sha256(BODY).hexdigest()
HALF = len(BODY) // 2


@dataclass
class Site:
    """What the server does, and what it was asked."""

    body: bytes = BODY
    content_type: str = "application/octet-stream"
    etag: str = '"first"'
    ranges: bool = True
    cut_at: int = 0  # bytes after which the connection ends; 0 for never
    redirect: str = ""
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, site)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_port}/model.pth"
        yield site
        server.shutdown()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as site:
        yield site


def answer(request: BaseHTTPRequestHandler, site: Site) -> None:
    site.asked.append(request.headers["Range"])
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
        request.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
    if site.etag:
        request.send_header("ETag", site.etag)
    request.send_header("Content-Type", site.content_type)
    request.send_header("Content-Length", str(len(site.body) - start))
    request.end_headers()
    request.wfile.write(site.body[start : site.cut_at or None])
    return None


def cut_off(site: Site, target: Path) -> None:
    """Leave half of a download behind."""
    site.cut_at = HALF
    with pytest.raises(OSError, match=f"the whole file, got {HALF} bytes.*goes on from there"):
        download(site.url, target)
    assert not target.exists() and target.with_name("model.pth.part").stat().st_size == HALF
    site.cut_at = 0


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("checksum", [f"sha256:{SHA256}", f"sha256:{SHA256[:8]}", "not pinned"])
def test_a_file_arrives_whole_and_alone(site: Site, tmp_path: Path, checksum: str) -> None:
    told: list[tuple[int, int]] = []
    download(site.url, tmp_path / "new" / "model.pth", checksum, lambda *so_far: told.append(so_far))
    assert (tmp_path / "new" / "model.pth").read_bytes() == BODY
    assert left(tmp_path / "new") == ["model.pth"]
    assert told[-1] == (len(BODY), len(BODY)) and told == sorted(told) and len(told) > 2


def test_md5_serves_where_the_publisher_gives_no_other(site: Site, tmp_path: Path) -> None:
    digits = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
    download(site.url, tmp_path / "model.pth", f"md5:{digits}")
    with pytest.raises(ValueError, match="expected md5:0000"):
        verify(tmp_path / "model.pth", "md5:" + "0" * 32)


def test_a_cut_download_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    cut_off(site, tmp_path / "model.pth")
    download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert site.asked == [None, f"bytes={HALF}-"]
    assert left(tmp_path) == ["model.pth"]


def test_it_goes_on_where_the_process_that_it_waited_for_stopped(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find the same half; the other fetches 1000 bytes more and is interrupted."""
    cut_off(site, tmp_path / "model.pth")
    lock = module.fcntl.flock

    def waiting(number: int, operation: int) -> None:
        with (tmp_path / "model.pth.part").open("ab") as other:
            other.write(BODY[HALF : HALF + 1000])
        lock(number, operation)

    monkeypatch.setattr(module.fcntl, "flock", waiting)
    download(site.url, tmp_path / "model.pth")
    assert site.asked == [None, f"bytes={HALF + 1000}-"]
    assert (tmp_path / "model.pth").read_bytes() == BODY


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"ranges": False}, f"bytes={HALF}-"),
        ({"body": BODY[::-1], "etag": '"second"'}, f"bytes={HALF}-"),
        ({"body": BODY[:HALF]}, None),
    ],
    ids=["no ranges", "another file by now", "a shorter file by now"],
)
def test_what_cannot_be_continued_begins_anew(
    site: Site, tmp_path: Path, change: dict[str, object], asked: str | None
) -> None:
    cut_off(site, tmp_path / "model.pth")
    for name, value in change.items():
        setattr(site, name, value)
    download(site.url, tmp_path / "model.pth", f"sha256:{hashlib.sha256(site.body).hexdigest()}")
    assert site.asked[-1] == asked
    assert (tmp_path / "model.pth").read_bytes() == site.body and left(tmp_path) == ["model.pth"]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'], ids=["no tag", "weak tag"])
def test_without_a_name_for_its_bytes_it_begins_anew(site: Site, tmp_path: Path, etag: str) -> None:
    site.etag = etag
    cut_off(site, tmp_path / "model.pth")
    download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert site.asked == [None, None]


def test_a_wrong_checksum_leaves_nothing(site: Site, tmp_path: Path) -> None:
    wrong = "sha256:" + "0" * 64
    with pytest.raises(ValueError, match=f"expected {wrong}, got sha256:{SHA256}; what came has been removed"):
        download(site.url, tmp_path / "model.pth", wrong)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content_type": "text/html"}, "got a web page"),
        ({"body": b"\n <!DOCTYPE html><html><title>Virus scan warning</title>"}, "open it in a browser"),
        ({"redirect": "/elsewhere"}, "got HTTP 404 Not Found; the publisher has moved or withdrawn it"),
        ({"redirect": "file:///etc/hostname"}, "got HTTP 302"),
    ],
    ids=["page by its type", "page by its first bytes", "404", "redirect to a file of this machine"],
)
def test_what_is_no_file_is_said(site: Site, tmp_path: Path, change: dict[str, object], message: str) -> None:
    for name, value in change.items():
        setattr(site, name, value)
    with pytest.raises((OSError, ValueError), match=message) as caught:
        download(site.url, tmp_path / "model.pth")
    assert str(caught.value).startswith(f"download {site.url}: expected") and "\n" not in str(caught.value)
    assert left(tmp_path) == []


def test_a_redirect_is_followed(site: Site, tmp_path: Path) -> None:
    with serving(Site(redirect=site.url)) as other:
        download(other.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert len(other.asked) == len(site.asked) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://no-such-host.invalid/model.pth", "no such host .is this machine online"),
        ("http://127.0.0.1:9/model.pth", "refused .is this machine online"),
        ("file:///etc/hostname", "expected an address of http or https"),
        ("ftp://127.0.0.1/model.pth", "expected an address of http or https"),
    ],
    ids=["no such host", "refused", "a file of this machine", "ftp"],
)
def test_no_server(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises((OSError, ValueError), match=message):
        download(url, tmp_path / "model.pth", timeout_s=5)
    assert left(tmp_path) == []


def test_a_silent_server_is_left(tmp_path: Path, site: Site) -> None:
    listener = module.socket.create_server(("127.0.0.1", 0))
    with listener, pytest.raises(OSError, match="silence"):
        download(f"http://127.0.0.1:{listener.getsockname()[1]}/model.pth", tmp_path / "model.pth", timeout_s=0.2)


def test_a_disk_without_room(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = module.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=f"expected room in {tmp_path}, got a full disk"):
        download(site.url, tmp_path / "model.pth")


def test_a_disk_that_fills_keeps_what_it_has(site: Site, tmp_path: Path) -> None:
    def full(got: int, total: int) -> None:
        if got > HALF:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="full disk"):
        download(site.url, tmp_path / "model.pth", progress=full)
    download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert site.asked[1] is not None


def test_an_interrupted_download_goes_on(site: Site, tmp_path: Path) -> None:
    def interrupt(got: int, total: int) -> None:
        if got > HALF:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(site.url, tmp_path / "model.pth", progress=interrupt)
    assert not (tmp_path / "model.pth").exists()
    download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert site.asked[1] is not None


def test_a_file_that_is_here_is_verified_and_kept(site: Site, tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"other")
    with pytest.raises(ValueError, match=f"model.pth: expected sha256:{SHA256}"):
        download(site.url, tmp_path / "model.pth", f"sha256:{SHA256}")
    assert site.asked == [] and left(tmp_path) == ["model.pth"]


def test_processes_that_want_the_same_file_fetch_it_once(site: Site, tmp_path: Path) -> None:
    script = (
        "import pathlib, sys; from pose_ros.models.download import download; "
        "download(sys.argv[1], pathlib.Path('model.pth'), sys.argv[2])"
    )
    command = [sys.executable, "-c", script, site.url, f"sha256:{SHA256}"]
    processes = [subprocess.Popen(command, cwd=tmp_path) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    assert (tmp_path / "model.pth").read_bytes() == BODY
    assert left(tmp_path) == ["model.pth"] and site.asked == [None]


@pytest.mark.parametrize(
    ("head", "is_page"),
    [(b"<!doctype HTML>", True), (b"\r\n<html lang=en>", True), (b"PK\x03\x04", False), (b"", False)],
    ids=["doctype", "html", "zip", "empty"],
)
def test_web_pages_are_known_by_their_first_bytes(head: bytes, is_page: bool) -> None:
    assert is_web_page(head) is is_page


# Through the command line -------------------------------------------------------------------------------------------


@pytest.fixture
def offered(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue whose models lie on our server, and the folder that they are fetched to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ours, free, page, *_ = catalogue.entries()
    fetched = replace(free, name="free", file="model.pth", url=site.url, page="", checksum=f"sha256:{SHA256}")
    closed = [
        replace(fetched, name=word, commercial=word, weights_licence="academic only") for word in ("no", "unclear")
    ]
    entries = (ours, fetched, *closed, replace(page, name="page", file="model.pth", page="https://example.org/page"))
    monkeypatch.setattr(catalogue, "entries", lambda file=None: entries)
    return tmp_path / "cache/pose_ros/models"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", "get", *map(str, arguments)])


def test_get_shows_the_licence_fetches_and_says_what_comes_next(site: Site, offered: Path) -> None:
    result = run("free")
    target = offered / "free/model.pth"
    assert result.exit_code == 0 and target.read_bytes() == BODY
    assert result.stderr.startswith("free: MIT; commercial use: yes; https://github.com/NVIDIA-AI-IOT/trt_pose")
    assert result.stdout.splitlines() == [
        str(target),
        f"sha256 {SHA256} (as sha256:{SHA256[:10]}… demands)",
        f"next: pose_ros export {target} -o free.onnx",
    ]
    assert run("free").exit_code == 0 and len(site.asked) == 1


@pytest.mark.parametrize(("name", "word"), [("no", "forbidden"), ("unclear", "not clearly permitted")])
def test_get_wants_closed_licences_accepted(site: Site, offered: Path, tmp_path: Path, name: str, word: str) -> None:
    refused = run(name)
    assert refused.exit_code == 1 and site.asked == []
    assert f"expected --accept-licence, for commercial use is {word}: academic" in refused.stderr
    assert run(name, "--accept-licence", "-o", tmp_path / "own.pth").exit_code == 0
    assert (tmp_path / "own.pth").read_bytes() == BODY and not offered.exists()


def test_get_names_the_page_where_only_a_person_can_fetch(site: Site, offered: Path) -> None:
    result = run("page")
    assert result.exit_code == 1 and site.asked == []
    assert f"open https://example.org/page in a browser, save model.pth as {offered}/page/model.pth" in result.stderr
    (offered / "page/model.pth").write_bytes(BODY)
    assert f"sha256 {SHA256} (not pinned: nobody has published one)" in run("page").stdout


def test_get_keeps_a_wrong_file_out(site: Site, offered: Path) -> None:
    site.body = BODY[::-1]
    result = run("free")
    assert result.exit_code == 1 and "what came has been removed" in result.stderr.splitlines()[-1]
    assert left(offered / "free") == []


def test_get_of_the_model_that_is_ours(site: Site, offered: Path) -> None:
    assert str(catalogue.FILE.parent / "default.onnx") in run("default").stdout
    assert "a name such as" in run("nothing").stderr
