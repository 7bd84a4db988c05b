"""Tests of the demo with real processes and real messages, on a small video."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pose_ros.media.image_messages import stamp_ns

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("pose_ros.msg", reason="needs the built messages")

DEMO = Path(__file__).parents[2] / "demo"
sys.path.append(str(DEMO))
bag: Any = importlib.import_module("bag")

pytestmark = pytest.mark.ros
TIMEOUT_S = 180.0


def write_video(count: int, path: Path) -> Path:
    """Write a portrait video of noise, 10 frames per second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (80, 100))
    noise = np.random.default_rng(0)
    for _ in range(count):
        writer.write(noise.integers(0, 255, (100, 80, 3), np.uint8))
    writer.release()
    return path


def start(video: Path, output: Path) -> Any:
    command = [sys.executable, str(DEMO / "run.py"), "--video", str(video), "--output", str(output)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_until(condition: Callable[[], object], what: str) -> None:
    end_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end_s, f"timed out waiting until {what}"
        time.sleep(0.02)


def open_files(folder: Path) -> list[str]:
    """Return the file descriptors of all processes that point into this folder."""
    return [str(link) for link in Path("/proc").glob("[0-9]*/fd/*") if link_target(link).startswith(str(folder))]


def link_target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""  # the process has exited meanwhile, or belongs to another user


def stamps_ns(output: Path, topic: str) -> list[int]:
    return [stamp_ns(message.header) for message in bag.read_messages(output / "bag", topic)]


def count_frames(path: Path) -> int:
    capture = cv2.VideoCapture(str(path))
    return sum(1 for _ in iter(lambda: capture.read()[0], False))


def test_whole_run(tmp_path: Path) -> None:
    output = tmp_path / "out"
    demo = start(write_video(12, tmp_path / "in.avi"), output)
    log, _ = demo.communicate(timeout=TIMEOUT_S)
    assert demo.returncode == 0, log
    assert "images in" in log
    assert "inconsistent results" not in log
    stamps = stamps_ns(output, bag.POSES_TOPIC)
    assert 1 <= len(stamps) <= 12
    assert stamps == sorted(set(stamps)) == stamps_ns(output, bag.OVERLAY_TOPIC)
    assert next(bag.read_messages(output / "bag", bag.POSES_TOPIC)).image_width == 80
    assert count_frames(output / "annotated.mp4") >= len(stamps)
    assert cv2.imread(str(output / "contact_sheet.png")) is not None
    assert not open_files(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_complete_files_and_no_process(number: signal.Signals, tmp_path: Path) -> None:
    output = tmp_path / "out"
    demo = start(write_video(600, tmp_path / "in.avi"), output)
    assert any("recording" in line for line in demo.stdout)  # stops reading at this line
    demo.send_signal(number)
    log, _ = demo.communicate(timeout=TIMEOUT_S)
    assert demo.returncode == 0, log
    assert "images in" in log
    assert "Traceback" not in log + (output / "node.log").read_text() + (output / "replay.log").read_text()
    stamps = stamps_ns(output, bag.POSES_TOPIC)
    assert 1 <= len(stamps) < 600
    assert count_frames(output / "annotated.mp4") >= len(stamps)
    assert not open_files(tmp_path)


def test_interrupt_before_the_first_image(tmp_path: Path) -> None:
    output = tmp_path / "out"
    demo = start(write_video(600, tmp_path / "in.avi"), output)
    wait_until((output / "node.log").exists, "the node starts")
    demo.send_signal(signal.SIGINT)
    log, _ = demo.communicate(timeout=TIMEOUT_S)
    assert demo.returncode == 0, log
    assert "Traceback" not in log
    assert not stamps_ns(output, bag.POSES_TOPIC)
    assert not open_files(tmp_path)


def test_failing_replay_is_quoted(tmp_path: Path) -> None:
    video = write_video(3, tmp_path / "in.avi")
    demo = start(video, tmp_path / "out")
    wait_until((tmp_path / "out/node.log").exists, "the node starts")
    video.unlink()
    log, _ = demo.communicate(timeout=TIMEOUT_S)
    assert demo.returncode == 1, log
    assert "the replay exited with status" in log
    assert "which does not exist" in log.replace("\n", " ")
    assert not open_files(tmp_path)
