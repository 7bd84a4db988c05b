"""Test finding a GPU, on a compiled stub of the driver and without a driver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from stub_cuda import compile_stub

from pose_ros.runtime.cuda.driver import Gpu, find_gpu
from pose_ros.runtime.runner import Unavailable


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(compile_stub("driver", tmp_path_factory.mktemp("driver")))


@pytest.mark.parametrize(("index", "name"), [(0, "Imaginary Orin"), (1, "Imaginary RTX")], ids=["first", "second"])
def test_find_gpu_returns_what_the_driver_reports(driver: str, index: int, name: str) -> None:
    assert find_gpu(index, driver) == Gpu(index, name, (8, 7), 64 << 30, (12, 6), 4)


@pytest.mark.parametrize(
    ("init", "reason", "fix"),
    [
        pytest.param(3, "cuInit, got error 3", "spawn", id="forked"),
        pytest.param(34, "cuInit, got error 34", "LD_LIBRARY_PATH", id="the toolkit's stub"),
        pytest.param(100, r"CUDA_ERROR_NO_DEVICE \(100\)", "CUDA_VISIBLE_DEVICES.*--gpus all", id="no GPU"),
        pytest.param(802, "error 802", "nvidia-fabricmanager", id="not ready"),
        pytest.param(803, "error 803", "restart", id="updated while in use"),
        pytest.param(804, "error 804", "Docker image", id="too old for the image"),
        pytest.param(999, "error 999", "nvidia-smi", id="any other"),
    ],
)
def test_an_error_of_the_driver_is_unavailable(
    driver: str, monkeypatch: pytest.MonkeyPatch, init: int, reason: str, fix: str
) -> None:
    monkeypatch.setenv("STUB_CUDA_INIT", str(init))
    with pytest.raises(Unavailable, match=reason) as caught:
        find_gpu(0, driver)
    assert caught.match(f"^runtime cuda: .*; .*{fix}")


@pytest.mark.parametrize(("count", "index"), [(0, 0), (2, 2), (2, -1)], ids=["no GPU", "one too far", "negative"])
def test_a_missing_gpu_is_unavailable(driver: str, monkeypatch: pytest.MonkeyPatch, count: int, index: int) -> None:
    monkeypatch.setenv("STUB_CUDA_COUNT", str(count))
    with pytest.raises(Unavailable, match=f"expected GPU {index}, got {count} in total"):
        find_gpu(index, driver)


def test_error_for_a_missing_driver_says_how_to_install_it() -> None:
    with pytest.raises(Unavailable, match="expected an NVIDIA driver, got none") as caught:
        find_gpu(0, "libcuda_missing.so.1")
    assert all(word in caught.value.fix for word in ("install", "JetPack", "--gpus all", "--runtime nvidia"))


def test_a_file_that_is_not_a_library_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"not a library")
    with pytest.raises(Unavailable, match="expected an NVIDIA driver"):
        find_gpu(0, str(tmp_path / "libcuda.so.1"))


def test_a_driver_without_a_function_is_unavailable(tmp_path: Path) -> None:
    old = compile_stub("driver", tmp_path, "-DWITHOUT_MEMORY")
    with pytest.raises(Unavailable, match=r"expected cuDeviceTotalMem_v2 in the driver.*update the driver"):
        find_gpu(0, str(old))


def test_find_gpu_on_this_machine_does_not_end_the_process() -> None:
    """With a GPU, without a driver, or with a driver and no GPU."""
    script = (
        "from pose_ros.runtime.cuda.driver import find_gpu\n"
        "from pose_ros.runtime.runner import Unavailable\n"
        "try:\n"
        "    print(find_gpu().name)\n"
        "except Unavailable as error:\n"
        "    print(error.fix)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
