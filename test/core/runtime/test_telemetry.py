"""Test that the libraries that run networks send no events and write no identifiers into the home folder."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest
import recordings
from empty_home import EmptyHome

from pose_ros.models.model_file import DEFAULT_MODEL
from pose_ros.runtime.telemetry import disable_telemetry

PACKAGE = Path(__file__).parents[3] / "pose_ros"
LIBRARIES = ("onnxruntime", "openvino")
PROGRAM = (sys.executable, "-c", "from pose_ros.cli import main; main()")
PROBES = """
from pose_ros.cli.doctor import LIBRARY, RUNTIMES
from pose_ros.cli.probes import examine
findings = examine([probe for probe in (*LIBRARY, *RUNTIMES) if probe.name in ("ONNX Runtime", "OpenVINO")])
assert {finding.state for finding in findings} <= {"ok", "missing"}, findings
"""
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs OpenVINO")


@pytest.fixture
def empty_home(tmp_path: Path) -> EmptyHome:
    return EmptyHome(tmp_path)


@pytest.mark.parametrize("runtime", ["onnx", pytest.param("openvino", marks=needs_openvino)])
def test_a_command_leaves_no_file_and_looks_up_no_host(empty_home: EmptyHome, tmp_path: Path, runtime: str) -> None:
    (photo,) = recordings.write_images(tmp_path / "photos", ["1.png"]).iterdir()
    empty_home.run(*PROGRAM, "image", photo, "--runtime", runtime, "--short-side", 64, "--threads", 1)
    assert (empty_home.foreign_files(), empty_home.lookups()) == ([], [])


def test_doctor_leaves_no_file_and_looks_up_no_host(empty_home: EmptyHome) -> None:
    empty_home.run(sys.executable, "-c", PROBES)
    assert (empty_home.foreign_files(), empty_home.lookups()) == ([], [])


@pytest.mark.skipif(PathFinder.find_spec("openvino_telemetry") is None, reason="needs the sender of OpenVINO")
def test_the_files_of_openvino_are_noticed(empty_home: EmptyHome) -> None:
    empty_home.run(sys.executable, "-c", "import openvino")
    assert empty_home.foreign_files()


def test_the_files_of_onnx_runtime_are_noticed(empty_home: EmptyHome) -> None:
    code = f"import onnxruntime; onnxruntime.InferenceSession({str(DEFAULT_MODEL)!r})"
    empty_home.run(sys.executable, "-c", code)
    if b"ORT_DISABLE_TELEMETRY" not in _library_of_onnx_runtime().read_bytes():
        pytest.skip("this ONNX Runtime has no sender")
    assert empty_home.foreign_files()


def test_a_look_up_is_noticed(empty_home: EmptyHome) -> None:
    code = "import socket, contextlib\nwith contextlib.suppress(OSError): socket.getaddrinfo('telemetry.test', 443)"
    empty_home.run(sys.executable, "-c", code)
    assert empty_home.lookups() == ["telemetry.test"]


def test_telemetry_is_disabled_in_this_process_and_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)
    disable_telemetry()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    with pytest.raises(ImportError):
        importlib.import_module("openvino_telemetry")


def test_telemetry_is_disabled_before_every_import() -> None:
    codes = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    found = {
        path: find_unguarded_imports(code) for path, code in codes.items() if any(lib in code for lib in LIBRARIES)
    }
    assert len(found) >= 4
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("def f():\n    import onnxruntime", [2]),
        ("def f():\n    from openvino import Core", [2]),
        ("def f():\n    import openvino\n    disable_telemetry()", [2]),
        ("def f():\n    disable_telemetry()\n    import openvino", []),
        ("def f():\n    disable_telemetry()\ndef g():\n    import onnxruntime.capi", [4]),
        ("import openvino_other", []),
    ],
)
def test_an_import_without_it_is_found(code: str, lines: list[int]) -> None:
    assert find_unguarded_imports(code) == lines


def find_unguarded_imports(code: str) -> list[int]:
    """Return the lines that import a library before the first call of ``disable_telemetry`` in their function."""
    tree, guarded = ast.parse(code), set()
    imports = {node.lineno for node in ast.walk(tree) if imports_library(node)}
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        calls = [node.lineno for node in ast.walk(function) if is_call(node)]
        guarded |= {line for line in imports if calls and min(calls) < line <= (function.end_lineno or 0)}
    return sorted(imports - guarded)


def imports_library(node: ast.AST) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    return any(name.partition(".")[0] in LIBRARIES for name in names)


def is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "disable_telemetry"


def _library_of_onnx_runtime() -> Path:
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None and spec.origin is not None
    return next((Path(spec.origin).parent / "capi").glob("onnxruntime_pybind11_state*"))
