"""Stub libraries of CUDA, compiled from the C files beside this one, and a cuda-bindings made of one of them."""

from __future__ import annotations

import enum
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pose_ros.runtime.cuda.cudart import LibraryCuda
from pose_ros.runtime.cuda.driver import Gpu

BINDINGS = "cuda.bindings.runtime"
GPU = Gpu(0, "Imaginary Orin", (8, 7), 64 << 30, (12, 6))


def compile_stub(name: str, folder: Path, *options: str) -> Path:
    """Compile ``stub_cuda_<name>.c``; skip the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler is here to make a stub of CUDA with")
    library = folder / f"libstub_{name}.so"
    source = Path(__file__).with_name(f"stub_cuda_{name}.c")
    subprocess.run([compiler, "-shared", "-fPIC", *options, "-o", library, source], check=True, timeout=60)
    return library


def fake_bindings(library: Path) -> SimpleNamespace:
    """The module ``BINDINGS`` on a stub, with the manners of the older packages.

    A call answers a tuple that begins with a cudaError_t, a pointer that was not made is None, a stream or graph is an
    object that int() turns into its handle, and an enumeration must be given as one.
    """
    stub = LibraryCuda(GPU, str(library))
    errors = enum.IntEnum("cudaError_t", {"cudaSuccess": 0, "cudaErrorMemoryAllocation": 2, "cudaErrorOther": 999})
    enums: dict[str, Any] = {
        "cudaMemcpyKind": enum.IntEnum("cudaMemcpyKind", {"cudaMemcpyDefault": 4}),
        "cudaStreamCaptureMode": enum.IntEnum("cudaStreamCaptureMode", {"cudaStreamCaptureModeThreadLocal": 1}),
    }
    needs = {"cudaMemcpyAsync": "cudaMemcpyKind", "cudaStreamBeginCapture": "cudaStreamCaptureMode"}

    def function(name: str) -> Any:
        def call(*arguments: Any) -> tuple[Any, ...]:
            assert name not in needs or any(isinstance(given, enums[needs[name]]) for given in arguments)
            code, *made = stub._call(name, tuple(int(given) for given in arguments))
            error = errors(code) if code in (0, 2) else errors.cudaErrorOther
            return (error, *(_Handle(result) if result else None for result in made))

        return call

    return SimpleNamespace(cudaError_t=errors, **enums, **{name: function(name) for name in stub._functions})


class _Handle:
    def __init__(self, value: int) -> None:
        self._value = value

    def __int__(self) -> int:
        return self._value
