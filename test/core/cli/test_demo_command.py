"""Test ``pose_ros demo`` with a clip of a local server."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import recordings
from cli_runner import run

from pose_ros.cli import demo
from pose_ros.media.sources import open_source


class Handler(SimpleHTTPRequestHandler):
    """Server of the files of a folder that writes no log."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of the clip in an empty cache. A clip has 3 frames."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "FRAME_COUNT", 3)
    monkeypatch.setattr(demo, "INSTALLED", tmp_path / "installed")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache/pose_ros/vtest.avi"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve a clip. Yield its file."""
    clip = tmp_path / "site/vtest.avi"
    clip.parent.mkdir()
    recordings.write_video(clip, 3)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(clip.parent))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(demo, "URL", f"http://127.0.0.1:{server.server_port}/{clip.name}")
        monkeypatch.setattr(demo, "CHECKSUM", f"sha256:{hashlib.sha256(clip.read_bytes()).hexdigest()}")
        yield clip
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "message"),
    [("x.txt", "--output: expected a name ending in"), ("/proc/x.mp4", "--output: expected a folder that takes new")],
)
def test_the_output_is_checked_before_the_download(cached: Path, served: Path, name: str, message: str) -> None:
    result = run("demo", "-o", name)
    assert result.exit_code == 1 and result.stderr.startswith(f"pose_ros: {message}") and not cached.exists()


def test_a_cache_that_cannot_be_written_is_named(cached: Path, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    last = run("demo").stderr.splitlines()[-1]
    assert last.startswith("pose_ros: demo: /proc/none: expected to read or write it, got: ")
    assert last.endswith("; set XDG_CACHE_HOME to a folder that takes files")


def test_the_clip_is_downloaded_once_and_drawn(cached: Path, served: Path) -> None:
    first = run("demo")
    assert first.exit_code == 0, first.output
    assert cached.read_bytes() == served.read_bytes() and f"clip: {cached}\n" in first.stdout
    assert len(list(open_source(Path("pose_ros_demo.mp4")))) == 3
    served.unlink()
    second = run("demo", "--max-frames", 2, "-o", "two.mp4")
    assert second.exit_code == 0 and "downloading" not in second.output
    assert len(list(open_source(Path("two.mp4")))) == 2


def test_a_damaged_clip_in_the_cache_is_replaced(cached: Path, served: Path) -> None:
    cached.parent.mkdir(parents=True)
    cached.write_bytes(served.read_bytes()[:100])
    assert demo.load_clip().read_bytes() == served.read_bytes()


def test_the_installed_clip_is_used_in_place(cached: Path) -> None:
    demo.INSTALLED.mkdir()
    recordings.write_video(demo.INSTALLED / "vtest.avi", 3)
    installed = demo.INSTALLED / "vtest.avi"
    assert demo.load_clip() == installed and not cached.exists()
    assert f"clip: {installed}\n" in run("demo").stdout


@pytest.mark.parametrize("fault", ["gone", "another file"])
def test_without_the_clip_the_error_names_the_next_step(cached: Path, served: Path, fault: str) -> None:
    if fault == "gone":
        served.unlink()
    else:
        recordings.write_video(served, 4)
    result = run("demo")
    assert result.exit_code == 1 and not Path("pose_ros_demo.mp4").exists() and not cached.exists()
    assert "; on Debian and Ubuntu, sudo apt install opencv-doc, or use" in result.stderr
    assert result.stderr.strip().endswith("use a video of your own: pose_ros video my.mp4 -o drawn.mp4 --ids")
