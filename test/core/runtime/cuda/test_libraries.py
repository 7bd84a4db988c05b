"""Test the choice of the CUDA library, and the error if none works."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from stub_cuda import BINDINGS, GPU, compile_stub, fake_bindings

from pose_ros.runtime.cuda import cudart as cuda_runtime_library
from pose_ros.runtime.cuda.driver import find_gpu
from pose_ros.runtime.cuda.opening import open_cuda
from pose_ros.runtime.runner import Unavailable


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    return compile_stub("runtime", tmp_path)


@pytest.mark.parametrize("has_bindings", [True, False], ids=["with cuda-bindings", "without"])
def test_auto_uses_the_first_library_that_works(
    stub: Path, monkeypatch: pytest.MonkeyPatch, has_bindings: bool
) -> None:
    monkeypatch.setitem(sys.modules, BINDINGS, fake_bindings(stub) if has_bindings else None)
    monkeypatch.setitem(sys.modules, "cuda.cudart", None)
    monkeypatch.setattr(cuda_runtime_library, "SYSTEM", ("libcudart_missing.so", str(stub)))
    with open_cuda(GPU) as cuda:
        assert cuda.description.endswith("cuda-bindings" if has_bindings else stub.name)


def fail(*_: object) -> None:
    raise RuntimeError("Failed to dlopen libcuda.so.1")


def test_error_says_why_each_library_failed(tmp_path: Path, stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "libcudart_old.so"
    shutil.copy(compile_stub("driver", tmp_path), old)  # a library without these functions
    monkeypatch.setitem(sys.modules, BINDINGS, SimpleNamespace(cudaRuntimeGetVersion=fail))
    monkeypatch.setattr(cuda_runtime_library, "SYSTEM", ("libcudart_missing.so", str(old), str(stub)))
    monkeypatch.setattr(cuda_runtime_library, "PACKAGES", ())
    monkeypatch.setenv("STUB_CUDA_FAIL", "cudaSetDevice:35")
    with pytest.raises(Unavailable) as caught:
        open_cuda(GPU)
    expected = (
        "Imaginary Orin",
        "cuda-bindings: Failed to dlopen",
        "cannot open shared object",
        "undefined symbol",
        "(35)",
    )
    assert [text for text in expected if text not in caught.value.reason] == []
    assert "pip install 'cuda-bindings==12.*'" in caught.value.fix and "JetPack" in caught.value.fix


def test_the_libcudart_of_python_packages_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = [
        "nvidia_wheels/cu13/lib/libcudart.so.13",
        "nvidia_wheels/cuda_runtime/lib/libcudart.so.12",
        "old_torch/lib/libcudart-d0da41ae.so.11.0",
    ]
    for path in packaged:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    patterns = [pattern for _, pattern in cuda_runtime_library.PACKAGES]
    packages = zip(("nvidia_wheels", "old_torch"), patterns, strict=True)
    monkeypatch.setattr(cuda_runtime_library, "PACKAGES", (*packages, ("no_such_package", "*")))
    monkeypatch.syspath_prepend(tmp_path)
    found = list(cuda_runtime_library.find_libraries())
    assert found[: len(cuda_runtime_library.SYSTEM)] == list(cuda_runtime_library.SYSTEM)
    assert {Path(path).relative_to(tmp_path).as_posix() for path in found[4:]} == set(packaged)


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_process_may_end_with_everything_open(stub: Path) -> None:
    script = (
        "import sys\n"
        "from pose_ros.runtime.cuda.driver import Gpu\n"
        "from pose_ros.runtime.cuda.opening import open_cuda\n"
        "cuda = open_cuda(Gpu(0, 'Imaginary Orin', (8, 7), 1 << 30, (12, 6)), sys.argv[1])\n"
        "device, host, stream = cuda.allocate(8), cuda.allocate_host(8), cuda.make_stream()\n"
        "graph = stream.capture(lambda: stream.upload(device, host.array))\n"
    )
    done = run(script, stub)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_driver_the_installed_libraries_do_not_end_the_process() -> None:
    """With the cuda-bindings and libcudart that are installed here."""
    try:
        find_gpu()
    except Unavailable:
        pass
    else:
        pytest.skip("there is a GPU here")
    script = (
        "from pose_ros.runtime.cuda.driver import Gpu\n"
        "from pose_ros.runtime.cuda.opening import open_cuda\n"
        "from pose_ros.runtime.runner import Unavailable\n"
        "try:\n"
        "    open_cuda(Gpu(0, 'Imaginary Orin', (8, 7), 1 << 30, (12, 6)))\n"
        "except Unavailable as error:\n"
        "    print(error)\n"
    )
    done = run(script)
    assert done.returncode == 0 and "got none that works (cuda-bindings: " in done.stdout, done.stderr
