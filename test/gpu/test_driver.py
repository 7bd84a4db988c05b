"""Test the driver and the CUDA runtime without TensorRT: copies, memory and errors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import runner_checks

from pose_ros.config import RuntimeConfig
from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime import load_runner
from pose_ros.runtime.cuda.device import Cuda, CudaError
from pose_ros.runtime.cuda.driver import Gpu, find_gpu
from pose_ros.runtime.runner import Unavailable

pytestmark = pytest.mark.gpu

MEGABYTE = 1 << 20
FORKED = """
import os, sys
from pose_ros.runtime.cuda.driver import find_gpu
find_gpu()
child = os.fork()
if child == 0:
    try:
        find_gpu()
    except ImportError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def run_script(script: str, **environment: str) -> str:
    """Run a script in a new process and return its output."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def copy_round_trip(cuda: Cuda, nbytes: int = MEGABYTE) -> bool:
    """Whether data survive a copy to the GPU and back, through a stream and a recorded graph."""
    sent = np.random.default_rng(0).integers(0, 256, nbytes, np.uint8)
    stream, device, host = cuda.make_stream(), cuda.allocate(nbytes), cuda.allocate_host(nbytes)
    stream.upload(device, sent)
    graph = stream.capture(lambda: stream.download(host.array, device))
    graph.launch(stream)
    stream.synchronize()
    is_same = np.array_equal(host.array, sent)
    for made in (graph, host, device, stream):
        made.close()
    return is_same


def test_the_gpu_describes_itself(gpu: Gpu) -> None:
    assert gpu.name and gpu.compute_capability >= (5, 0) and gpu.memory_bytes > 1 << 30
    assert gpu.cuda_version >= (11, 4)


def test_data_survive_the_round_trip(cuda: Cuda) -> None:
    assert copy_round_trip(cuda)


def test_reported_memory_agrees_with_the_driver(gpu: Gpu, cuda: Cuda, free_bytes: Callable[[], int]) -> None:
    kept = cuda.allocate(64 * MEGABYTE)
    used, total = cuda.memory_bytes() or (0, 0)
    assert kept.nbytes <= used < total <= gpu.memory_bytes
    assert abs(total - used - free_bytes()) <= 64 * MEGABYTE  # other programs come and go


def test_fifty_cycles_release_all_memory(cuda: Cuda, free_bytes: Callable[[], int]) -> None:
    assert runner_checks.lost_bytes(lambda: copy_round_trip(cuda, 8 * MEGABYTE), free_bytes, 50) <= 4 * MEGABYTE


def test_the_gpu_works_after_a_failed_allocation(gpu: Gpu, cuda: Cuda) -> None:
    with pytest.raises(CudaError, match=r"cudaMalloc\(\d+\): .*close other programs on the GPU") as caught:
        cuda.allocate(2 * gpu.memory_bytes)
    assert caught.value.code == 2 and copy_round_trip(cuda)


def test_error_for_a_missing_gpu_says_how_to_fix_it() -> None:
    with pytest.raises(Unavailable, match=r"expected GPU 63, got \d+ in total; set gpu"):
        find_gpu(63)
    with pytest.raises(Unavailable, match="expected GPU 63"):
        load_runner(DEFAULT_MODEL, RuntimeConfig(backend="tensorrt", gpu=63))


def test_error_for_a_hidden_gpu_says_how_to_fix_it() -> None:
    output = run_script("from pose_ros.runtime.cuda.driver import find_gpu; find_gpu()", CUDA_VISIBLE_DEVICES="")
    assert "CUDA_ERROR_NO_DEVICE" in output and "CUDA_VISIBLE_DEVICES does not hide it" in output


def test_auto_works_with_a_hidden_gpu() -> None:
    script = (
        "from pose_ros.config import RuntimeConfig; from pose_ros.models.model_file import DEFAULT_MODEL\n"
        "from pose_ros.runtime import load_runner\n"
        "print(load_runner(DEFAULT_MODEL, RuntimeConfig()).reason)"
    )
    output = run_script(script, CUDA_VISIBLE_DEVICES="")
    assert output.startswith(("openvino on the CPU", "onnx on the CPU")) and "tensorrt: " in output


def test_error_after_a_fork_says_to_use_spawn() -> None:
    assert "start worker processes with the method spawn" in run_script(FORKED)
