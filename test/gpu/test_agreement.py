"""Every runtime on the GPU computes what ONNX Runtime computes on the CPU, and the same people come of it.

The limits are shares of a field's range. float32 on a GPU is TF32 by default: each product is rounded to 10 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import runner_checks
from runner_checks import photos, tensors

from pose_ros.config import RuntimeConfig
from pose_ros.evaluation.precision import PrecisionReport
from pose_ros.fields import FRONT_HEADS
from pose_ros.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.runner import Runner
from pose_ros.runtime.tensorrt import TensorRTRunner

pytestmark = pytest.mark.gpu

FLOAT_GAP, HALF_GAP = 1e-2, 5e-2
PICTURES = 6
"""With 18 people, of whom the default model finds 16."""
Models = Callable[..., Path]


def same_people(report: PrecisionReport, most_px: float) -> bool:
    """At most one person in ten is lost or added, and of the others 95 % of the keypoints stay where they are."""
    changed = max(report.lost, report.added)
    return report.people >= 10 and changed <= report.people // 10 and _p95(report) <= most_px


def _p95(report: PrecisionReport) -> float:
    return float(sorted(report.shifts_px)[int(0.95 * (len(report.shifts_px) - 1))])


def test_torch_on_the_gpu(reference: Runner) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch cannot use the GPU")
    with load_runner(DEFAULT_MODEL.with_suffix(".pt"), RuntimeConfig("torch", device="cuda")) as runner:
        assert runner_checks.disagreement(reference, runner, tensors(2)) < FLOAT_GAP
        assert same_people(runner_checks.people(reference, runner, photos(PICTURES)), most_px=1)


def test_onnx_runtime_on_the_gpu(reference: Runner) -> None:
    try:
        runner = load_runner(DEFAULT_MODEL, RuntimeConfig("onnx", provider="cuda"))
    except ImportError as error:
        pytest.skip(str(error))
    with runner:
        assert runner_checks.disagreement(reference, runner, tensors(2)) < FLOAT_GAP
        assert same_people(runner_checks.people(reference, runner, photos(PICTURES)), most_px=1)


@pytest.mark.usefixtures("tensorrt")
def test_tensorrt(reference: Runner, config: RuntimeConfig) -> None:
    with TensorRTRunner(DEFAULT_MODEL, config) as runner:
        assert runner_checks.disagreement(reference, runner, tensors(2)) < FLOAT_GAP
        assert same_people(runner_checks.people(reference, runner, photos(PICTURES)), most_px=1)


@pytest.mark.usefixtures("tensorrt")
def test_tensorrt_with_the_decode_front(models: Models, config: RuntimeConfig) -> None:
    model = models(front=True)
    with OnnxRunner(model) as reference, TensorRTRunner(model, config) as runner:
        assert runner_checks.disagreement(reference, runner, tensors(2)) < FLOAT_GAP
        assert same_people(runner_checks.people(reference, runner, photos(PICTURES)), most_px=1)
        found = runner.run({"image": tensors(1)[0]}, FRONT_HEADS)
        assert sorted(found) == sorted(FRONT_HEADS)


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.parametrize("wishes", [{"half": True}, {"half": True, "front": True}], ids=["plain", "front"])
def test_tensorrt_in_half_precision(
    reference: Runner, models: Models, config: RuntimeConfig, wishes: dict[str, bool]
) -> None:
    with TensorRTRunner(models(**wishes), config) as runner:
        assert "in fp16" in runner.description
        if "front" not in wishes:
            assert runner_checks.disagreement(reference, runner, tensors(2)) < HALF_GAP
        assert same_people(_people_of_fields(reference, runner), most_px=3)


@pytest.mark.usefixtures("tensorrt")
def test_auto_takes_tensorrt(config: RuntimeConfig) -> None:
    with load_runner(DEFAULT_MODEL, replace(config, backend="auto")) as runner:
        assert runner.description.startswith("TensorRT") and runner.reason.startswith("tensorrt")


def _people_of_fields(reference: Runner, runner: Runner) -> PrecisionReport:
    return runner_checks.people(reference, runner, photos(PICTURES))
