"""Test videos written and read by PyAV: codecs, uneven times, orientation, metadata, and playback in a browser."""

from __future__ import annotations

import functools
import threading
from contextlib import closing
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import recordings
from stream_servers import address, http_server

from pose_ros.media.opencv_capture import OpenCvCapture
from pose_ros.media.sources import open_source
from pose_ros.media.video_file import LONGEST_GAP_S, VideoFile
from pose_ros.media.video_library import open_capture

av = pytest.importorskip("av", reason="needs PyAV: pip install 'av>=17'")
from pose_ros.media.av_capture import turn_upright  # noqa: E402
from pose_ros.media.av_writer import find_encoder  # noqa: E402

S = 1_000_000_000


def write_corners(path: Path, **options: object) -> Path:
    """Write a video whose left half is dark, right half bright, with a white bar on top."""
    image = np.full((48, 64, 3), 30, np.uint8)
    image[:, 32:], image[:8] = 120, 230
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".mkv", "h264"), (".webm", "vp9")])
def test_codecs_that_browsers_play(tmp_path: Path, suffix: str, codec: str) -> None:
    with VideoFile(tmp_path / f"walk{suffix}", 10) as video:
        for index in range(5):
            video.write(recordings.frame_image(index, (161, 99)))
    with av.open(str(tmp_path / f"walk{suffix}")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name.replace("libvpx-", ""), context.pix_fmt, context.width, context.height) == (
            *(codec, "yuv420p", 162, 100),
        )


def test_the_index_of_an_mp4_is_at_its_start(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "walk.mp4", 10) as video:
        video.write(recordings.frame_image(1))
    data = (tmp_path / "walk.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_uneven_times_are_kept(tmp_path: Path, suffix: str) -> None:
    times_ms = [0, 33, 100, 1250, 1251, 1251 + 40]
    with VideoFile(tmp_path / f"walk{suffix}", 30) as video:
        for index, time_ms in enumerate(times_ms):
            video.write(recordings.frame_image(index), 7 * S + time_ms * 10**6)
    frames = list(open_source(tmp_path / f"walk{suffix}"))
    assert [recordings.frame_number(frame.image_bgr) for frame in frames] == list(range(6))
    tolerance_ms = 0.02 if suffix == ".mp4" else 1
    assert np.allclose([frame.stamp_ns / 1e6 for frame in frames], times_ms, atol=tolerance_ms)


def test_times_that_go_back_and_long_gaps(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "walk.mp4", 10) as video:
        for index, time_s in enumerate([5, 3, 3 + 10 * LONGEST_GAP_S]):
            video.write(recordings.frame_image(index), round(time_s * S))
    stamps = [frame.stamp_ns / S for frame in open_source(tmp_path / "walk.mp4")]
    assert np.allclose(stamps, [0, 0.1, 0.1 + LONGEST_GAP_S], atol=1e-4)


def test_times_are_exact(tmp_path: Path) -> None:
    """29.97 frames per second are 1001 / 30000 s, which milliseconds cannot tell."""
    with av.open(str(tmp_path / "ntsc.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(recordings.frame_image(index), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1001, 30000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    source = open_source(tmp_path / "ntsc.mp4")
    assert [frame.stamp_ns for frame in source] == [round(Fraction(1001 * index * S, 30000)) for index in range(8)]
    assert source.rate_hz == pytest.approx(30000 / 1001)


def test_colours_survive(tmp_path: Path) -> None:
    colours = [(0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 159, 230)]
    image = np.repeat(np.array(colours, np.uint8)[None], 64, 0).repeat(32, 1)
    with VideoFile(tmp_path / "walk.mp4", 10) as video:
        video.write(image)
    (frame,) = open_source(tmp_path / "walk.mp4")
    for index, colour in enumerate(colours):
        assert np.abs(frame.image_bgr[32, 32 * index + 16].astype(int) - colour).max() <= 6


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotated_videos_are_read_upright(tmp_path: Path, degrees: int) -> None:
    """A telephone stores the image as its sensor sees it, and a matrix. Both libraries must agree."""
    plain = write_corners(tmp_path / "plain.mp4")
    data = bytearray(plain.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = [cos, sin, 0, -sin, cos, 0, 0, 0, 1]
    scaled = [value * (1 << 30 if place % 3 == 2 else 1 << 16) for place, value in enumerate(matrix)]
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in scaled)
    (tmp_path / "turned.mp4").write_bytes(data)
    stored = next(iter(open_source(plain))).image_bgr
    shown = next(iter(open_source(tmp_path / "turned.mp4"))).image_bgr
    assert np.abs(shown.astype(int) - np.rot90(stored, -degrees // 90)).max() <= 2
    with closing(OpenCvCapture(str(tmp_path / "turned.mp4"), "turned.mp4", is_live=False)) as capture:
        by_opencv = capture.read()
    assert by_opencv is not None and by_opencv.image_bgr.shape == shown.shape


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), [[1, 2], [3, 4]]),
        ((-1, 0, 0, 1), [[2, 1], [4, 3]]),  # mirrored
        ((0, 1, -1, 0), [[3, 1], [4, 2]]),  # a quarter turn clockwise
        ((0, 1, 1, 0), [[1, 3], [2, 4]]),  # mirrored and turned
        ((0, -1, 1, 0), [[2, 4], [1, 3]]),
    ],
)
def test_display_matrices(matrix: tuple[int, int, int, int], shown: list[list[int]]) -> None:
    image = np.repeat(np.array([[1, 2], [3, 4]], np.uint8)[..., None], 3, 2)
    assert turn_upright(image, matrix)[..., 0].tolist() == shown


def test_metadata_are_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        container.metadata.update(
            {"title": "street", "creation_time": "2026-01-02T03:04:05Z", "location": "+48.1+11.5/"}
        )
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(recordings.frame_image(1), format="bgr24")))
        container.mux(stream.encode(None))
    source = open_source(path)
    assert source.metadata["title"] == "street" and source.metadata["creation_time"].startswith("2026-01-02T03:04:05")
    with VideoFile(tmp_path / "drawn.mp4", 10) as video:
        for frame in source:
            video.write(frame.image_bgr, frame.stamp_ns)
    assert "title" not in open_source(tmp_path / "drawn.mp4").metadata
    assert b"+48.1" not in (tmp_path / "drawn.mp4").read_bytes()


def test_a_file_may_not_open_addresses(tmp_path: Path) -> None:
    """A playlist from a stranger must not make this machine connect to others."""
    with http_server() as server:
        (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{address(server, '/stream')}\n")
        with pytest.raises((ValueError, OSError)):
            open_capture(str(tmp_path / "list.m3u8"), "list").read()
        assert server.connections == 0


def test_without_an_encoder_opencv_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pose_ros.media.av_writer.ENCODERS", {".mp4": ("no_such_encoder",)})
    assert find_encoder(".mp4") is None
    with VideoFile(tmp_path / "walk.mp4", 10) as video:
        video.write(recordings.frame_image(1))
    with av.open(str(tmp_path / "walk.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"


def test_unknown_hardware_is_refused_with_the_choices(tmp_path: Path) -> None:
    path = recordings.write_video(tmp_path / "walk.avi", 2)
    with pytest.raises(ValueError, match=r"--hwaccel: expected one of .* in this FFmpeg, got 'warp'"):
        open_source(path, hwaccel="warp")


@pytest.mark.usefixtures("without_av")
def test_hardware_decoding_needs_pyav(tmp_path: Path) -> None:
    path = recordings.write_video(tmp_path / "walk.avi", 2)
    with pytest.raises(ValueError, match=r"--hwaccel: expected PyAV, got OpenCV only; pip install 'av>=17'"):
        open_source(path, hwaccel="cuda")


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_chromium_plays_the_video(tmp_path: Path, suffix: str) -> None:
    from chromium import Browser

    red = np.full((48, 64, 3), (0, 0, 255), np.uint8)
    with VideoFile(tmp_path / f"walk{suffix}", 10) as video:
        for _ in range(30):
            video.write(red)
    (tmp_path / "page.html").write_text(f'<video id="v" src="walk{suffix}" muted autoplay></video>')
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with Browser(tmp_path / "profile") as browser:
            browser.open(f"http://127.0.0.1:{server.server_address[1]}/page.html")
            failed = "document.getElementById('v').error?.message"
            browser.until(f"document.getElementById('v').currentTime > 0 || {failed}", "the video plays")
            assert browser.js(failed) is None
            pixel = browser.js(
                "(() => { const c = document.createElement('canvas'), v = document.getElementById('v');"
                "c.width = v.videoWidth; c.height = v.videoHeight; const g = c.getContext('2d');"
                "g.drawImage(v, 0, 0); return [c.width, ...g.getImageData(20, 20, 1, 1).data]; })()"
            )
    finally:
        server.shutdown()
        server.server_close()
    assert pixel[0] == 64 and np.abs(np.array(pixel[1:4]) - (255, 0, 0)).max() < 12
