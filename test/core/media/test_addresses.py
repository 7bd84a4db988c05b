"""Test that addresses are recognised, and that their passwords appear nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from pose_ros.media.addresses import check_address, hide_secrets, is_address, is_device
from pose_ros.media.sources import open_source


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://camera/stream", "rtsp://camera/stream"),
        ("rtsp://me:secret@camera:554/stream", "rtsp://***@camera:554/stream"),
        ("rtsp://me:sec@ret@camera/a@b", "rtsp://***@camera/a@b"),
        ("http://camera/video?user=me&pwd=secret", "http://camera/video?***"),
        ("HTTP://me:secret@[::1]:80?x", "HTTP://***@[::1]:80?***"),
        ("rtsp://me:sec/ret@camera/s", "rtsp://***@camera/s"),
        ("rtsp://me:sec?r#et@camera/s", "rtsp://***@camera/s"),
        ("http:/me:secret@camera/s.png", "http:/***@camera/s.png"),
        ("http://camera:80/a.mp4", "http://camera:80/a.mp4"),
        ("http://camera/a@b.mp4", "http://camera/a@b.mp4"),
        ("walk.mp4", "walk.mp4"),
    ],
)
def test_secrets_are_hidden(address: str, shown: str) -> None:
    assert hide_secrets(address) == shown


@pytest.mark.parametrize("text", ["walk.mp4", "a/b.mp4", "12:30.mp4", "rtsp:/a", "/dev/video0", "7", ""])
def test_these_are_no_addresses(text: str) -> None:
    assert not is_address(text)


def test_cameras() -> None:
    assert [is_device(text) for text in ("0", "/dev/video12", "/dev/null", "x", "/dev/video")] == [True, True] + 3 * [
        False
    ]


@pytest.mark.parametrize("address", ["ftp://me:secret@host/a.mp4", "file:///etc/passwd", "concat://a|b"])
def test_other_protocols_are_refused_without_the_password(address: str) -> None:
    with pytest.raises(ValueError, match="expected a file, or an address with rtsp://") as error:
        open_source(address)
    assert "secret" not in str(error.value)


def test_an_address_is_never_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:" / "127.0.0.1:9").mkdir(parents=True)
    (tmp_path / "http:" / "127.0.0.1:9" / "a.png").write_bytes(b"")
    with pytest.raises(OSError, match=r"http://127.0.0.1:9/a.png: expected a stream"):
        open_source("http://127.0.0.1:9/a.png")
    assert check_address("RTSPS://camera") == "rtsps"
