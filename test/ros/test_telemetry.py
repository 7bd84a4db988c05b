"""Test that the node sends no events, and writes no files of other programs into the home folder."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from empty_home import EmptyHome

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("pose_ros.msg", reason="needs the built messages")

PROGRAM = Path(__file__).resolve().parents[2] / "scripts/pose_node"
TIMEOUT_S = 180
needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs OpenVINO")


@pytest.mark.parametrize("backend", ["onnx", pytest.param("openvino", marks=needs_openvino)])
def test_the_node_leaves_no_file_and_looks_up_no_host(domain_id: int, tmp_path: Path, backend: str) -> None:
    empty_home = EmptyHome(tmp_path)
    command = [sys.executable, str(PROGRAM), "--ros-args", "-p", f"runtime.backend:={backend}"]
    with subprocess.Popen(command, env=empty_home.env, cwd=empty_home.home, stderr=subprocess.PIPE, text=True) as node:
        try:
            assert node.stderr is not None
            assert any("inactive -> active" in line for line in node.stderr)
            node.send_signal(signal.SIGINT)
            node.communicate(timeout=TIMEOUT_S)
        finally:
            node.kill()
    assert (node.returncode, empty_home.foreign_files(), empty_home.lookups()) == (0, [], [])
