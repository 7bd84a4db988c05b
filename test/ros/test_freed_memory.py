"""Tests that the memory of freed images is kept for the next ones."""

from __future__ import annotations

import ctypes
import subprocess
import sys

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
    assert count_new_pages("default") > 10_000  # otherwise the setting is no longer needed
    assert count_new_pages("kept") < 1_000


def test_another_c_library_stays_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()
