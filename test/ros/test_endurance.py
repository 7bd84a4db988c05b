"""Hours in minutes: the memory of the node stays what it is. Run with POSE_ROS_SLOW=1."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

PROGRAM = Path(__file__).resolve().parents[2] / "scripts/pose_node"
SECONDS = float(os.environ.get("POSE_ROS_SLOW_S", "600"))
RATE_HZ = 30.0
SETTLED = 0.3  # share of the time in which pools and caches fill
MOST_GROWTH_MB = 4.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("POSE_ROS_SLOW") != "1", reason="10 minutes: set POSE_ROS_SLOW=1"),
]


def resident_mb(pid: int) -> float:
    """Memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_ten_minutes_of_images_leave_the_memory_flat(
    graph: Any, make_camera: Any, toy_model: Path, paint: Any, image_message: Any
) -> None:
    """With everything watched, a bag that loops, images of two sizes and some that are broken."""
    images = [image_message(paint(20, 100, 300, size_wh=size), stamp_s=i) for i, size in enumerate([(640, 480)] * 28)]
    images += [image_message(paint(20, size_wh=(320, 240)), stamp_s=40), image_message(paint(20), "nonsense")]
    command = [sys.executable, str(PROGRAM), "--ros-args", "-p", f"model:={toy_model}", "-p", "runtime.backend:=onnx"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            camera = make_camera()
            pictures = graph.collect(Image, "/pose_estimator/overlay", 1)
            markers = graph.collect(MarkerArray, "/pose_estimator/markers", 1)
            camera.connect()
            memory_mb, counts = [], [0, 0]
            start_s, sent = time.monotonic(), 0
            while (passed_s := time.monotonic() - start_s) < SECONDS:
                camera.send(images[sent % len(images)])
                sent += 1
                graph.until(lambda n=sent: time.monotonic() - start_s >= n / RATE_HZ, "the next image is due")
                counts = [counts[0] + len(camera.answers), counts[1] + len(pictures)]
                for messages in (camera.answers, pictures, markers):
                    messages.clear()
                if passed_s > SETTLED * SECONDS:
                    memory_mb.append(resident_mb(process.pid))
            assert process.poll() is None
        finally:
            process.terminate()
    assert counts[0] > sent / 4 and counts[1] > sent / 8
    third = len(memory_mb) // 3
    growth_mb = statistics.median(memory_mb[-third:]) - statistics.median(memory_mb[:third])
    print(f"{sent} images, {counts[0]} answers, {counts[1]} overlays: {memory_mb[-1]:.0f} MB, {growth_mb:+.2f} MB")
    assert growth_mb < MOST_GROWTH_MB
