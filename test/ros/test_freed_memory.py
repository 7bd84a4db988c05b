"""Tests that the memory of freed images is kept for the next ones."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from pose_ros.ros.node.freed_memory import keep_freed_memory

IMAGES = """
import resource, sys
from pose_ros.ros.node.freed_memory import keep_freed_memory

assert sys.argv[1] == "default" or keep_freed_memory()
image = bytes(2_764_800)
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for count in (10, 100):  # the first 10 are a warm-up
    before = faults()
    for _ in range(count):
        message, copy = bytearray(image), bytearray(image)
        del message, copy
print(faults() - before)
"""


def count_new_pages(setting: str) -> int:
    """Count the pages that two copies of each of 100 images of 1280 × 720 take from the system."""
    run = subprocess.run([sys.executable, "-c", IMAGES, setting], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_images_take_no_new_pages() -> None:
    assert count_new_pages("kept") < 1_000
    if count_new_pages("default") < 10_000:  # with some versions of Python, other memory lies behind that of the images
        pytest.skip("this process keeps the memory without the setting")


def test_another_c_library_stays_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()


CYCLES = """
import sys
from pose_ros.ros.node.freed_memory import keep_freed_memory

keep_freed_memory()
import rclpy
from pose_ros.ros.node.estimator_node import PoseEstimatorNode

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

rclpy.init()
names = {"runtime.backend": "onnx", "runtime.threads": 1, "autostart": False}
node = PoseEstimatorNode(parameter_overrides=[rclpy.Parameter(name, value=value) for name, value in names.items()])
sizes = []
for _ in range(int(sys.argv[1])):
    node.trigger_configure()
    node.trigger_activate()
    node.trigger_deactivate()
    node.trigger_cleanup()
    sizes.append(resident_mb())
print(*map(round, sizes)); print(max(sizes) - sizes[0])
node.destroy_node()
"""


def test_loading_again_and_again_takes_no_more_memory(tmp_path: Path) -> None:
    """Before, 10 cycles took 120 MB and 200 cycles 250 to 440 MB."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    command = [sys.executable, "-c", CYCLES, "8"]
    run = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True)
    assert float(run.stdout.split()[-1]) < 40
