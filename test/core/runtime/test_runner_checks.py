"""The checks of test/gpu hold of a good runner, and fail for a bad one."""

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
from runner_checks import PICTURES, photos, tensors
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
    """A runner whose answers to single images something happens to."""

    def __init__(self, runner: Runner, spoil: Callable[[np.ndarray], np.ndarray]) -> None:
        self._inner, self._spoil = runner, spoil
        self.inputs, self.outputs, self.metadata = runner.inputs, runner.outputs, runner.metadata

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
        outputs, (image,) = self._inner.run(feeds, names), feeds.values()
        return outputs if len(image) > 1 else {name: self._spoil(array) for name, array in outputs.items()}


def slowly_louder(step: float) -> Callable[[np.ndarray], np.ndarray]:
    count = itertools.count()
    return lambda array: (array * np.float32(1 + step * next(count))).astype(np.float32)


def test_a_runner_agrees_with_itself(runner: Runner) -> None:
    small = tensors(2, SMALL_WH)
    assert runner_checks.disagreement(runner, runner, small) == 0
    assert runner_checks.drift(runner, small[0], 5) == 0
    assert runner_checks.batch_gap(runner, small) < 1e-5
    assert runner_checks.threads_gap(runner, small, 5) == 0
    assert runner_checks.are_the_same(runner_checks.people(runner, runner, photos(PICTURES)), most_px=0)


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
def test_other_answers_are_seen(runner: Runner, spoil: Callable[[np.ndarray], np.ndarray], least: float) -> None:
    small, spoiled = tensors(2, SMALL_WH), Spoiled(runner, spoil)
    assert runner_checks.disagreement(runner, spoiled, small) >= least
    assert runner_checks.batch_gap(spoiled, small) > 0


def test_drift_is_seen(runner: Runner) -> None:
    small = tensors(2, SMALL_WH)
    few, many = (runner_checks.drift(Spoiled(runner, slowly_louder(1e-6)), small[0], runs) for runs in (3, 30))
    assert 0 < few < many


def test_lost_people_are_seen(runner: Runner) -> None:
    report = runner_checks.people(runner, Spoiled(runner, np.zeros_like), photos(1))
    assert report.lost == report.people > 0


def test_the_limits_leave_room_for_what_half_precision_costs(runner: Runner, tmp_path: Path) -> None:
    model = runner_checks.export_default(tmp_path / "m.onnx", half=True, front=True)
    with OnnxRunner(model, RuntimeConfig(threads=1)) as half:
        assert 0 < runner_checks.disagreement(runner, half, tensors(1)) < runner_checks.HALF_GAP / 2
        assert runner_checks.are_the_same(runner_checks.people(runner, half, photos(PICTURES)), most_px=3)


def test_moved_people_are_not_the_same(runner: Runner) -> None:
    moved = Spoiled(runner, lambda array: np.roll(array, 1, axis=3))
    assert not runner_checks.are_the_same(runner_checks.people(runner, moved, photos(PICTURES)), most_px=3)


class Shared(Runner):
    """A runner whose threads write into one place, one after the other."""

    def __init__(self) -> None:
        self.inputs = (TensorSpec("image", (None, None, None, 3), np.dtype(np.uint8)),)
        self.outputs = (TensorSpec("mean", (None,), np.dtype(np.float32)),)
        self._mean, self._meeting, self._is_alone = np.zeros(1, np.float32), threading.Barrier(2), 2

    def _run(self, feeds: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
        mean = np.array([feeds["image"].mean()], np.float32)
        if self._is_alone:
            self._is_alone -= 1
            return {"mean": mean}
        self._mean = mean
        self._meeting.wait(10)
        return {"mean": self._mean}


def test_threads_that_get_each_others_answers_are_seen() -> None:
    assert runner_checks.threads_gap(Shared(), tensors(2, SMALL_WH), 1) > 0


@pytest.mark.parametrize(("kept_bytes", "lost"), [(0, 0), (1000, 50_000)], ids=["all given back", "a leak"])
def test_lost_memory_is_seen(kept_bytes: int, lost: int) -> None:
    held: list[bytes] = []
    free_bytes = 1 << 30

    def cycle() -> None:
        held.append(bytes(kept_bytes))

    assert runner_checks.lost_bytes(cycle, lambda: free_bytes - sum(map(len, held)), 50) == lost


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> runner_checks.Load:
    """Loads a small network into a fake TensorRT."""
    fake_tensorrt.install(monkeypatch, "10.3.0", fake_cuda.Machine())
    model = write_model(tmp_path / "tiny.onnx")
    config = RuntimeConfig(cache=str(tmp_path / "engines"), least_size="64x64", best_size="64x96", most_size="96x96")
    return lambda say: TensorRTRunner(model, config, say=say)


def test_starts_tell_where_the_engine_came_from(load: Any) -> None:
    (image,) = tensors(1, SMALL_WH)
    first, second = (runner_checks.start(load, image) for _ in range(2))
    assert (first.has_built, second.has_built) == (True, False)
    assert "not built yet" in first.said[0] and second.said == []
    assert runner_checks.gap(first.outputs, second.outputs) == 0


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (runner_checks.change_plan, "its plan has another checksum"),
        (lambda plan: runner_checks.replace_plan(plan, b'{"version": "0"}'), "TensorRT would not load it"),
    ],
    ids=["another byte", "no engine"],
)
def test_spoiled_plans_are_built_anew(load: Any, spoil: Callable[[Path], None], reason: str) -> None:
    (image,) = tensors(1, SMALL_WH)
    first = runner_checks.start(load, image)
    spoil(first.plan)
    again, after = (runner_checks.start(load, image) for _ in range(2))
    assert again.has_built and reason in again.said[0] and not after.has_built
    assert again.plan == first.plan and runner_checks.gap(first.outputs, again.outputs) == 0
