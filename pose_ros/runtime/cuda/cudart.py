"""Call the CUDA runtime through ctypes: any libcudart from version 11.4 on."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.driver import Gpu

SYSTEM = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so")
PACKAGES = (("nvidia", "*/lib/libcudart.so.*"), ("torch", "lib/libcudart*.so*"))
"""Python packages that contain a libcudart, with its place: NVIDIA's wheels (PyTorch needs them too), and PyTorch."""

_POINTER, _SIZE, _INT, _FLAGS = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint
_NEW_POINTER, _NEW_SIZE, _NEW_INT = (ctypes.POINTER(kind) for kind in (_POINTER, _SIZE, _INT))
_RESULTS = {_NEW_POINTER: _POINTER, _NEW_SIZE: _SIZE, _NEW_INT: _INT}
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "cudaRuntimeGetVersion": (_NEW_INT,),
    "cudaGetLastError": (),
    "cudaSetDevice": (_INT,),
    "cudaMemGetInfo": (_NEW_SIZE, _NEW_SIZE),
    "cudaMalloc": (_NEW_POINTER, _SIZE),
    "cudaFree": (_POINTER,),
    "cudaHostAlloc": (_NEW_POINTER, _SIZE, _FLAGS),
    "cudaFreeHost": (_POINTER,),
    "cudaMemcpyAsync": (_POINTER, _POINTER, _SIZE, _INT, _POINTER),
    "cudaStreamCreateWithFlags": (_NEW_POINTER, _FLAGS),
    "cudaStreamDestroy": (_POINTER,),
    "cudaStreamSynchronize": (_POINTER,),
    "cudaStreamBeginCapture": (_POINTER, _INT),
    "cudaStreamEndCapture": (_POINTER, _NEW_POINTER),
    "cudaGraphInstantiateWithFlags": (_NEW_POINTER, _POINTER, ctypes.c_ulonglong),
    "cudaGraphDestroy": (_POINTER,),
    "cudaGraphLaunch": (_POINTER, _POINTER),
    "cudaGraphExecDestroy": (_POINTER,),
}
"""Argument types of each function. The ``_NEW_`` pointers are its results."""


class LibraryCuda(Cuda):
    """GPU that is accessed through a libcudart.

    Args:
        gpu: The GPU to open.
        library: Name or path of the libcudart.

    Raises:
        OSError: If the library does not exist.
        AttributeError: If the library lacks a function, because it is older than CUDA 11.4.
        CudaError: If the library cannot work with this driver.
    """

    def __init__(self, gpu: Gpu, library: str) -> None:
        loaded = ctypes.CDLL(library)
        self._functions = {name: getattr(loaded, name) for name in _ARGUMENTS}
        for name, kinds in _ARGUMENTS.items():
            self._functions[name].argtypes = kinds
        self._get_error_name = loaded.cudaGetErrorName
        self._get_error_name.restype = ctypes.c_char_p
        super().__init__(gpu, Path(library).name)

    def _call(self, name: str, arguments: tuple[int, ...]) -> list[int]:
        kinds, inputs = _ARGUMENTS[name], iter(arguments)
        results: dict[int, Any] = {i: _RESULTS[kind]() for i, kind in enumerate(kinds) if kind in _RESULTS}
        passed = [ctypes.byref(results[i]) if i in results else next(inputs) for i in range(len(kinds))]
        return [self._functions[name](*passed), *(result.value or 0 for result in results.values())]

    def _error_name(self, code: int) -> str:
        return self._get_error_name(code).decode()


def find_libraries() -> Iterator[str]:
    """Yield names and paths of possible libcudart libraries, those of the system first. Nothing is loaded."""
    yield from SYSTEM
    for package, pattern in PACKAGES:
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            yield from (str(path) for path in sorted(Path(folder).glob(pattern), reverse=True))
