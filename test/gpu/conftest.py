"""Fixtures of the tests that need an NVIDIA GPU: without one, each is skipped with the reason."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pose_ros.config import RuntimeConfig
from pose_ros.model_file import DEFAULT_MODEL
from pose_ros.runtime.cuda import DRIVER, Gpu, find_gpu
from pose_ros.runtime.cuda_memory import Cuda, open_cuda
from pose_ros.runtime.onnx import OnnxRunner
from pose_ros.runtime.runner import Runner, Unavailable
from pose_ros.runtime.tensorrt import check

CHECKPOINT = DEFAULT_MODEL.with_suffix(".pt")
FreeBytes = Callable[[], int]


def or_skip(find: Callable[[], Any]) -> Any:
    """What is found; the test is skipped where it is not there."""
    try:
        return find()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", autouse=True)
def gpu() -> Gpu:
    """The GPU."""
    return or_skip(find_gpu)


@pytest.fixture(scope="session")
def tensorrt(gpu: Gpu) -> None:
    """Skips the test where TensorRT cannot work."""
    or_skip(check)


@pytest.fixture
def cuda(gpu: Gpu) -> Iterator[Cuda]:
    """The GPU, opened."""
    with or_skip(lambda: open_cuda(gpu)) as cuda:
        yield cuda


@pytest.fixture
def free_bytes(cuda: Cuda) -> FreeBytes:
    """Asks the driver how much of the GPU's memory is free; other programs on it spoil the answer."""
    driver = ctypes.CDLL(DRIVER)

    def ask() -> int:
        cuda.make_current()
        free, all_of_it = ctypes.c_size_t(), ctypes.c_size_t()
        code = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(all_of_it))
        assert code == 0, f"cuMemGetInfo_v2: {code}"
        return free.value

    return ask


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> RuntimeConfig:
    """Settings that build quickly, into a folder of the tests' own; for batches of up to four."""
    cache = str(tmp_path_factory.mktemp("engines"))
    sizes = {"least_size": "128x128", "best_size": "368x496", "most_size": "368x656"}
    return RuntimeConfig("tensorrt", cache=cache, optimisation=1, max_batch=4, **sizes)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Exports the default model as wished, each way once."""
    pytest.importorskip("torch")
    from pose_ros.checkpoint import load_checkpoint
    from pose_ros.export import ExportOptions, export

    folder, files = tmp_path_factory.mktemp("models"), {}

    def exported(**wishes: bool) -> Path:
        name = "-".join(wishes) or "plain"
        if name not in files:
            options = ExportOptions((496, 368), dynamic=True, **wishes)
            files[name] = export(load_checkpoint(CHECKPOINT), folder / f"{name}.onnx", options).path
        return files[name]

    return exported


@pytest.fixture(scope="session")
def reference() -> Iterator[Runner]:
    """The default model on the CPU: what the others are held against."""
    with OnnxRunner(DEFAULT_MODEL) as runner:
        yield runner
