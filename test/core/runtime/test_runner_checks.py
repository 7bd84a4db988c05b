"""Test that the checks of test/gpu pass for a correct runner and fail for a wrong one."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fake_cuda
import fake_tensorrt
import numpy as np
import pytest
import runner_checks
from runner_checks import PHOTO_COUNT, photos, tensors
from tiny_onnx import write_model

from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.runner import Arrays, Runner, TensorSpec
from pose_ros.runtime.tensorrt.runner import TensorRTRunner

SMALL_WH = (96, 64)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with OnnxRunner(DEFAULT_MODEL, RuntimeConfig(threads=1)) as runner:
        yield runner


class Spoiled(Runner):
    """Runner that changes the outputs for single images."""

    def __init__(self, runner: Runner, spoil: Callable[[np.ndarray], np.ndarray]) -> None:
        self._inner, self._spoil = runner, spoil
        self.inputs, self.outputs, self.metadata = runner.inputs, runner.outputs, runner.metadata

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
        outputs, (image,) = self._inner.run(feeds, names), feeds.values()
        return outputs if len(image) > 1 else {name: self._spoil(array) for name, array in outputs.items()}


def make_drift(step: float) -> Callable[[np.ndarray], np.ndarray]:
    """Make a change that grows with each call."""
    count = itertools.count()
    return lambda array: (array * np.float32(1 + step * next(count))).astype(np.float32)


def test_a_runner_agrees_with_itself(runner: Runner) -> None:
    small = tensors(2, SMALL_WH)
    assert runner_checks.disagreement(runner, runner, small) == 0
    assert runner_checks.drift(runner, small[0], 5) == 0
    assert runner_checks.batch_gap(runner, small) < 1e-5
    assert runner_checks.threads_gap(runner, small, 5) == 0
    assert runner_checks.are_the_same(runner_checks.people(runner, runner, photos(PHOTO_COUNT)), most_px=0)


@pytest.mark.parametrize(
    ("spoil", "least"),
    [
        (lambda array: array + np.float32(0.01 * np.ptp(array)), 0.009),
        (lambda array: array[:, :, :-1], math.inf),
        (lambda array: array.astype(np.float64), math.inf),
        (lambda array: array * np.float32(np.nan), math.inf),
    ],
    ids=["offset", "shape", "type", "not a number"],
)
def test_different_outputs_are_detected(
    runner: Runner, spoil: Callable[[np.ndarray], np.ndarray], least: float
) -> None:
    small, spoiled = tensors(2, SMALL_WH), Spoiled(runner, spoil)
    assert runner_checks.disagreement(runner, spoiled, small) >= least
    assert runner_checks.batch_gap(spoiled, small) > 0


def test_drift_is_detected(runner: Runner) -> None:
    small = tensors(2, SMALL_WH)
    few, many = (runner_checks.drift(Spoiled(runner, make_drift(1e-6)), small[0], runs) for runs in (3, 30))
    assert 0 < few < many


def test_lost_people_are_detected(runner: Runner) -> None:
    report = runner_checks.people(runner, Spoiled(runner, np.zeros_like), photos(1))
    assert report.lost == report.people > 0


def test_half_precision_is_within_the_limits(runner: Runner, tmp_path: Path) -> None:
    model = runner_checks.export_default(tmp_path / "m.onnx", half=True, front=True)
    with OnnxRunner(model, RuntimeConfig(threads=1)) as half:
        assert 0 < runner_checks.disagreement(runner, half, tensors(1)) < runner_checks.HALF_GAP / 2
        assert runner_checks.are_the_same(runner_checks.people(runner, half, photos(PHOTO_COUNT)), most_px=3)


def test_moved_people_are_detected(runner: Runner) -> None:
    moved = Spoiled(runner, lambda array: np.roll(array, 1, axis=3))
    assert not runner_checks.are_the_same(runner_checks.people(runner, moved, photos(PHOTO_COUNT)), most_px=3)


class Shared(Runner):
    """Runner whose threads overwrite the output of each other."""

    def __init__(self) -> None:
        self.inputs = (TensorSpec("image", (None, None, None, 3), np.dtype(np.uint8)),)
        self.outputs = (TensorSpec("mean", (None,), np.dtype(np.float32)),)
        self._mean, self._barrier, self._single_runs = np.zeros(1, np.float32), threading.Barrier(2), 2

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
        mean = np.array([feeds["image"].mean()], np.float32)
        if self._single_runs:
            self._single_runs -= 1
            return {"mean": mean}
        self._mean = mean
        self._barrier.wait(120)
        return {"mean": self._mean}


def test_swapped_outputs_of_threads_are_detected() -> None:
    assert runner_checks.threads_gap(Shared(), tensors(2, SMALL_WH), 1) > 0


@pytest.mark.parametrize(("kept_bytes", "lost"), [(0, 0), (1000, 50_000)], ids=["no leak", "leak"])
def test_lost_memory_is_detected(kept_bytes: int, lost: int) -> None:
    leaked: list[bytes] = []
    free_bytes = 1 << 30

    def cycle() -> None:
        leaked.append(bytes(kept_bytes))

    assert runner_checks.lost_bytes(cycle, lambda: free_bytes - sum(map(len, leaked)), 50) == lost


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> runner_checks.Load:
    """Function that loads a small network into a fake TensorRT."""
    fake_tensorrt.install(monkeypatch, "10.3.0", fake_cuda.Machine())
    model = write_model(tmp_path / "tiny.onnx")
    config = RuntimeConfig(cache=str(tmp_path / "engines"), least_size="64x64", best_size="64x96", most_size="96x96")
    return lambda notify: TensorRTRunner(model, config, notify=notify)


def test_a_start_reports_whether_the_engine_was_built(load: Any) -> None:
    (image,) = tensors(1, SMALL_WH)
    first, second = (runner_checks.start(load, image) for _ in range(2))
    assert (first.has_built, second.has_built) == (True, False)
    assert "not built yet" in first.lines[0] and second.lines == []
    assert runner_checks.gap(first.outputs, second.outputs) == 0


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (runner_checks.change_plan, "its plan has the wrong checksum"),
        (lambda plan: runner_checks.replace_plan(plan, b'{"version": "0"}'), "TensorRT did not load it"),
    ],
    ids=["changed byte", "not an engine"],
)
def test_spoiled_plans_are_rebuilt(load: Any, spoil: Callable[[Path], None], reason: str) -> None:
    (image,) = tensors(1, SMALL_WH)
    first = runner_checks.start(load, image)
    spoil(first.plan)
    again, after = (runner_checks.start(load, image) for _ in range(2))
    assert again.has_built and reason in again.lines[0] and not after.has_built
    assert again.plan == first.plan and runner_checks.gap(first.outputs, again.outputs) == 0
