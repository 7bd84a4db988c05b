"""Test the worker processes of a batch: what kill -9 leaves, and how a worker that dies is replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import recordings

from pose_ros.batch.manifest import read_rows
from pose_ros.batch.processes import ProcessPool
from pose_ros.batch.recipe import Recipe

TIMEOUT_S = 180
pytestmark = pytest.mark.slow
FAST = ("--runtime", "onnx", "--short-side", "64", "--jobs", "2", "--piece", "1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = recordings.write_images(tmp_path / "data", [f"{index}.png" for index in range(6)])
    for index in range(3):
        recordings.write_video(folder / f"walk_{index}.avi", 40)
    return folder


def start(data: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pose_ros", "batch", str(data), "--out", str(out), *FAST, *options]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=data.parent)


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors
    return errors


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    end_s = time.monotonic() + TIMEOUT_S
    while not (found := condition()):
        assert process.poll() is None and time.monotonic() < end_s
        time.sleep(0.01)
    return found


def rows_of(out: Path) -> list[str]:
    file = out / "manifest.jsonl"
    return [row.input for row in read_rows(file)] if file.exists() else []


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the worker processes, by the names of Linux."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(number) for number in children if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()]


def results(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.glob("*.people.jsonl")}


def test_kill_9_loses_at_most_the_inputs_in_progress(data: Path, tmp_path: Path) -> None:
    finish(start(data, tmp_path / "calm"))
    rows = [json.loads(line) for line in (tmp_path / "calm/manifest.jsonl").read_text().splitlines()]
    assert [(row["state"], row["frames"]) for row in rows] == [("done", 1)] * 6 + [("done", 40)] * 3
    out = tmp_path / "out"
    for count in (1, 4, 7):
        process = start(data, out)
        wait_for(lambda count=count: len(rows_of(out)) >= count, process)
        workers = workers_of(process)
        process.kill()
        process.communicate()
        wait_until_ended(workers)
        assert {f"{name}.people.jsonl" for name in rows_of(out)} <= set(results(out))
    errors = finish(start(data, out))
    assert " complete" in errors
    assert results(out) == results(tmp_path / "calm") and len(results(out)) == 9
    assert sorted(rows_of(out)) == rows_of(out) == rows_of(tmp_path / "calm")
    assert not list(out.rglob(".unfinished-*")) and not list((out / ".batch/pieces").iterdir())


def wait_until_ended(processes: list[int]) -> None:
    end_s = time.monotonic() + TIMEOUT_S
    while any(Path(f"/proc/{number}/stat").exists() for number in processes):
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_a_killed_worker_is_replaced(data: Path, tmp_path: Path) -> None:
    process = start(data, tmp_path / "out")
    wait_for(lambda: rows_of(tmp_path / "out"), process)
    os.kill(wait_for(lambda: workers_of(process), process)[0], signal.SIGKILL)
    finish(process)
    assert len(rows_of(tmp_path / "out")) == len(set(rows_of(tmp_path / "out"))) == 9


def test_ctrl_c_ends_the_workers(data: Path, tmp_path: Path) -> None:
    process = start(data, tmp_path / "out")
    wait_for(lambda: rows_of(tmp_path / "out"), process)
    workers = workers_of(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130 and workers
    wait_until_ended(workers)
    assert not list((tmp_path / "out").glob(".unfinished-*"))
    finish(start(data, tmp_path / "out"))


def test_a_second_process_on_the_same_shard_is_refused(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path / "out")
    wait_for(lambda: rows_of(tmp_path / "out"), first)
    first.send_signal(signal.SIGSTOP)  # it must not finish before the second one starts
    second = start(data, tmp_path / "out")
    _, errors = second.communicate(timeout=TIMEOUT_S)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1 and "expected no other process on shard 1/1" in errors
    finish(first)


def test_a_model_that_cannot_be_loaded_ends_the_batch(data: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    process = start(data, tmp_path / "out", "--model", str(tmp_path / "model.onnx"))
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1 and "model.onnx" in errors.splitlines()[-1] and rows_of(tmp_path / "out") == []


def test_workers_start_with_their_first_task(tmp_path: Path) -> None:
    with ProcessPool(Recipe(tmp_path), 64) as pool:
        assert pool.count_idle() == 64
