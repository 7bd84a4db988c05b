"""Test ``pose_ros doctor`` with missing and broken libraries."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numba
import pytest
from typer.testing import CliRunner

from pose_ros.cli import app, probes
from pose_ros.cli import doctor as command
from pose_ros.cli.probes import Finding, Probe, examine, runtime_probe

BROKEN = {
    "raises": "raise RuntimeError('compiled for another NumPy')",
    "ends the process": "import sys; sys.exit(3)",
    "crashes": "import os; os.abort()",
    "invalid syntax": "def (",
    "raises nonsense": "class Odd(BaseException): pass\nraise Odd('odd')",
}


WITHOUT_CACHES = """
from numba.core.caching import CacheImpl
CacheImpl._locator_classes = []
"""
"""As on a machine where no folder of caches can be written."""
BREAKABLE = (
    "numpy",
    "cv2",
    "yaml",
    "onnxruntime",
    "openvino",
    "numba",
    "rosbags",
    "onnx",
    "rclpy",
    "tensorrt",
    "ctypes",
)


def doctor() -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def line(output: str, name: str) -> str:
    return next(line for line in output.splitlines() if line.strip().startswith(f"{name} "))


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with modules that hide the installed ones."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def healthy() -> dict[str, Finding]:
    """Return the findings of all probes on this machine, by name."""
    return {finding.probe.name: finding for finding in examine([*command.LIBRARY, *command.RUNTIMES, *command.ROS])}


@pytest.fixture
def examine_again(healthy: dict[str, Finding], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return ``examine_again("OpenCV", …)``: only these probes run again, the others keep their findings."""

    def examine_again(*names: str) -> None:
        def examine_some(probes: Sequence[Probe]) -> list[Finding]:
            new = {finding.probe.name: finding for finding in examine([p for p in probes if p.name in names])}
            assert set(new) == set(names)
            return [new.get(probe.name, healthy[probe.name]) for probe in probes]

        monkeypatch.setattr(command, "examine", examine_some)

    return examine_again


def test_a_healthy_machine(examine_again: Callable[..., None]) -> None:
    examine_again()
    code, output = doctor()
    assert code == 0, output
    assert output.startswith("pose_ros ")
    for name in ("NumPy", "OpenCV", "ONNX Runtime", "pose_ros"):
        assert f"{name:14}ok" in output
    assert "CPUExecutionProvider" in line(output, "ONNX Runtime")
    assert "ms for 640 x 480" in output
    assert line(output, "auto uses").split(maxsplit=2)[2].startswith("ok ")


def test_the_same_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"NumPy": "broken", "aiohttp": "missing"}
    monkeypatch.setattr(
        command, "examine", lambda probes: [Finding(p, states.get(p.name, "ok"), "1.0", "fix it") for p in probes]
    )
    result = CliRunner().invoke(app, ["doctor", "--json"])
    report = json.loads(result.stdout)
    assert (result.exit_code, report["pose_ros"]) == (1, command.version())
    findings = {finding.pop("name"): finding for finding in report["findings"]}
    assert set(findings) == {probe.name for probe in (*command.LIBRARY, *command.RUNTIMES, *command.ROS)}
    broken = {"state": "broken", "text": "1.0", "use": "everything", "required": True, "fix": "fix it"}
    assert findings["NumPy"] == broken
    assert (findings["aiohttp"]["required"], findings["aiohttp"]["fix"]) == (False, "fix it")
    assert (findings["OpenCV"]["state"], findings["OpenCV"]["fix"]) == ("ok", "")


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_module_is_reported_as_broken(broken: Path, how: str) -> None:
    (broken / "odd_module.py").write_text(BROKEN[how])
    (finding,) = examine([Probe("odd", "odd_module", "import odd_module; print('fine')", "nothing", "odd")])
    assert finding.state == "broken" and finding.text


@pytest.mark.parametrize("probe", [*command.LIBRARY, *command.RUNTIMES, *command.ROS], ids=lambda probe: probe.name)
def test_every_probe_is_valid_python(probe: Probe) -> None:
    compile(probe.code, probe.name, "exec")


def test_the_cache_of_compiled_functions_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (probe,) = (probe for probe in command.LIBRARY if probe.name == "numba")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (finding,) = examine([probe])
    version, _, folder = finding.text.partition(", cache ")
    assert version == numba.__version__ and Path(folder).parent == tmp_path
    monkeypatch.setattr(probes, "_PREAMBLE", WITHOUT_CACHES + probes._PREAMBLE)
    (finding,) = examine([probe])
    assert "no cache, every start compiles again: set NUMBA_CACHE_DIR" in finding.text


def test_a_broken_optional_library_is_no_failure(broken: Path, examine_again: Callable[..., None]) -> None:
    examine_again("rosbags")
    (broken / "rosbags.py").write_text("import os; os.abort()")
    code, output = doctor()
    assert code == 0
    assert "broken" in line(output, "rosbags")
    assert "rosbags (reading bags) is broken:\n  " in output


def test_a_broken_required_library_is_a_failure(
    broken: Path, monkeypatch: pytest.MonkeyPatch, examine_again: Callable[..., None]
) -> None:
    examine_again("ONNX Runtime")
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    (broken / "onnxruntime.py").write_text("raise RuntimeError('compiled for another NumPy')")
    code, output = doctor()
    assert code == 1
    assert "compiled for another NumPy" in line(output, "ONNX Runtime")
    assert "-m pip install onnxruntime" in output


def test_everything_is_broken(broken: Path) -> None:
    for name in BREAKABLE:
        (broken / f"{name}.py").write_text("raise SystemError('broken')")
    code, output = doctor()
    assert code == 1
    assert output.count("broken   ") >= 9


def test_with_ros_the_fix_is_apt_or_the_environment_of_the_workspace(
    broken: Path, monkeypatch: pytest.MonkeyPatch, examine_again: Callable[..., None]
) -> None:
    examine_again("OpenCV", "rclpy")
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setattr(probes.sys, "prefix", probes.sys.base_prefix)
    (broken / "cv2.py").write_text("raise ImportError('libGL.so.1')")
    (broken / "rclpy.py").write_text("raise ImportError('no')")
    code, output = doctor()
    assert code == 1
    assert "libGL.so.1" in line(output, "OpenCV")
    assert "OpenCV (everything) is broken:\n  in the ROS 2 workspace: make -C src/pose_ros venv" in output
    assert "pip install" not in output.partition("OpenCV (everything)")[2].partition("\n\n")[0]
    assert "sudo apt install ros-jazzy-rclpy" in output
    assert "ROS_DISTRO jazzy" in output


@pytest.mark.parametrize(
    "message",
    ["_ARRAY_API not found", "numpy.core.multiarray failed to import", "numpy.dtype size changed, may indicate"],
)
def test_a_library_for_another_numpy_is_recognised(
    message: str, broken: Path, examine_again: Callable[..., None]
) -> None:
    """The OpenCV of apt fails so after pip has installed NumPy 2 for the user."""
    examine_again("OpenCV")
    (broken / "cv2.py").write_text(f"raise ImportError({message!r})")
    code, output = doctor()
    assert code == 1
    _, _, fix = output.partition("OpenCV (everything) is broken:\n  it was built for another NumPy")
    version = importlib.metadata.version("numpy")
    assert f" {version} in " in fix and "pip uninstall numpy" in fix and "make -C src/pose_ros venv" in fix


@pytest.mark.parametrize(
    "message", ["module 'coverage' has no attribute 'types'", "module 'coverage.types' has no attribute 'Tracer'"]
)
@pytest.mark.parametrize("is_system", [True, False], ids=["system with ROS", "environment"])
def test_numba_beside_an_old_coverage_is_recognised(
    message: str, is_system: bool, broken: Path, examine_again: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """colcon of apt brings such a coverage. To install numba again would not help."""
    examine_again("numba")
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    monkeypatch.setattr(probes.sys, "prefix", probes.sys.base_prefix if is_system else "/environment")
    (broken / "numba.py").write_text(f"raise AttributeError({message!r})")
    _, output = doctor()
    fix = output.partition("numba (fast decoding) is broken:\n  ")[2].partition("\n")[0]
    assert ("make -C src/pose_ros venv" if is_system else "-m pip install 'coverage>=7.6.1'") in fix


def test_an_absent_module_is_missing_and_a_hanging_one_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_TIMEOUT_S", 1)
    absent = Probe("absent", "no_such_module", "print(1)", "nothing", "absent")
    inside = Probe("inside", "no_such_module.inside", "print(1)", "nothing", "inside")
    hangs = Probe("hangs", "sys", "import time; time.sleep(60)", "nothing", "hangs")
    fine = Probe("fine", "sys", "print('first'); print('1.0')", "nothing", "fine")
    findings = examine([absent, inside, hangs, fine])
    assert [finding.state for finding in findings] == ["missing", "missing", "broken", "ok"]
    assert findings[2].text == "no answer within 1 s; run pose_ros doctor again"
    assert findings[3].text == "1.0"
    assert findings[0].probe.remedy().endswith("-m pip install absent")
    quoted = replace(findings[0].probe, pip="absent[extra]").remedy()  # zsh takes brackets for a pattern
    assert quoted.endswith("-m pip install 'absent[extra]'")


REFUSED = "raise Unavailable('tensorrt', 'too old:\\n8.0', 'sudo apt install it')"


@pytest.mark.parametrize(
    ("code", "state", "text", "remedy"),
    [
        ("print('chatter'); print('10.3')", "ok", "10.3", None),
        (f"print('chatter'); {REFUSED}", "missing", "too old: 8.0", "sudo apt install it"),
        ("raise Unavailable('cuda', 'no such thing')", "missing", "no such thing", "-m pip install tensorrt"),
        ("raise ValueError('odd')", "broken", "ValueError: odd", "-m pip install tensorrt"),
        ("import os; os.abort()", "broken", "ended with code -6", "-m pip install tensorrt"),
    ],
    ids=["works", "refused", "refused without a fix", "raises", "crashes"],
)
def test_an_unavailable_runtime_is_reported_with_reason_and_fix(
    code: str, state: str, text: str, remedy: str | None
) -> None:
    (finding,) = examine([runtime_probe("TensorRT", "pose_ros.runtime", code, "speed", "tensorrt")])
    assert (finding.state, finding.text) == (state, text)
    assert remedy is None or finding.remedy().endswith(remedy)


@pytest.mark.parametrize(
    ("has_driver", "has_device", "is_reported"),
    [(True, True, True), (True, False, True), (False, True, False), (False, False, False)],
    ids=["gpu", "jetson", "no driver", "no gpu"],
)
def test_gpu_libraries_are_suggested_only_with_a_gpu(
    monkeypatch: pytest.MonkeyPatch, has_driver: bool, has_device: bool, is_reported: bool
) -> None:
    states = {"NVIDIA driver": "ok" if has_driver else "missing"}

    def examine_fake(probes: list[Probe]) -> list[Finding]:
        return [
            Finding(p, states.get(p.name, "missing" if p in command.NVIDIA else "ok"), "", "fix it") for p in probes
        ]

    monkeypatch.setattr(command, "examine", examine_fake)
    monkeypatch.setattr(command, "_has_nvidia_device", lambda: has_device)
    code, output = doctor()
    assert code == 0
    assert ("TensorRT (running fastest on the GPU) is missing:\n  fix it" in output) == is_reported
    assert ("CUDA provider (ONNX Runtime on the GPU) is missing:" in output) == is_reported
    assert ("NVIDIA driver (running on the GPU) is missing:" in output) == (has_device and not has_driver)


def test_the_cuda_provider_is_optional_with_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        command,
        "examine",
        lambda probes: [Finding(p, "missing" if p.name == "CUDA provider" else "ok", "") for p in probes],
    )
    assert "CUDA provider (" not in doctor()[1]


def test_probes_do_not_import_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd_module.py").write_text("raise RuntimeError('shadow')")
    monkeypatch.chdir(tmp_path)
    assert examine([Probe("odd", "odd_module", "", "nothing", "odd")])[0].state == "missing"
