"""Test the errors of incomplete installations: a typer of apt, and a wheel without messages."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer
from cli_runner import run

from pose_ros import __main__ as program

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("version", ["0.4.0", "0.9.0", "0.15.4"])
def test_a_typer_of_apt_is_reported(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ubuntu 22.04 has 0.4, Ubuntu 24.04 has 0.9."""
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)  # the handlers of the tests stay
    monkeypatch.setattr(typer, "__version__", version)
    with pytest.raises(SystemExit, match=rf"expected 0\.16 or newer, got {version}.*make -C src/pose_ros venv"):
        program.main()


def test_the_program_requires_the_typer_of_the_package() -> None:
    oldest = ".".join(map(str, program.OLDEST_TYPER))
    assert f'"typer>={oldest}"' in (ROOT / "pyproject.toml").read_text()


def test_a_wheel_without_messages_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rclpy", ModuleType("rclpy"))
    monkeypatch.setitem(sys.modules, "pose_ros.ros.view", None)  # left out of the wheel
    result = run("view")
    assert result.exit_code == 1
    assert "expected the messages of pose_ros, got an installation by pip" in result.stderr
