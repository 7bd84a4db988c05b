"""Call the CUDA runtime through NVIDIA's package cuda-bindings, or the older cuda-python."""

from __future__ import annotations

import importlib
from typing import Any

from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.driver import Gpu

ENUMS = {"cudaMemcpyAsync": (3, "cudaMemcpyKind"), "cudaStreamBeginCapture": (1, "cudaStreamCaptureMode")}
"""Position and type of enumeration arguments. Older packages do not accept an integer for them."""


class BindingsCuda(Cuda):
    """GPU that is accessed through cuda-bindings.

    Raises:
        ImportError: If the package is not installed.
        RuntimeError: If the package cannot work with this driver.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._runtime, package = _import_runtime()
        super().__init__(gpu, package)

    def _call(self, name: str, arguments: tuple[int, ...]) -> list[int]:
        converted: list[Any] = list(arguments)
        if name in ENUMS:
            position, kind = ENUMS[name]
            converted[position] = getattr(self._runtime, kind)(converted[position])
        code, *results = getattr(self._runtime, name)(*converted)
        return [int(code), *(int(result or 0) for result in results)]

    def _error_name(self, code: int) -> str:
        return self._runtime.cudaError_t(code).name


def _import_runtime() -> tuple[Any, str]:
    try:
        return importlib.import_module("cuda.bindings.runtime"), "cuda-bindings"
    except ModuleNotFoundError:
        return importlib.import_module("cuda.cudart"), "cuda-python"  # the package before cuda-bindings
