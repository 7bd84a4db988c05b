"""Opening a GPU: the first library of CUDA's runtime that works with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from pose_ros.runtime.cuda.bindings import BindingsCuda
from pose_ros.runtime.cuda.cudart import LibraryCuda, find_libraries
from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.driver import Gpu
from pose_ros.runtime.runner import Unavailable


def open_cuda(gpu: Gpu, library: str = "auto") -> Cuda:
    """Open a GPU through the first library that can work with it, and make it current for the calling thread.

    Args:
        gpu: From ``find_gpu``.
        library: ``"auto"`` takes cuda-bindings, else a libcudart: the system's, that of NVIDIA's wheels, or that of
            PyTorch. ``"cuda-bindings"`` and ``"libcudart"`` are one of these alone; anything else is the name or
            path of a libcudart.

    Raises:
        Unavailable: If none can. It tells why each could not.
    """
    refusals = []
    for name, open_library in _libraries(library):
        opened = _tried(open_library, gpu)
        if isinstance(opened, Cuda):
            return opened
        refusals.append(f"{name}: {opened}")
    major = gpu.cuda_version[0]
    raise Unavailable(
        "cuda",
        f"expected a library that allocates memory on {gpu.name}, got none that works ({'; '.join(refusals)})",
        f"pip install 'cuda-bindings=={major}.*', or install CUDA {major}; on a Jetson it is part of JetPack",
    )


def _libraries(library: str) -> Iterator[tuple[str, Callable[[Gpu], Cuda]]]:
    if library in ("auto", "cuda-bindings"):
        yield "cuda-bindings", BindingsCuda
    if library != "cuda-bindings":
        for path in find_libraries() if library in ("auto", "libcudart") else (library,):
            yield path, partial(LibraryCuda, library=path)


def _tried(open_library: Callable[[Gpu], Cuda], gpu: Gpu) -> Cuda | Exception:
    try:
        return open_library(gpu)
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        return error
