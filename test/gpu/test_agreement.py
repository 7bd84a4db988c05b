"""Test that every runtime on the GPU agrees with ONNX Runtime on the CPU, in fields and people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import runner_checks
from runner_checks import FLOAT_GAP, HALF_GAP, PHOTO_COUNT, photos, tensors

from pose_ros.config import RuntimeConfig
from pose_ros.fields import FRONT_HEADS
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.runner import Runner
from pose_ros.runtime.tensorrt.runner import TensorRTRunner

pytestmark = pytest.mark.gpu

Models = Callable[..., Path]


def skip_without_cuda_in_torch() -> None:
    if not pytest.importorskip("torch").cuda.is_available():
        pytest.skip("this PyTorch cannot use the GPU")


@pytest.mark.parametrize(
    "settings",
    [{"backend": "torch", "device": "cuda"}, {"backend": "onnx", "provider": "cuda"}, {"backend": "tensorrt"}],
    ids=lambda settings: settings["backend"],
)
def test_fields_and_people_agree_with_the_cpu(
    reference: Runner, config: RuntimeConfig, settings: dict[str, Any]
) -> None:
    if settings["backend"] == "torch":
        skip_without_cuda_in_torch()
    with runner_checks.make_or_skip(lambda: load_runner(DEFAULT_MODEL, replace(config, **settings))) as runner:
        assert runner_checks.disagreement(reference, runner, tensors(2)) < FLOAT_GAP
        assert runner_checks.are_the_same(runner_checks.people(reference, runner, photos(PHOTO_COUNT)), most_px=1)


@pytest.mark.usefixtures("tensorrt")
def test_the_decode_front_finds_the_same_people(models: Models, config: RuntimeConfig) -> None:
    model = models(front=True)
    with OnnxRunner(model) as reference, TensorRTRunner(model, config) as runner:
        assert runner_checks.disagreement(reference, runner, tensors(2)) < FLOAT_GAP
        assert runner_checks.are_the_same(runner_checks.people(reference, runner, photos(PHOTO_COUNT)), most_px=1)
        candidates = runner.run({"image": tensors(1)[0]}, FRONT_HEADS)
        assert sorted(candidates) == sorted(FRONT_HEADS) and candidates["peaks"].any()


@pytest.mark.usefixtures("tensorrt")
@pytest.mark.parametrize("options", [{"half": True}, {"half": True, "front": True}], ids="-".join)
def test_half_precision_is_within_the_limits(
    reference: Runner, models: Models, config: RuntimeConfig, options: dict[str, bool]
) -> None:
    with TensorRTRunner(models(**options), config) as runner:
        assert runner.description.endswith(" in fp16")
        assert runner_checks.disagreement(reference, runner, tensors(2)) < HALF_GAP
        assert runner_checks.are_the_same(runner_checks.people(reference, runner, photos(PHOTO_COUNT)), most_px=3)


@pytest.mark.usefixtures("tensorrt")
def test_auto_uses_tensorrt(config: RuntimeConfig) -> None:
    with load_runner(DEFAULT_MODEL, config) as runner:
        assert runner.reason == "tensorrt" and runner.description.startswith("TensorRT ")
