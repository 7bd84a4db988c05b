"""Fixtures for tests that need an NVIDIA GPU. Without one, each test is skipped with the reason."""

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
    found: Gpu = runner_checks.make_or_skip(find_gpu)
    return found


@pytest.fixture(scope="session")
def tensorrt(gpu: Gpu) -> None:
    """Skips the test if TensorRT cannot work."""
    runner_checks.make_or_skip(check_gpu)


@pytest.fixture
def cuda(gpu: Gpu) -> Iterator[Cuda]:
    """The opened GPU."""
    with runner_checks.make_or_skip(lambda: open_cuda(gpu)) as cuda:
        yield cuda


@pytest.fixture
def free_bytes(cuda: Cuda) -> Callable[[], int]:
    """Function that reads the free memory of the GPU from the driver. Other programs on the GPU change it."""
    driver = ctypes.CDLL(DRIVER)

    def read() -> int:
        cuda.make_current()
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        assert driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
        return free.value

    return read


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> RuntimeConfig:
    """Settings for quick builds, in a temporary folder, for batches of up to four images."""
    return RuntimeConfig(
        cache=str(tmp_path_factory.mktemp("engines")),
        least_size="128x128",
        best_size="384x512",
        most_size="384x672",
        max_batch=4,
        optimisation=1,
    )


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Function that exports the default model with the given options, once per set of options."""
    folder = tmp_path_factory.mktemp("models")

    def export(**options: bool) -> Path:
        path = folder / f"{'-'.join(options)}.onnx"
        return path if path.exists() else runner_checks.export_default(path, **options)

    return export


@pytest.fixture(scope="session")
def reference() -> Iterator[Runner]:
    """The default model on the CPU. The other runners are compared with it."""
    with OnnxRunner(DEFAULT_MODEL) as runner:
        yield runner
