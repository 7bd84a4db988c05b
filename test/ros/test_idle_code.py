"""Tests that code that only the start needs does not stay in memory, and that the rest still runs."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pose_ros.config import RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.ros.node.idle_code import find_code, return_idle_code
from pose_ros.runtime.runner import CPU

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")

PROGRAM = """
import ctypes, hashlib, sqlite3, ssl
import cv2
import numpy as np
from pose_ros.ros.node.idle_code import return_idle_code

def compute():
    image = cv2.resize(np.arange(9216, dtype=np.uint8).reshape(96, 96), (31, 17))
    solved = np.linalg.solve(np.eye(9) * 3 + np.arange(9), np.ones(9))
    number = sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()
    return image.tobytes(), solved.tobytes(), number, hashlib.sha256(b"pose").hexdigest()

def code_kb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssFile"))

expected, before = compute(), code_kb()
return_idle_code()
after = code_kb()
assert compute() == expected
print(before, after)
"""


def test_code_leaves_the_memory_and_runs_again() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before_kb, after_kb = map(int, run.stdout.split())
    assert after_kb < before_kb / 2


def read_mappings() -> Iterator[tuple[int, int, bool]]:
    """Read start and end of each mapping of this process, and whether the process may change or has changed it."""
    start = end = writable = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            start, end = (int(address, 16) for address in name.split("-"))
            writable = "w" in values[0]
        elif name == "Anonymous:":
            yield start, end, bool(writable or int(values[0]))


def test_no_page_that_differs_from_its_file_is_returned() -> None:
    code, mappings = find_code(), list(read_mappings())
    overlaps = [
        changed for start, end, changed in mappings if any(first < end and start < last for first, last in code)
    ]
    assert len(overlaps) > 20
    assert not any(overlaps)


def test_libraries_that_change_their_code_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pose_ros.ros.node.idle_code._read_tags", lambda address: {1, 22})
    assert find_code() == []


def test_other_systems_stay_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("pose_ros.ros.node.idle_code.find_code", lambda: pytest.fail("this needs Linux"))
    return_idle_code()


def test_memory_is_returned_after_loading_and_after_the_first_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first image usually has another size than the warm-up, so the runtime allocates once more."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from pose_ros.ros.node import worker

    steps: list[str] = []
    turn = threading.Semaphore(0)

    class Processor:
        def __init__(self, estimator: Any, *_: Any) -> None:
            self.estimator = estimator
            steps.append("warm-up")

        def process(self, taken: Any) -> None:
            steps.append("image")
            turn.release()

    monkeypatch.setattr(worker, "Processor", Processor)
    monkeypatch.setattr(worker, "return_freed_memory", lambda: steps.append("freed"))
    monkeypatch.setattr(worker, "return_idle_code", lambda: steps.append("code"))
    estimator: Any = SimpleNamespace(runner=SimpleNamespace(device=CPU), close=lambda: steps.append("close"))
    settings: Any = SimpleNamespace(config=SimpleNamespace(runtime=SimpleNamespace(max_batch=1)))
    camera: Any = object()
    transforms: Any = None
    node: Any = worker.Worker([camera], settings, transforms, lambda _: estimator, lambda *_: None, print)
    for number in range(3):
        node.waiting.put(camera, number)
        assert turn.acquire(timeout=120)
    assert node.close(20)
    assert steps == ["warm-up", "freed", "code", "image", "freed", "code", "image", "image", "close"]


def test_memory_is_returned_between_the_network_and_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the code of the runtime and of the compiler would be in memory together."""
    pytest.importorskip("rclpy")
    from pose_ros.ros.node import worker
    from pose_ros.ros.node.estimator_node import load_estimator
    from pose_ros.ros.parameters.config import NodeConfig

    steps: list[str] = []
    warm_up = PoseEstimator._warm_up
    monkeypatch.setattr(PoseEstimator, "_warm_up", lambda self: steps.append("warm-up") or warm_up(self))
    monkeypatch.setattr(worker, "return_freed_memory", lambda: steps.append("freed"))
    monkeypatch.setattr(worker, "return_idle_code", lambda: steps.append("code"))
    config = NodeConfig(runtime=RuntimeConfig(backend="onnx", threads=1))
    load_estimator(config, lambda *_: None, print).close()
    assert steps == ["freed", "code", "warm-up"]


IMPORTS = """
import sys
import pose_ros.ros.node.process, pose_ros.ros.node.estimator_node, pose_ros.ros.parameters.unused
import pose_ros.runtime.onnx, pose_ros.runtime.openvino
print(*sys.modules)
"""
UNNEEDED = {"torch", "onnx", "typer", "rich", "matplotlib", "aiohttp", "scipy.linalg", "pose_ros.cli"}
"""Modules of other programs of this package. Each costs memory and time at the start."""


def test_the_node_imports_nothing_of_the_other_programs(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    command = [sys.executable, "-c", IMPORTS]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not UNNEEDED & set(run.stdout.split())
