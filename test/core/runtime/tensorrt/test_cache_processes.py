"""Test the engine cache with several processes: one builds, the others wait. A killed one leaves no plan or lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pose_ros.runtime.tensorrt.cache import EngineCache

PROGRAM = """
import sys, os, signal
from pathlib import Path
from pose_ros.runtime.tensorrt import file as engine_file
from pose_ros.runtime.tensorrt.cache import EngineCache
from pose_ros.runtime.tensorrt.key import EngineKey

folder, plan, die = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def report(line):
    print(line, flush=True)

def build():
    report("building")
    sys.stdin.readline()  # until the test continues it
    return plan.encode()

def kill_self(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

if die == "before the rename":
    os.fsync = kill_self
elif die == "before the sidecar":
    write = engine_file.write
    engine_file.write = lambda path, data: write(path, data) if path.suffix == ".plan" else kill_self()
key = EngineKey("a" * 64, "10.3.0", "Orin", "8.7", "fp16", "1x3", "")
report("got " + EngineCache(folder).get(key, build, report, "default").decode())
"""
TIMEOUT_S = 180
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes that need the same engine. Each would build a different plan."""
    with ExitStack() as stack:

        def begin(plan: str, die: str = "never") -> subprocess.Popen[str]:
            command = [sys.executable, "-c", PROGRAM, str(tmp_path / "engines"), plan, die]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.callback(process.stdout.close)
            stack.callback(process.stdin.close)
            stack.callback(process.wait, TIMEOUT_S)
            stack.callback(process.kill)
            return process

        yield begin


def read_line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip()


def wait_until_building(process: subprocess.Popen[str]) -> str:
    """Wait until the process builds. Return the message before it."""
    message = read_line(process)
    assert read_line(process) == "building"
    return message


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Continue the process to its end. Return its output lines."""
    output, _ = process.communicate("continue\n", timeout=TIMEOUT_S)
    return output.splitlines()


def open_cache(folder: Path) -> EngineCache:
    return EngineCache(folder / "engines")


def test_only_one_of_two_processes_builds(start: Start, tmp_path: Path) -> None:
    first = start("first")
    assert "not built yet" in wait_until_building(first)
    second = start("second")
    assert read_line(second).endswith("another process is building it: waiting")
    assert finish(first) == ["got first"]
    assert finish(second) == ["got first"]
    assert [entry.fault for entry in open_cache(tmp_path).entries()] == [""]
    assert len(os.listdir(tmp_path / "engines")) == 2


def test_a_killed_build_leaves_no_plan_and_no_lock(start: Start, tmp_path: Path) -> None:
    first = start("first")
    wait_until_building(first)
    first.send_signal(signal.SIGKILL)
    first.wait(TIMEOUT_S)
    assert open_cache(tmp_path).entries() == []
    second = start("second")
    assert "not built yet" in wait_until_building(second)
    assert finish(second) == ["got second"]
    assert finish(start("third")) == ["got second"]
    assert len(os.listdir(tmp_path / "engines")) == 2


def test_a_waiting_process_builds_if_the_builder_is_killed(start: Start) -> None:
    first = start("first")
    wait_until_building(first)
    second = start("second")
    assert read_line(second).endswith("waiting")
    first.send_signal(signal.SIGKILL)
    assert "not built yet" in wait_until_building(second)
    assert finish(second) == ["got second"]


@pytest.mark.parametrize("where", ["before the rename", "before the sidecar"])
def test_a_process_killed_while_writing_leaves_no_engine_that_loads(where: str, start: Start, tmp_path: Path) -> None:
    first = start("first", where)
    assert finish(first)[-1] == "building" and first.returncode == -signal.SIGKILL
    second = start("second")
    assert ("its sidecar is missing" if where.endswith("sidecar") else "not built yet") in wait_until_building(second)
    assert finish(second) == ["got second"]
    assert len(os.listdir(tmp_path / "engines")) == 2


def test_ctrl_c_in_a_build_leaves_no_file(start: Start, tmp_path: Path) -> None:
    first = start("first")
    wait_until_building(first)
    first.send_signal(signal.SIGINT)
    first.wait(TIMEOUT_S)
    assert os.listdir(tmp_path / "engines") == []


def test_an_engine_that_another_process_builds_is_not_pruned(start: Start, tmp_path: Path) -> None:
    """A broken old plan is being replaced."""
    assert finish(start("old"))[-1] == "got old"
    (entry,) = open_cache(tmp_path).entries()
    entry.plan.write_bytes(b"damaged")
    builder = start("new")
    assert "expected 3 at most" in wait_until_building(builder)
    assert open_cache(tmp_path).prune(lambda entry: False) == [] and entry.plan.exists()
    assert finish(builder) == ["got new"]
    assert len(open_cache(tmp_path).prune(lambda entry: False)) == 1
