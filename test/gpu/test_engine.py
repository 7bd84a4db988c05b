"""Test a TensorRT engine: cache, CUDA graphs, batches, threads, long runs and release of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import runner_checks
from runner_checks import tensors

from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.runner import Runner
from pose_ros.runtime.tensorrt.runner import TensorRTRunner

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("tensorrt")]

SAME_ENGINE_GAP = 1e-5
"""Kernels that add in no fixed order may differ in the last bits from run to run."""
OTHER_KERNELS_GAP = runner_checks.FLOAT_GAP
"""A batch or a new build may use other kernels."""
SLACK_BYTES = 4 << 20
"""Less than the smallest buffer of an engine. A leak of one buffer per cycle exceeds this in 50 cycles."""


@pytest.fixture(scope="module")
def runner(config: RuntimeConfig) -> Iterator[Runner]:
    with TensorRTRunner(DEFAULT_MODEL, config) as runner:
        yield runner


def test_a_thousand_runs_do_not_drift(runner: Runner) -> None:
    assert runner_checks.drift(runner, tensors(1)[0], 1000) <= SAME_ENGINE_GAP


def test_gpu_memory_can_be_read_during_runs(runner: Runner) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(runner_checks.drift, runner, tensors(1)[0], 200)
        readings = [runner.gpu_memory_bytes() for _ in range(50)]
        assert running.result() <= SAME_ENGINE_GAP
    assert all(memory is not None and 0 < memory[0] < memory[1] for memory in readings)


def test_a_batch_of_four_agrees_with_four_images(runner: Runner) -> None:
    assert runner_checks.batch_gap(runner, tensors(4)) <= OTHER_KERNELS_GAP


def test_alternating_sizes_do_not_affect_each_other(runner: Runner) -> None:
    """There are more sizes than lanes, so memory grows and graphs are recorded again."""
    images = [tensors(1, size_wh)[0] for size_wh in ((512, 384), (128, 128), (672, 384), (256, 160), (160, 256))]
    first = [runner_checks.run(runner, image) for image in images]
    for _ in range(4):
        again = [runner_checks.run(runner, image) for image in images]
        assert max(map(runner_checks.gap, first, again)) <= SAME_ENGINE_GAP


def test_two_threads_get_their_own_outputs(runner: Runner) -> None:
    assert runner_checks.threads_gap(runner, tensors(2), 200) <= SAME_ENGINE_GAP


def test_a_recorded_graph_agrees_with_the_engine(config: RuntimeConfig) -> None:
    lines: list[str] = []
    plain = TensorRTRunner(DEFAULT_MODEL, replace(config, cuda_graph=False))
    recorded = TensorRTRunner(DEFAULT_MODEL, config, notify=lines.append)
    with plain, recorded:
        assert plain.plan == recorded.plan
        runner_checks.drift(recorded, tensors(1)[0], 5)  # recorded from the third run on
        assert runner_checks.disagreement(plain, recorded, tensors(4)) <= SAME_ENGINE_GAP
    assert not [line for line in lines if "CUDA graphs" in line]


def test_fifty_loads_release_all_memory(config: RuntimeConfig, free_bytes: Callable[[], int]) -> None:
    (image,) = tensors(1)

    def cycle() -> None:
        with TensorRTRunner(DEFAULT_MODEL, config) as runner:
            runner_checks.drift(runner, image, 4)

    assert runner_checks.lost_bytes(cycle, free_bytes, 50) <= SLACK_BYTES


def test_the_second_start_builds_nothing_and_spoiled_plans_are_rebuilt(config: RuntimeConfig, tmp_path: Path) -> None:
    (image,), settings = tensors(1), replace(config, cache=str(tmp_path))

    def start() -> runner_checks.Start:
        return runner_checks.start(lambda notify: TensorRTRunner(DEFAULT_MODEL, settings, notify=notify), image)

    first, second = start(), start()
    assert first.has_built and "not built yet" in first.lines[0]
    assert not second.has_built and second.lines == []
    assert runner_checks.gap(first.outputs, second.outputs) <= SAME_ENGINE_GAP
    runner_checks.change_plan(first.plan)
    changed = start()
    assert changed.has_built and "wrong checksum" in changed.lines[0]
    runner_checks.replace_plan(first.plan, b"no engine" * 1000)
    replaced = start()
    assert replaced.has_built and "TensorRT did not load it" in replaced.lines[0]
    assert runner_checks.gap(first.outputs, replaced.outputs) <= OTHER_KERNELS_GAP
    assert not start().has_built
