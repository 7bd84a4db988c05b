"""Check that GPU, driver, CUDA, TensorRT and model work together, before any TensorRT object is created.

Without a working driver, TensorRT ends the process when an object is created. So the driver is checked first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pose_ros.config import RuntimeConfig
from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.driver import Gpu, find_gpu
from pose_ros.runtime.cuda.opening import open_cuda
from pose_ros.runtime.runner import Unavailable
from pose_ros.runtime.tensorrt.builder import EngineRequest, engine_request
from pose_ros.runtime.tensorrt.precision import version_of

OLDEST = (8, 5)


@dataclass(frozen=True)
class TensorRTProbe:
    """TensorRT, a GPU and a model that work together. The owner of the probe closes ``cuda``.

    Attributes:
        trt: The module tensorrt.
        cuda: The GPU, open.
        request: The engine for these settings.
    """

    trt: Any
    cuda: Cuda
    request: EngineRequest


def check_gpu(index: int = 0) -> Gpu:
    """Check that TensorRT can work on a GPU, without making any of its objects.

    Args:
        index: Number of the GPU.

    Raises:
        Unavailable: If it cannot. The message says how to fix it.
    """
    gpu = find_gpu(index)
    _import_tensorrt(gpu)
    return gpu


def probe_model(path: Path, config: RuntimeConfig) -> TensorRTProbe:
    """Open the GPU and read the model, without building an engine.

    Raises:
        FileNotFoundError: If the file does not exist.
        Unavailable: If no working GPU, driver, CUDA library or TensorRT is found.
        ValueError: If this TensorRT cannot run the model with these settings.
    """
    gpu = find_gpu(config.gpu)
    trt = _import_tensorrt(gpu)
    cuda = open_cuda(gpu)
    try:
        return TensorRTProbe(trt, cuda, engine_request(trt, path, config))
    except BaseException:
        cuda.close()
        raise


def _import_tensorrt(gpu: Gpu) -> Any:
    """Import TensorRT. Call this only after the driver has been checked.

    Raises:
        Unavailable: If it is not installed, broken or too old.
    """
    fix = (
        f"pip install tensorrt-cu{gpu.cuda_version[0]}; on a Jetson: sudo apt install python3-libnvinfer, and create "
        "virtual environments with --system-site-packages"
    )
    try:
        import tensorrt

        version = version_of(tensorrt)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise Unavailable("tensorrt", f"expected the package tensorrt, got: {error}", fix) from error
    if version < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise Unavailable("tensorrt", f"expected TensorRT {oldest} or later, got {tensorrt.__version__}", fix)
    return tensorrt
