"""Tests that code that only the start needs does not stay in memory, and that the rest still runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pose_ros.ros.node.idle_code import find_code, return_idle_code

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
