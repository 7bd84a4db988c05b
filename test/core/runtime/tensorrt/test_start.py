"""Test the start of the TensorRT runner without a GPU: builds, stored engines, failures and clean-up."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_cuda
import fake_tensorrt
import pytest
from fake_tensorrt import VERSIONS, Install, is_correct, make_image
from tiny_onnx import write_model

from pose_ros.config import RuntimeConfig
from pose_ros.runtime.cuda.device import CudaError
from pose_ros.runtime.cuda.driver import find_gpu
from pose_ros.runtime.runner import Unavailable
from pose_ros.runtime.tensorrt import probe, runner
from pose_ros.runtime.tensorrt.log import log_of
from pose_ros.runtime.tensorrt.probe import check_gpu
from pose_ros.runtime.tensorrt.runner import TensorRTRunner
from pose_ros.runtime.tensorrt.worker_thread import WorkerThread

pytest_plugins = ["tensorrt_fixtures"]


def test_a_runner_is_closed_when_the_program_ends(model: Path, config: RuntimeConfig) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(Path(fake_tensorrt.__file__).parent)!r})
import fake_cuda, fake_tensorrt, numpy as np
from pose_ros.config import RuntimeConfig
from pose_ros.runtime.tensorrt import probe, runner
from pose_ros.runtime.tensorrt.runner import TensorRTRunner
machine = fake_cuda.Machine()
sys.modules["tensorrt"] = fake_tensorrt.make("10.3.0", machine)
probe.find_gpu, probe.open_cuda = lambda index: fake_cuda.GPU, lambda gpu: fake_cuda.FakeCuda(machine)
import atexit
atexit.register(lambda: print(machine.live_objects(), len(machine.threads)))
runner = TensorRTRunner({str(model)!r}, RuntimeConfig(cache={config.cache!r}))
runner.run({{"image": np.zeros((1, 128, 128, 3), np.uint8)}})
"""
    command, folder = [sys.executable, "-c", script], model.parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[] 1\n", "")


def test_the_second_start_builds_nothing(install: Install, model: Path, config: RuntimeConfig) -> None:
    trt, lines, reports = install(), [], []
    for built in (True, False):
        with TensorRTRunner(model, config, lambda *report: reports.append(report), lines.append) as runner:
            assert runner.has_built == built and runner.plan.is_file() and runner.plan.parent == Path(config.cache)
            assert is_correct(runner.run({"image": make_image()}), make_image())
    assert len(trt.builds) == 1 and len(lines) == 1 and reports[-1][1] == 1


@pytest.mark.parametrize(
    "change", [{"optimisation": 1}, {"workspace_mb": 64}, {"most_size": "256x288"}, {"max_batch": 2}], ids=str
)
def test_another_setting_builds_another_engine(
    install: Install, model: Path, config: RuntimeConfig, change: dict[str, Any]
) -> None:
    trt = install()
    for settings in (config, RuntimeConfig(**{**vars(config), **change})):
        TensorRTRunner(model, settings).close()
    assert len(trt.builds) == 2 and trt.builds[1].timings == b"+"


def test_another_tensorrt_builds_another_engine(install: Install, model: Path, config: RuntimeConfig) -> None:
    lines: list[str] = []
    for version in VERSIONS:
        trt = install(version)
        TensorRTRunner(model, config, notify=lines.append).close()
        assert len(trt.builds) == 1
    assert "tensorrt" in lines[1] and VERSIONS[0] in lines[1] and VERSIONS[1] in lines[1]


def test_a_stored_plan_that_is_refused_is_rebuilt_once(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig
) -> None:
    trt, lines = install(), []
    TensorRTRunner(model, config).close()
    trt.faults.refusals = 1
    with TensorRTRunner(model, config, notify=lines.append) as runner:
        assert runner.has_built and is_correct(runner.run({"image": make_image()}), make_image())
    assert len(trt.builds) == 2
    assert [line for line in lines if "did not load it" in line] and "TensorRT: the plan is not for this" in lines[0]
    trt.faults.refusals = 9
    with pytest.raises(ValueError, match="can load here, got: the plan is not for this TensorRT"):
        TensorRTRunner(model, config)
    assert len(trt.builds) == 3 and machine.live_objects() == []


@pytest.mark.parametrize(
    "message",
    [
        "[defaultAllocator.cpp::allocate::19] Error Code 1: Cuda Runtime (out of memory)",
        "[engine.cpp::deserializeEngine::40] Error Code 2: OutOfMemory (no further information)",
        "CUDA error 2 allocating 1048576-byte buffer",
    ],
    ids=["8 to 11", "code", "number"],
)
def test_a_valid_plan_is_kept_if_the_gpu_is_out_of_memory(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig, message: str
) -> None:
    trt = install()
    TensorRTRunner(model, config).close()
    trt.faults.refusals, trt.faults.refusal = 1, message
    with pytest.raises(CudaError, match=r"cuda deserialize_cuda_engine: .*\(2\); close other programs on the GPU"):
        TensorRTRunner(model, config)
    assert machine.live_objects() == []
    with TensorRTRunner(model, config) as runner:
        assert not runner.has_built and is_correct(runner.run({"image": make_image()}), make_image())
    assert len(trt.builds) == 1


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ({"parser_errors": [("unsupported", 0)]}, ValueError, r"node /pixels/Cast \(Cast\): unsupported"),
        ({"build_fails": True}, ValueError, "to build an engine, got: no implementation found"),
        ({"refusals": 9}, ValueError, "expected a plan that TensorRT"),
        ({"cudaMalloc": 2}, CudaError, r"cudaMalloc\(4096\): .*close other programs on the GPU"),
        ({"cudaStreamCreateWithFlags": 46}, CudaError, "cudaStreamCreateWithFlags"),
    ],
    ids=["parse", "build", "load", "memory", "stream"],
)
def test_a_failed_start_raises_and_leaves_no_objects(
    install: Install,
    machine: fake_cuda.Machine,
    model: Path,
    config: RuntimeConfig,
    fault: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    trt, lines = install(VERSIONS[3]), []
    for name, value in fault.items():
        if name.startswith("cuda"):
            machine.errors[name] = value
        else:
            setattr(trt.faults, name, value)
    with pytest.raises(error, match=message) as caught:
        TensorRTRunner(model, config, notify=lines.append)
    assert machine.live_objects() == [] and len(machine.threads) == 1, caught
    assert len(trt.builds) <= 1
    assert log_of(trt).listeners == []


def test_an_interrupted_start_cancels_the_build(
    install: Install, machine: fake_cuda.Machine, model: Path, config: RuntimeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trt, building, interrupted = install(), threading.Event(), threading.Event()

    def during_build() -> None:
        building.set()
        interrupted.wait(120)

    class InterruptedWorker(WorkerThread):
        def call(self, work: Callable[[], Any]) -> Any:
            self._enqueue(work)
            building.wait(120)
            raise KeyboardInterrupt

        def close(self, *args: Any, **options: Any) -> None:
            interrupted.set()
            super().close(*args, **options)

    trt.faults.during_build = during_build
    monkeypatch.setattr(runner, "WorkerThread", InterruptedWorker)
    with pytest.raises(KeyboardInterrupt):
        TensorRTRunner(model, config)
    assert machine.live_objects() == [] and not list(Path(config.cache).glob("*.plan"))


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_without_a_gpu_tensorrt_is_not_used(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", object())  # any use of it raises another error
    monkeypatch.setattr(probe, "find_gpu", lambda index: find_gpu(index, "libcuda_missing.so"))
    for use in (check_gpu, lambda: TensorRTRunner(model)):
        with pytest.raises(Unavailable, match="expected an NVIDIA driver, got none"):
            use()


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(None, id="missing"),
        pytest.param(ModuleType("tensorrt"), id="empty folder"),
        pytest.param(fake_tensorrt.make("7.2.1", fake_cuda.Machine()), id="7.2"),
        pytest.param(fake_tensorrt.make("8.4.3.1", fake_cuda.Machine()), id="8.4"),
    ],
)
def test_a_missing_or_old_tensorrt_is_refused_with_the_fix(
    install: Install, monkeypatch: pytest.MonkeyPatch, module: ModuleType | None
) -> None:
    install("8.5.3.1")
    assert check_gpu().name == "Fake GPU"
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    with pytest.raises(Unavailable, match=r"pip install tensorrt-cu12; on a Jetson: .* python3-libnvinfer"):
        check_gpu()


def test_the_worker_thread_may_call_itself() -> None:
    """This happens when another runner is garbage-collected on the thread."""
    worker, results = WorkerThread("test"), []
    thread = threading.Thread(target=lambda: results.append(worker.call(lambda: worker.call(lambda: 7))), daemon=True)
    thread.start()
    thread.join(120)
    assert results == [7]
    worker.close()
    worker.close()
    with pytest.raises(ValueError, match="expected an open runner, got a closed one"):
        worker.call(lambda: 7)


def test_another_model_with_the_same_name_builds_another_engine(
    install: Install, model: Path, config: RuntimeConfig
) -> None:
    trt = install()
    TensorRTRunner(model, config).close()
    write_model(model, front=32)
    with TensorRTRunner(model, config) as runner:
        assert runner.has_built and "peaks" in [tensor.name for tensor in runner.outputs]
    assert len(trt.builds) == 2


@pytest.mark.parametrize(
    "change",
    [{"name": "Other"}, {"compute_capability": (8, 6)}, {"multiprocessors": 4}, {"memory_bytes": 1 << 30}],
    ids=str,
)
def test_another_gpu_builds_another_engine(
    install: Install,
    machine: fake_cuda.Machine,
    model: Path,
    config: RuntimeConfig,
    monkeypatch: pytest.MonkeyPatch,
    change: dict,
) -> None:
    trt, cuda = install(), fake_cuda.FakeCuda(machine)
    TensorRTRunner(model, config).close()
    cuda.gpu = replace(fake_cuda.GPU, **change)
    monkeypatch.setattr(probe, "open_cuda", lambda gpu: cuda)
    TensorRTRunner(model, config).close()
    assert len(trt.builds) == 2


def test_another_precision_builds_another_engine(install: Install, model: Path, config: RuntimeConfig) -> None:
    trt = install("8.6.1")
    for precision in ("auto", "fp16", "auto"):
        TensorRTRunner(model, replace(config, precision=precision)).close()
    assert len(trt.builds) == 2


def test_the_configured_gpu_is_opened(
    install: Install, model: Path, config: RuntimeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    install()
    indices: list[int] = []
    monkeypatch.setattr(probe, "find_gpu", lambda index: indices.append(index) or fake_cuda.GPU)
    TensorRTRunner(model, replace(config, gpu=3)).close()
    assert set(indices) == {3}


def test_a_model_that_changes_during_the_build_is_refused(install: Install, model: Path, config: RuntimeConfig) -> None:
    install()
    changed = False

    def change(text: str, fraction: float) -> None:
        nonlocal changed
        if not changed:
            changed = True
            write_model(model, front=32)

    with pytest.raises(ValueError, match="expected an unchanged file during the build"):
        TensorRTRunner(model, config, change)
    with TensorRTRunner(model, config) as runner:
        assert runner.has_built
