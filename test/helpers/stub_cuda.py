"""Compile stub libraries of CUDA from the C files in this folder, and wrap one as cuda-bindings."""

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
    """Compile ``stub_cuda_<name>.c``. Skip the test if there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler to build the stub of CUDA")
    library = folder / f"libstub_{name}.so"
    source = Path(__file__).with_name(f"stub_cuda_{name}.c")
    subprocess.run([compiler, "-shared", "-fPIC", *options, "-o", library, source], check=True, timeout=120)
    return library


def fake_bindings(library: Path) -> SimpleNamespace:
    """Make the module ``BINDINGS`` on top of a stub, with the behaviour of the older packages.

    A call returns a tuple that starts with a cudaError_t. A pointer that was not made is None. A stream or graph is an
    object that int() converts to its handle. An enumeration argument must have its enumeration type.
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
            assert name not in needs or any(isinstance(argument, enums[needs[name]]) for argument in arguments)
            code, *made = stub._call(name, tuple(int(argument) for argument in arguments))
            error = errors(code) if code in (0, 2) else errors.cudaErrorOther
            return (error, *(_Handle(result) if result else None for result in made))

        return call

    return SimpleNamespace(cudaError_t=errors, **enums, **{name: function(name) for name in stub._functions})


class _Handle:
    def __init__(self, value: int) -> None:
        self._value = value

    def __int__(self) -> int:
        return self._value
