"""Test that a temporary runner is used while an engine is built, then the engine."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner
from pose_ros.runtime.runner import BuildProgress, Notify, Runner, TensorSpec, Unavailable
from pose_ros.runtime.while_building import WhileBuilding

TIMEOUT_S = 120
FEEDS = {"x": np.zeros(1, np.float32)}


class Constant(Runner):
    """Runner with a constant output. Each run waits for ``gate``."""

    def __init__(self, value: float, name: str) -> None:
        self.value, self.description = value, name
        self.inputs = (TensorSpec("x", (1,), np.dtype(np.float32)),)
        self.outputs = (TensorSpec("y", (1,), np.dtype(np.float32)),)
        self.metadata = {"model": name}
        self.gate, self.started, self.closed = threading.Event(), threading.Event(), 0
        self.gate.set()

    def _run(self, feeds: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
        self.started.set()
        assert self.gate.wait(TIMEOUT_S)
        assert not self.closed, "closed during a run"
        return {"y": np.array([self.value], np.float32)}

    def gpu_memory_bytes(self) -> tuple[int, int]:
        return int(self.value), 8

    def close(self) -> None:
        self.closed += 1


class ControlledBuild:
    """Build that continues until the test ends it."""

    def __init__(self, result: Runner | Exception) -> None:
        self.result = result
        self.signals = threading.Semaphore(0)
        self.steps: list[tuple[str, float]] = []
        self.reported, self.ended = threading.Event(), threading.Event()

    def build(self, report: BuildProgress) -> Runner:
        try:
            while self.signals.acquire(timeout=TIMEOUT_S) and self.steps:
                report(*self.steps.pop(0))
                self.reported.set()
            if isinstance(self.result, Exception):
                raise self.result
            return self.result
        finally:
            self.ended.set()

    def report(self, text: str, fraction: float) -> None:
        """Make the build report its progress."""
        self.steps.append((text, fraction))
        self.reported.clear()
        self.signals.release()
        assert self.reported.wait(TIMEOUT_S)

    def end(self) -> None:
        """End the build and wait for its thread."""
        self.signals.release()
        join_builds()


def join_builds() -> None:
    """Wait for all build threads."""
    for thread in threading.enumerate():
        if thread.name == "engine_build":
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()


def output(runner: Runner) -> float:
    return float(runner.run(FEEDS)["y"][0])


def start_run(slow: Constant, runner: Runner) -> tuple[threading.Thread, list[float]]:
    """Start a run that waits at the gate of ``slow``. Return its thread and the list that will hold its output."""
    outputs: list[float] = []
    slow.gate.clear()
    running = threading.Thread(target=lambda: outputs.append(output(runner)))
    running.start()
    assert slow.started.wait(TIMEOUT_S)
    return running, outputs


@pytest.fixture
def slow() -> Constant:
    return Constant(1, "slow runner")


@pytest.fixture
def fast() -> Constant:
    return Constant(2, "fast runner")


def test_it_switches_when_the_engine_is_ready(slow: Constant, fast: Constant) -> None:
    build, lines, reports = ControlledBuild(fast), [], []
    runner = WhileBuilding(slow, build.build, lambda *report: reports.append(report), lines.append)
    assert (output(runner), runner.state) == (1, "loading the engine")
    assert runner.description == "slow runner, until the engine is ready"
    assert (runner.inputs, runner.outputs, runner.metadata) == (slow.inputs, slow.outputs, slow.metadata)
    build.report("building an engine", 0.43)
    assert (output(runner), runner.state) == (1, "building an engine, 43 %")
    build.report("building an engine, 12 s", -1)
    assert runner.state == "building an engine, 12 s"
    assert reports == [("building an engine", 0.43), ("building an engine, 12 s", -1)]
    assert slow.closed == 0 and lines == []
    build.end()
    assert (output(runner), runner.state, runner.description) == (2, "", "fast runner")
    assert (slow.closed, fast.closed) == (1, 0)
    assert lines == ["the engine is ready: fast runner"]
    runner.close()
    runner.close()
    assert (slow.closed, fast.closed) == (1, 1)
    with pytest.raises(ValueError, match="expected an open runner, got a closed one"):
        output(runner)


def test_a_runner_is_closed_only_after_its_run_has_ended(slow: Constant, fast: Constant) -> None:
    build = ControlledBuild(fast)
    runner = WhileBuilding(slow, build.build)
    running, outputs = start_run(slow, runner)
    build.signals.release()
    assert build.ended.wait(TIMEOUT_S)
    assert slow.closed == 0
    slow.gate.set()
    running.join(TIMEOUT_S)
    join_builds()
    assert outputs == [1] and slow.closed == 1 and output(runner) == 2


def test_gpu_memory_is_that_of_the_current_runner(slow: Constant, fast: Constant) -> None:
    build = ControlledBuild(fast)
    runner = WhileBuilding(slow, build.build)
    running, outputs = start_run(slow, runner)
    assert runner.gpu_memory_bytes() == (1, 8)
    slow.gate.set()
    running.join(TIMEOUT_S)
    assert outputs == [1], "gpu_memory_bytes must not wait for the run"
    build.end()
    assert runner.gpu_memory_bytes() == (2, 8)
    runner.close()
    assert runner.gpu_memory_bytes() is None


@pytest.mark.parametrize(
    "error",
    [ValueError("model m.onnx:\n no operator Einsum"), MemoryError("no memory left"), Unavailable("tensorrt", "old")],
    ids=["cannot", "memory", "unavailable"],
)
def test_a_failed_build_is_reported_once_and_the_temporary_runner_stays(slow: Constant, error: Exception) -> None:
    build, lines = ControlledBuild(error), []
    runner = WhileBuilding(slow, build.build, notify=lines.append)
    build.end()
    text = " ".join(str(error).split())
    assert [output(runner) for _ in range(3)] == [1, 1, 1]
    assert lines == [f"no engine: {text}; continuing with slow runner"]
    assert (runner.state, runner.description) == (f"no engine: {text}", "slow runner")
    runner.close()
    assert slow.closed == 1


def test_a_runner_built_after_close_is_closed(slow: Constant, fast: Constant) -> None:
    build, lines = ControlledBuild(fast), []
    runner = WhileBuilding(slow, build.build, notify=lines.append)
    runner.close()
    assert slow.closed == 1
    build.end()
    assert (slow.closed, fast.closed, lines) == (1, 1, [])


def test_close_cancels_the_build(slow: Constant, fast: Constant) -> None:
    build, lines = ControlledBuild(fast), []
    runner = WhileBuilding(slow, build.build, notify=lines.append)
    runner.close()
    build.steps.append(("building an engine", 0.5))
    build.end()
    assert build.ended.is_set() and not build.reported.is_set()
    assert (fast.closed, lines) == (0, [])


PROBE = object()
"""Stands for the probe of GPU and model."""


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces the runner and the probe of TensorRT."""

    def install(runner: Callable[..., Runner], probe: Callable[..., object] = lambda path, config: PROBE) -> None:
        for name, content in {"runner": {"TensorRTRunner": runner}, "probe": {"probe_model": probe}}.items():
            module = ModuleType(f"pose_ros.runtime.tensorrt.{name}")
            vars(module).update(content)
            monkeypatch.setitem(sys.modules, module.__name__, module)

    return install


def test_onnx_runtime_is_used_during_the_build(tensorrt: Callable[..., None], fast: Constant) -> None:
    controlled = ControlledBuild(fast)
    probes: list[object] = []

    def build(
        path: Path, config: RuntimeConfig, progress: BuildProgress, notify: Notify | None, probe: object
    ) -> Runner:
        probes.append(probe)
        return controlled.build(progress)

    tensorrt(build)
    runner = load_runner(DEFAULT_MODEL, RuntimeConfig(backend="tensorrt", while_building="onnx", threads=1))
    image = np.zeros((1, 64, 64, 3), np.uint8)
    assert runner.run({"image": image}, ["tags"])["tags"].shape == (1, 36, 16, 16)
    assert runner.description.startswith("ONNX Runtime") and runner.reason == "tensorrt"
    controlled.end()
    assert runner.description == "fast runner"
    assert probes == [PROBE]
    runner.close()


def test_without_a_gpu_nothing_is_built(tensorrt: Callable[..., None]) -> None:
    def refuse(*_: object) -> None:
        raise Unavailable("cuda", "no NVIDIA driver", "install it")

    tensorrt(lambda *_: pytest.fail("built"), refuse)
    with pytest.raises(Unavailable, match="no NVIDIA driver"):
        load_runner(DEFAULT_MODEL, RuntimeConfig(backend="tensorrt", while_building="onnx"))
