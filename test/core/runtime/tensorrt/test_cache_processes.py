"""The cache of engines among processes: one builds, the others wait; a killed one leaves neither plan nor lock."""

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

def tell(line):
    print(line, flush=True)

def build():
    tell("building")
    sys.stdin.readline()  # until the test lets it go on
    return plan.encode()

def die_instead(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

if die == "before the rename":
    os.fsync = die_instead
elif die == "before the sidecar":
    written = engine_file.write
    engine_file.write = lambda path, data: written(path, data) if path.suffix == ".plan" else die_instead()
key = EngineKey("a" * 64, "10.3.0", "Orin", "8.7", "fp16", "1x3", "")
tell("got " + EngineCache(folder).get(key, build, tell, "default").decode())
"""
TIMEOUT_S = 60
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes that want the same engine; the plan that each would build is another one."""
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


def line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip()


def until_building(process: subprocess.Popen[str]) -> str:
    said = line(process)
    assert line(process) == "building"
    return said


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Let it build to the end, if it builds."""
    said, _ = process.communicate("go on\n", timeout=TIMEOUT_S)
    return said.splitlines()


def engines(folder: Path) -> EngineCache:
    return EngineCache(folder / "engines")


def test_of_two_processes_one_builds(start: Start, tmp_path: Path) -> None:
    first = start("first")
    assert "not built yet" in until_building(first)
    second = start("second")
    assert line(second).endswith("another process is building it: waiting")
    assert finish(first) == ["got first"]
    assert finish(second) == ["got first"]
    assert [entry.fault for entry in engines(tmp_path).entries()] == [""]
    assert len(os.listdir(tmp_path / "engines")) == 2


def test_a_killed_build_leaves_no_plan_and_no_lock(start: Start, tmp_path: Path) -> None:
    first = start("first")
    until_building(first)
    first.send_signal(signal.SIGKILL)
    first.wait(TIMEOUT_S)
    assert engines(tmp_path).entries() == []
    second = start("second")
    assert "not built yet" in until_building(second)
    assert finish(second) == ["got second"]
    assert finish(start("third")) == ["got second"]
    assert len(os.listdir(tmp_path / "engines")) == 2


def test_who_waits_builds_when_the_builder_is_killed(start: Start) -> None:
    first = start("first")
    until_building(first)
    second = start("second")
    assert line(second).endswith("waiting")
    first.send_signal(signal.SIGKILL)
    assert "not built yet" in until_building(second)
    assert finish(second) == ["got second"]


@pytest.mark.parametrize("where", ["before the rename", "before the sidecar"])
def test_a_process_killed_while_it_writes_leaves_nothing_that_is_handed_out(
    where: str, start: Start, tmp_path: Path
) -> None:
    first = start("first", where)
    assert finish(first)[-1] == "building" and first.returncode == -signal.SIGKILL
    second = start("second")
    assert ("its sidecar is missing" if where.endswith("sidecar") else "not built yet") in until_building(second)
    assert finish(second) == ["got second"]
    assert len(os.listdir(tmp_path / "engines")) == 2


def test_ctrl_c_in_a_build_leaves_nothing(start: Start, tmp_path: Path) -> None:
    first = start("first")
    until_building(first)
    first.send_signal(signal.SIGINT)
    first.wait(TIMEOUT_S)
    assert os.listdir(tmp_path / "engines") == []


def test_nobody_prunes_what_another_process_builds(start: Start, tmp_path: Path) -> None:
    """There is an old plan, broken, which is just being replaced."""
    assert finish(start("old"))[-1] == "got old"
    (entry,) = engines(tmp_path).entries()
    entry.plan.write_bytes(b"damaged")
    builder = start("new")
    assert "expected 3 at most" in until_building(builder)
    assert engines(tmp_path).prune(lambda entry: False) == [] and entry.plan.exists()
    assert finish(builder) == ["got new"]
    assert len(engines(tmp_path).prune(lambda entry: False)) == 1
