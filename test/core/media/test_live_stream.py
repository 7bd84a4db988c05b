"""Test live streams: newest frames, reconnection, times, and that secrets stay hidden. Real servers on this machine."""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice
from pathlib import Path

import pytest
import recordings
import stream_servers
from cli_runner import run
from stream_servers import ADDRESS_USER, address, http_server, rtsp_server

from pose_ros.media import live_stream
from pose_ros.media.capture import Capture, TimedImage
from pose_ros.media.live_stream import LatestFrames
from pose_ros.media.sources import LiveStream, RemoteVideo, open_source
from pose_ros.media.video_file import VideoFile

S = 1_000_000_000


class ScriptedCapture(Capture):
    """Capture of some frames. It waits for ``go`` before each."""

    def __init__(self, numbers: list[int], times_ns: list[int | None], error: Exception | None = None) -> None:
        self.metadata = {}
        self.left = deque(zip(numbers, times_ns, strict=True))
        self.error, self.is_closed = error, False

    def read(self) -> TimedImage | None:
        if self.left:
            number, time_ns = self.left.popleft()
            return TimedImage(recordings.frame_image(number), time_ns)
        if self.error is not None:
            raise self.error
        return None

    def seek(self, time_ns: int) -> None:
        raise AssertionError("a live stream is never searched")

    def packet_times_s(self) -> list[float]:
        return []

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_stream, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(live_stream, "MAX_DELAY_S", 0.02)


@pytest.fixture
def movie(tmp_path: Path) -> bytes:
    pytest.importorskip("av", reason="needs PyAV for H.264")
    with VideoFile(tmp_path / "movie.mp4", 10) as video:
        for index in range(12):
            video.write(recordings.frame_image(index))
    return (tmp_path / "movie.mp4").read_bytes()


def test_a_slow_reader_gets_the_newest_frame() -> None:
    capture = ScriptedCapture(list(range(5)), [index * S for index in range(5)])
    frames = LatestFrames("camera", capture, lambda: capture, print, 0.0)
    frames._thread.join(120)
    first = next(iter(frames))
    assert recordings.frame_number(first.image_bgr) == 4 and first.stamp_ns == 4 * S
    assert frames.dropped == 4 and capture.is_closed


def test_a_stream_that_breaks_is_opened_again_and_its_times_go_on() -> None:
    lines: list[str] = []
    captures = [
        ScriptedCapture([1], [70 * S], ConnectionError("camera: expected more frames, got: Input/output error")),
        OSError("camera: expected a stream, got: Connection refused"),
        ScriptedCapture([2], [5 * S]),
    ]

    def reopen() -> Capture:
        item = captures.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    frames = LatestFrames("camera", None, reopen, lines.append, 60.0)
    stamps, numbers = [], []
    for frame in islice(frames, 2):
        stamps.append(frame.stamp_ns)
        numbers.append(recordings.frame_number(frame.image_bgr))
    frames.close()
    assert numbers == [1, 2]
    assert stamps[0] == 0 and 0 < stamps[1] < 5 * S  # the clock of this machine, not that of the stream
    assert any("camera: interrupted: Input/output error" in line for line in lines)
    assert any("Connection refused; connecting again in" in line for line in lines)


def test_a_stream_without_frames_ends_with_the_reason() -> None:
    def refuse() -> Capture:
        raise OSError("camera: expected a stream, got: Connection refused")

    frames = LatestFrames("camera", None, refuse, lambda line: None, 0.1)
    with pytest.raises(
        ConnectionError, match=r"camera: expected more frames, got none for 0.1 s: .*refused; --reconnect"
    ):
        list(frames)


def test_a_stream_without_times_has_those_of_this_machine() -> None:
    capture = ScriptedCapture([1, 2, 3], [None] * 3)
    seen = []
    frames = LatestFrames("camera", capture, lambda: capture, print, 0.0)
    with pytest.raises(ConnectionError):
        seen.extend(frame.stamp_ns for frame in frames)
    assert seen and seen == sorted(set(seen))


def test_no_thread_is_left(video_library: str) -> None:
    with http_server(frames=1000) as server:
        frames = iter(open_source(address(server, "/stream")))
        next(frames)
        frames.close()
        (thread,) = [each for each in threading.enumerate() if each.name == "live_stream"] or [None]
        if thread is not None:
            thread.join(120)
            assert not thread.is_alive()


def test_motion_jpeg_over_http_is_reconnected(video_library: str) -> None:
    with http_server(frames=5) as server:
        source = open_source(address(server, "/stream", user=ADDRESS_USER), notify=(lines := []).append)
        assert isinstance(source, LiveStream) and source.count is None
        frames = []
        for frame in source:
            frames.append(frame)
            if server.connections >= 4 and len(frames) > 3:
                break
    numbers = {recordings.frame_number(frame.image_bgr) for frame in frames}
    assert numbers <= set(range(5)) and frames[0].image_bgr.shape == (48, 64, 3)
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps == sorted(set(stamps))
    assert lines and all("s3cret" not in line and "robot" not in line for line in lines)


def test_a_file_over_http_is_read_from_start_to_end(movie: bytes, video_library: str) -> None:
    with http_server({"/movie.mp4": movie}) as server:
        source = open_source(address(server, "/movie.mp4"))
        assert isinstance(source, RemoteVideo) and source.count == 12 and source.path is None
        for _ in range(2):  # a source can be read again
            frames = list(source)
            assert [recordings.frame_number(frame.image_bgr) for frame in frames] == list(range(12))
        assert [frame.stamp_ns for frame in frames] == [round(index * 1e8) for index in range(12)]
        assert source.even_rate_hz() == pytest.approx(10)


def test_h264_over_rtsp(video_library: str) -> None:
    if stream_servers.av is None:
        pytest.skip("needs PyAV as the server of the test")
    with rtsp_server(frames=60) as server:
        source = open_source(address(server, "/stream", "rtsp", ADDRESS_USER))
        assert isinstance(source, LiveStream)
        frames = list(islice(source, 5))
    assert all(recordings.frame_number(frame.image_bgr) in range(20) for frame in frames)
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps[0] >= 0 and stamps == sorted(set(stamps))  # the first frame may have been replaced by a newer one
    assert source.name == address(server, "/stream", "rtsp", "***")


@pytest.mark.parametrize("path", ["/stream?token=s3cret", "/missing.mp4"])
def test_errors_have_no_secrets(video_library: str, path: str) -> None:
    with http_server(needs_user=True) as server, pytest.raises(OSError, match="expected a stream") as error:
        open_source(address(server, path, user="robot:wrong_s3cret"))
    assert "s3cret" not in str(error.value) and "robot" not in str(error.value)
    assert error.value.__cause__ is None
    assert "s3cret" not in str(error.value.__context__)  # a traceback would show it


def test_the_program_shows_no_secrets(video_library: str, tmp_path: Path) -> None:
    result = run("video", "http://robot:s3cret@127.0.0.1:9/stream?s3cret", "--json", tmp_path / "people.jsonl")
    assert result.exit_code == 1 and "s3cret" not in result.output and "robot" not in result.output
    assert "http://***@127.0.0.1:9/stream?***: expected a stream" in result.output


def test_the_program_reads_a_live_stream(video_library: str, tmp_path: Path) -> None:
    with http_server(frames=200) as server:
        result = run(
            *("video", address(server, "/stream", user=ADDRESS_USER), "--max-frames", 3),
            *("--json", tmp_path / "people.jsonl", "-o", tmp_path / "drawn.mp4"),
        )
    assert result.exit_code == 0, result.output
    assert "s3cret" not in result.output and "/stream: 3 frames in" in result.output
    assert len((tmp_path / "people.jsonl").read_text().splitlines()) == 3
    assert len(list(open_source(tmp_path / "drawn.mp4"))) >= 3


def test_results_before_the_end_of_a_stream_are_kept(tmp_path: Path) -> None:
    with http_server(frames=3) as server:
        result = run("video", address(server, "/stream"), "--reconnect", 0, "--json", tmp_path / "people.jsonl")
    assert result.exit_code == 1 and "expected more frames, got none for 0 s" in result.output
    assert (tmp_path / "people.jsonl").read_text().count("\n") >= 1


def test_the_user_in_an_address_is_sent(video_library: str) -> None:
    with http_server(frames=3, needs_user=True) as server:
        assert next(iter(open_source(address(server, "/stream", user=ADDRESS_USER)))).index == 0
