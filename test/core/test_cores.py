"""Tests of the default number of threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pose_ros import cores
from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.onnx import OnnxRunner


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a machine of four cores with two logical CPUs each. The process may use all of them."""
    for cpu in range(8):
        folder = tmp_path / f"devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    monkeypatch.setattr(cores, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [(range(8), 4), ({0, 1}, 2), ({0, 4}, 1), ({7}, 1), ({0, 1, 4, 6}, 3)],
    ids=["all", "two cores", "both CPUs of a core", "one", "three cores"],
)
def test_a_core_counts_once(machine: Path, monkeypatch: pytest.MonkeyPatch, cpus: set[int], expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(cpus), raising=False)
    assert cores.count_cores() == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000"}, 4),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "900000 100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu.max": "damaged"}, 4),
    ],
    ids=["v2 unlimited", "v2", "v2 rounded up", "v2 half", "v2 above the cores", "v1", "v1 unlimited", "damaged"],
)
def test_the_limit_of_a_container_counts(machine: Path, files: dict[str, str], expected: int) -> None:
    for name, text in files.items():
        path = machine / "fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert cores.count_cores() == expected


def test_without_files_of_the_kernel_each_cpu_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "ROOT", tmp_path)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores.count_cores() == 6


@pytest.mark.parametrize(
    ("taken", "limit", "expected"),
    [(0, None, 4), (1, None, 3), (4, None, 1), (9, None, 1), (0, "2", 2), (0, "9", 4), (0, "3,1", 3), (0, "all", 4)],
)
def test_threads_are_the_cores_left_over(
    machine: Path, monkeypatch: pytest.MonkeyPatch, taken: int, limit: str | None, expected: int
) -> None:
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert cores.default_threads(taken) == expected


@pytest.mark.parametrize(("threads", "expected"), [(0, 4), (3, 3)], ids=["default", "given"])
def test_onnx_runtime_gets_the_threads(machine: Path, threads: int, expected: int) -> None:
    runner = OnnxRunner(DEFAULT_MODEL, RuntimeConfig(threads=threads))
    with runner:
        assert runner._session.get_session_options().intra_op_num_threads == expected
