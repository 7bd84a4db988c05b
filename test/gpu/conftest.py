"""Fixtures of the tests that need an NVIDIA GPU: without one, each is skipped with the reason."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import runner_checks

from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.driver import DRIVER, Gpu, find_gpu
from pose_ros.runtime.cuda.opening import open_cuda
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.runner import Runner
from pose_ros.runtime.tensorrt.probe import check_gpu


@pytest.fixture(scope="session", autouse=True)
def gpu() -> Gpu:
    """The GPU."""
    found: Gpu = runner_checks.or_skip(find_gpu)
    return found


@pytest.fixture(scope="session")
def tensorrt(gpu: Gpu) -> None:
    """Skips the test where TensorRT cannot work."""
    runner_checks.or_skip(check_gpu)


@pytest.fixture
def cuda(gpu: Gpu) -> Iterator[Cuda]:
    """The GPU, opened."""
    with runner_checks.or_skip(lambda: open_cuda(gpu)) as cuda:
        yield cuda


@pytest.fixture
def free_bytes(cuda: Cuda) -> Callable[[], int]:
    """Asks the driver how much of the GPU's memory is free; other programs on it spoil the answer."""
    driver = ctypes.CDLL(DRIVER)

    def ask() -> int:
        cuda.make_current()
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        assert driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
        return free.value

    return ask


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> RuntimeConfig:
    """Settings that build quickly, into a folder of the tests' own, for up to four images at a time."""
    return RuntimeConfig(
        cache=str(tmp_path_factory.mktemp("engines")),
        least_size="128x128",
        best_size="368x496",
        most_size="368x656",
        max_batch=4,
        optimisation=1,
    )


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Exports the default model as wished, each way once."""
    folder = tmp_path_factory.mktemp("models")

    def exported(**wishes: bool) -> Path:
        path = folder / f"{'-'.join(wishes)}.onnx"
        return path if path.exists() else runner_checks.export_default(path, **wishes)

    return exported


@pytest.fixture(scope="session")
def reference() -> Iterator[Runner]:
    """The default model on the CPU: what the others are held against."""
    with OnnxRunner(DEFAULT_MODEL) as runner:
        yield runner
