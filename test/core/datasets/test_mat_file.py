"""Test MATLAB files in a process of their own."""

from pathlib import Path

import numpy as np
import pytest

from pose_ros.datasets.lsp import read_lsp
from pose_ros.datasets.mat_file import load_mat
from pose_ros.skeleton import COCO_17

scipy_io = pytest.importorskip("scipy.io")


def test_structs_and_arrays_arrive_as_scipy_reads_them(tmp_path: Path) -> None:
    scipy_io.savemat(tmp_path / "a.mat", {"joints": np.arange(6.0).reshape(2, 3), "release": {"name": "mpii"}})
    content = load_mat(tmp_path / "a.mat")
    assert content["joints"].tolist() == [[0, 1, 2], [3, 4, 5]] and content["release"].name == "mpii"


@pytest.mark.parametrize("name", ["scipy_sigbus.mat", "scipy_segv_lsp.mat"])
def test_a_file_that_ends_scipy_is_an_error(shared: Path, tmp_path: Path, name: str) -> None:
    file = shared / "cases/hostile" / name
    # What the first file does depends on the memory of the process and the version of SciPy
    got = "expected " if name == "scipy_sigbus.mat" else "expected a MATLAB file, got a damaged one.* SIG[A-Z]+"
    with pytest.raises(ValueError, match=f"labels {file}: {got}"):
        read_lsp(file, tmp_path, COCO_17)


def test_a_file_of_another_format_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(b"no matrix" * 100)
    with pytest.raises(ValueError, match=r"expected a MATLAB file, got [A-Za-z]+Error: "):
        load_mat(tmp_path / "a.mat")
