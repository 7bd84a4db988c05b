"""Images are answered while an engine is built: first by one runner, then by the other, never by none."""

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

TIMEOUT_S = 20
FEEDS = {"x": np.zeros(1, np.float32)}


class Constant(Runner):
    """Always answers the same, and waits for ``gate`` before it does."""

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
        assert not self.closed, "it was closed while it ran"
        return {"y": np.array([self.value], np.float32)}

    def gpu_memory_bytes(self) -> tuple[int, int]:
        return int(self.value), 8

    def close(self) -> None:
        self.closed += 1


class Workshop:
    """A build that goes on until the test lets it end."""

    def __init__(self, result: Runner | Exception) -> None:
        self.result = result
        self.goes_on = threading.Semaphore(0)
        self.steps: list[tuple[str, float]] = []
        self.reported, self.ended = threading.Event(), threading.Event()

    def build(self, report: BuildProgress) -> Runner:
        try:
            while self.goes_on.acquire(timeout=TIMEOUT_S) and self.steps:
                report(*self.steps.pop(0))
                self.reported.set()
            if isinstance(self.result, Exception):
                raise self.result
            return self.result
        finally:
            self.ended.set()

    def report(self, text: str, fraction: float) -> None:
        """Have the build tell how far it is."""
        self.steps.append((text, fraction))
        self.reported.clear()
        self.goes_on.release()
        assert self.reported.wait(TIMEOUT_S)

    def end(self) -> None:
        """Have the build end, and the thread with it."""
        self.goes_on.release()
        join()


def join() -> None:
    """Wait for every build."""
    for thread in threading.enumerate():
        if thread.name == "engine_build":
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()


def answer(runner: Runner) -> float:
    return float(runner.run(FEEDS)["y"][0])


def in_hand(slow: Constant, runner: Runner) -> tuple[threading.Thread, list[float]]:
    """A run that has begun and waits at the slow one's gate, and the answer that it will have."""
    answers: list[float] = []
    slow.gate.clear()
    running = threading.Thread(target=lambda: answers.append(answer(runner)))
    running.start()
    assert slow.started.wait(TIMEOUT_S)
    return running, answers


@pytest.fixture
def slow() -> Constant:
    return Constant(1, "the slow one")


@pytest.fixture
def fast() -> Constant:
    return Constant(2, "the fast one")


def test_it_switches_when_the_engine_is_there(slow: Constant, fast: Constant) -> None:
    workshop, said, told = Workshop(fast), [], []
    runner = WhileBuilding(slow, workshop.build, lambda *report: told.append(report), said.append)
    assert (answer(runner), runner.state) == (1, "loading the engine")
    assert runner.description == "the slow one, until the engine is there"
    assert (runner.inputs, runner.outputs, runner.metadata) == (slow.inputs, slow.outputs, slow.metadata)
    workshop.report("building an engine", 0.43)
    assert (answer(runner), runner.state) == (1, "building an engine, 43 %")
    workshop.report("building an engine, 12 s", -1)
    assert runner.state == "building an engine, 12 s"
    assert told == [("building an engine", 0.43), ("building an engine, 12 s", -1)]
    assert slow.closed == 0 and said == []
    workshop.end()
    assert (answer(runner), runner.state, runner.description) == (2, "", "the fast one")
    assert (slow.closed, fast.closed) == (1, 0)
    assert said == ["the engine is ready: the fast one"]
    runner.close()
    runner.close()
    assert (slow.closed, fast.closed) == (1, 1)
    with pytest.raises(ValueError, match="expected an open one, got one that has been closed"):
        answer(runner)


def test_a_run_in_hand_ends_before_its_runner_is_freed(slow: Constant, fast: Constant) -> None:
    workshop = Workshop(fast)
    runner = WhileBuilding(slow, workshop.build)
    running, answers = in_hand(slow, runner)
    workshop.goes_on.release()
    assert workshop.ended.wait(TIMEOUT_S)
    assert slow.closed == 0
    slow.gate.set()
    running.join(TIMEOUT_S)
    join()
    assert answers == [1] and slow.closed == 1 and answer(runner) == 2


def test_the_memory_is_that_of_the_runner_which_answers(slow: Constant, fast: Constant) -> None:
    workshop = Workshop(fast)
    runner = WhileBuilding(slow, workshop.build)
    running, answers = in_hand(slow, runner)
    assert runner.gpu_memory_bytes() == (1, 8)
    slow.gate.set()
    running.join(TIMEOUT_S)
    assert answers == [1], "the run was not waited for, or it would have lost patience"
    workshop.end()
    assert runner.gpu_memory_bytes() == (2, 8)
    runner.close()
    assert runner.gpu_memory_bytes() is None


@pytest.mark.parametrize(
    "error",
    [ValueError("model m.onnx:\n no operator Einsum"), MemoryError("no memory left"), Unavailable("tensorrt", "old")],
    ids=["cannot", "memory", "unavailable"],
)
def test_a_failed_build_is_told_once_and_the_first_goes_on(slow: Constant, error: Exception) -> None:
    workshop, said = Workshop(error), []
    runner = WhileBuilding(slow, workshop.build, say=said.append)
    workshop.end()
    text = " ".join(str(error).split())
    assert [answer(runner) for _ in range(3)] == [1, 1, 1]
    assert said == [f"no engine: {text}; the slow one goes on"]
    assert (runner.state, runner.description) == (f"no engine: {text}", "the slow one")
    runner.close()
    assert slow.closed == 1


def test_what_is_built_after_the_close_is_freed(slow: Constant, fast: Constant) -> None:
    workshop, said = Workshop(fast), []
    runner = WhileBuilding(slow, workshop.build, say=said.append)
    runner.close()
    assert slow.closed == 1
    workshop.end()
    assert (slow.closed, fast.closed, said) == (1, 1, [])


def test_a_build_is_told_to_stop_by_the_close(slow: Constant, fast: Constant) -> None:
    workshop, said = Workshop(fast), []
    runner = WhileBuilding(slow, workshop.build, say=said.append)
    runner.close()
    workshop.steps.append(("building an engine", 0.5))
    workshop.end()
    assert workshop.ended.is_set() and not workshop.reported.is_set()
    assert (fast.closed, said) == (0, [])


PROBE = object()
"""What was found out about the GPU and the model, once."""


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a runner and a probe in the place of TensorRT's."""

    def put(runner: Callable[..., Runner], probe: Callable[..., object] = lambda path, config: PROBE) -> None:
        for name, content in {"runner": {"TensorRTRunner": runner}, "probe": {"probe_model": probe}}.items():
            module = ModuleType(f"pose_ros.runtime.tensorrt.{name}")
            vars(module).update(content)
            monkeypatch.setitem(sys.modules, module.__name__, module)

    return put


def test_onnx_runtime_answers_until_then(tensorrt: Callable[..., None], fast: Constant) -> None:
    workshop = Workshop(fast)
    probes: list[object] = []

    def build(path: Path, config: RuntimeConfig, progress: BuildProgress, say: Notify | None, probe: object) -> Runner:
        probes.append(probe)
        return workshop.build(progress)

    tensorrt(build)
    runner = load_runner(DEFAULT_MODEL, RuntimeConfig(backend="tensorrt", while_building="onnx", threads=1))
    image = np.zeros((1, 64, 64, 3), np.uint8)
    assert runner.run({"image": image}, ["tags"])["tags"].shape == (1, 18, 8, 8)
    assert runner.description.startswith("ONNX Runtime") and runner.reason == "tensorrt"
    workshop.end()
    assert runner.description == "the fast one"
    assert probes == [PROBE]
    runner.close()


def test_without_a_gpu_nothing_is_built(tensorrt: Callable[..., None]) -> None:
    def refuse(*_: object) -> None:
        raise Unavailable("cuda", "no NVIDIA driver", "install it")

    tensorrt(lambda *_: pytest.fail("built"), refuse)
    with pytest.raises(Unavailable, match="no NVIDIA driver"):
        load_runner(DEFAULT_MODEL, RuntimeConfig(backend="tensorrt", while_building="onnx"))
