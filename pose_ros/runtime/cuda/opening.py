"""Open a GPU through the first CUDA runtime library that works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from pose_ros.runtime.cuda.bindings import BindingsCuda
from pose_ros.runtime.cuda.cudart import LibraryCuda, find_libraries
from pose_ros.runtime.cuda.device import Cuda
from pose_ros.runtime.cuda.driver import Gpu
from pose_ros.runtime.runner import Unavailable


def open_cuda(gpu: Gpu, library: str = "auto") -> Cuda:
    """Open a GPU through the first library that works, and make it current for the calling thread.

    Args:
        gpu: GPU from ``find_gpu``.
        library: ``"auto"`` tries cuda-bindings, then a libcudart of the system, of NVIDIA's wheels, or of PyTorch.
            ``"cuda-bindings"`` and ``"libcudart"`` try only that one. Any other text is the name or path of a
            libcudart.

    Raises:
        Unavailable: If no library works. The message says why each one failed.
    """
    failures = []
    for name, open_library in _list_libraries(library):
        opened = _try_open(open_library, gpu)
        if isinstance(opened, Cuda):
            return opened
        failures.append(f"{name}: {opened}")
    major = gpu.cuda_version[0]
    raise Unavailable(
        "cuda",
        f"expected a library that allocates memory on {gpu.name}, got none that works ({'; '.join(failures)})",
        f"pip install 'cuda-bindings=={major}.*', or install CUDA {major}; on a Jetson it is part of JetPack",
    )


def _list_libraries(library: str) -> Iterator[tuple[str, Callable[[Gpu], Cuda]]]:
    if library in ("auto", "cuda-bindings"):
        yield "cuda-bindings", BindingsCuda
    if library != "cuda-bindings":
        for path in find_libraries() if library in ("auto", "libcudart") else (library,):
            yield path, partial(LibraryCuda, library=path)


def _try_open(open_library: Callable[[Gpu], Cuda], gpu: Gpu) -> Cuda | Exception:
    try:
        return open_library(gpu)
    except (ImportError, OSError, AttributeError, RuntimeError) as error:
        return error
