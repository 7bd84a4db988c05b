"""Test that the memory, files and threads of the node and a replay do not grow. Run with POSE_ROS_SLOW=1.

POSE_ROS_SLOW_S=30 shortens the test to 30 s.
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
SETTLED = 0.3  # fraction of the time until pools and caches are filled
MAX_GROWTH_MB = 4.0
OUTPUTS = {"poses": PersonPoseArray, "overlay": Image, "overlay/compressed": CompressedImage, "markers": MarkerArray}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("POSE_ROS_SLOW") != "1", reason="10 minutes: set POSE_ROS_SLOW=1"),
]


@dataclass(frozen=True)
class Resources:
    """Resources of a process."""

    memory_mb: float
    files: int
    threads: int

    @classmethod
    def read(cls, process: subprocess.Popen[bytes]) -> Resources:
        """Read the resources of a running process."""
        assert process.poll() is None, process.args
        folder = Path(f"/proc/{process.pid}")
        pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
        entries = [len(list((folder / name).iterdir())) for name in ("fd", "task")]
        return cls(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, *entries)

    @classmethod
    def median(cls, samples: list[Resources]) -> Resources:
        """Return the median of each resource."""
        medians = [statistics.median_high(getattr(one, name) for one in samples) for name in vars(samples[0])]
        return cls(*medians)


@contextmanager
def run_process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python program during the block."""
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def bag_image(index: int, image: np.ndarray, encoding: str = "bgr8") -> Any:
    """Make image ``index`` of a bag."""
    height, width = image.shape[:2]
    sizes = {"width": width, "height": height, "step": 3 * width}
    return replace(recordings.image_message(index), encoding=encoding, data=image.ravel(), **sizes)


@pytest.fixture
def bag(tmp_path: Path, paint: Any) -> Path:
    """Write a rosbag2 with a calibration, images of two sizes, and one broken image."""
    arrays = [paint(20 + i, 100, 300, size_wh=(640, 480)) for i in range(28)] + [paint(20, size_wh=(320, 240))]
    images = [bag_image(index, array) for index, array in enumerate(arrays)]
    images.append(bag_image(len(images), paint(20), "nonsense"))
    infos = [recordings.camera_info(index) for index in range(len(images))]
    return recordings.write_bag(tmp_path / "bag", {"/cam/image": images, "/cam/camera_info": infos})


def test_memory_files_and_threads_do_not_grow(graph: Any, toy_model: Path, bag: Path) -> None:
    """Every output has a subscriber. A bag loops in a separate process."""
    received = {name: graph.collect(kind, f"/pose_estimator/{name}") for name, kind in OUTPUTS.items()}
    program = bag.with_name("replay.py")
    program.write_text(PROGRAM)
    model = ["--ros-args", "-p", f"model:={toy_model}", "-p", "runtime.backend:=onnx"]
    with (
        run_process(str(NODE), *model) as node,
        run_process(str(program), "replay", str(bag), "--loop", "--rate", str(RATE_HZ), "--wait", "60") as replay,
    ):
        graph.until(lambda: all(received.values()), "every output arrives", 60)
        resources: dict[str, list[Resources]] = {"node": [], "replay": []}
        counts = dict.fromkeys(OUTPUTS, 0)
        start_s = time.monotonic()
        for second in range(int(SECONDS)):
            graph.until(lambda s=second: time.monotonic() - start_s > s, "the next second")
            for name, messages in received.items():
                counts[name] += len(messages)
                messages.clear()
            resources["node"].append(Resources.read(node))
            resources["replay"].append(Resources.read(replay))
    print(f"{SECONDS:g} s: {counts}")
    assert counts["poses"] > SECONDS * RATE_HZ / 4 and min(counts.values()) > SECONDS * RATE_HZ / 8
    for name, samples in resources.items():
        settled = samples[int(SETTLED * len(samples)) :]
        third = len(settled) // 3
        first, last = Resources.median(settled[:third]), Resources.median(settled[-third:])
        print(f"{name}: {first} became {last}")
        assert last.memory_mb - first.memory_mb < MAX_GROWTH_MB, name
        assert last.files <= first.files and last.threads <= first.threads, name
