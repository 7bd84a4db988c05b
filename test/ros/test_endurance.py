"""Hours in minutes: what the node holds, and what a replay holds, stays what it is. Run with POSE_ROS_SLOW=1.

POSE_ROS_SLOW_S=30 makes it half a minute.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import recordings
from pose_ros.msg import PersonPoseArray
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray

NODE = Path(__file__).resolve().parents[2] / "scripts/pose_node"
PROGRAM = "from pose_ros.cli import main\nmain()\n"
SECONDS = float(os.environ.get("POSE_ROS_SLOW_S", "600"))
RATE_HZ = 30.0
SETTLED = 0.3  # share of the time in which pools and caches fill
MOST_GROWTH_MB = 4.0
OUTPUTS = {"poses": PersonPoseArray, "overlay": Image, "overlay/compressed": CompressedImage, "markers": MarkerArray}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("POSE_ROS_SLOW") != "1", reason="10 minutes: set POSE_ROS_SLOW=1"),
]


@dataclass(frozen=True)
class Holdings:
    """What a process holds."""

    memory_mb: float
    files: int
    threads: int

    @classmethod
    def of(cls, process: subprocess.Popen[bytes]) -> Holdings:
        """What it holds now; it must run."""
        assert process.poll() is None, process.args
        folder = Path(f"/proc/{process.pid}")
        pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
        entries = [len(list((folder / name).iterdir())) for name in ("fd", "task")]
        return cls(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, *entries)

    @classmethod
    def median(cls, several: list[Holdings]) -> Holdings:
        """The median of each."""
        medians = [statistics.median_high(getattr(one, name) for one in several) for name in vars(several[0])]
        return cls(*medians)


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended behind the block."""
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def bag_image(index: int, picture: np.ndarray, encoding: str = "bgr8") -> Any:
    """Image ``index`` of a bag."""
    height, width = picture.shape[:2]
    sizes = {"width": width, "height": height, "step": 3 * width}
    return replace(recordings.image(index), encoding=encoding, data=picture.ravel(), **sizes)


@pytest.fixture
def bag(tmp_path: Path, paint: Any) -> Path:
    """A rosbag2 of images of two sizes and one that is broken, with a calibration."""
    pictures = [paint(20 + i, 100, 300, size_wh=(640, 480)) for i in range(28)] + [paint(20, size_wh=(320, 240))]
    images = [bag_image(index, picture) for index, picture in enumerate(pictures)]
    images.append(bag_image(len(images), paint(20), "nonsense"))
    infos = [recordings.camera_info(index) for index in range(len(images))]
    return recordings.write_bag(tmp_path / "bag", {"/cam/image": images, "/cam/camera_info": infos})


def test_nothing_grows(graph: Any, toy_model: Path, bag: Path) -> None:
    """With everything watched, and a bag that loops in a process of its own."""
    received = {name: graph.collect(kind, f"/pose_estimator/{name}") for name, kind in OUTPUTS.items()}
    program = bag.with_name("replay.py")
    program.write_text(PROGRAM)
    model = ["--ros-args", "-p", f"model:={toy_model}", "-p", "runtime.backend:=onnx"]
    with (
        running(str(NODE), *model) as node,
        running(str(program), "replay", str(bag), "--loop", "--rate", str(RATE_HZ), "--wait", "60") as replay,
    ):
        graph.until(lambda: all(received.values()), "all comes", 60)
        held: dict[str, list[Holdings]] = {"node": [], "replay": []}
        counts = dict.fromkeys(OUTPUTS, 0)
        start_s = time.monotonic()
        for second in range(int(SECONDS)):
            graph.until(lambda s=second: time.monotonic() - start_s > s, "the next second")
            for name, messages in received.items():
                counts[name] += len(messages)
                messages.clear()
            held["node"].append(Holdings.of(node))
            held["replay"].append(Holdings.of(replay))
    print(f"{SECONDS:g} s: {counts}")
    assert counts["poses"] > SECONDS * RATE_HZ / 4 and min(counts.values()) > SECONDS * RATE_HZ / 8
    for who, several in held.items():
        settled = several[int(SETTLED * len(several)) :]
        third = len(settled) // 3
        first, last = Holdings.median(settled[:third]), Holdings.median(settled[-third:])
        print(f"{who}: {first} became {last}")
        assert last.memory_mb - first.memory_mb < MOST_GROWTH_MB, who
        assert last.files <= first.files and last.threads <= first.threads, who
