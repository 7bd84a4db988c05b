"""Test the example of a subscriber in docs/messages.md on a real graph."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from pose_ros.msg import Keypoint, PersonPose, PersonPoseArray

PAGE = Path(__file__).resolve().parents[2] / "docs/messages.md"


def test_the_subscriber_prints_noses_and_ends_without_a_traceback(graph: Any, tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "nose.py").write_text(code)
    poses = graph.node.create_publisher(PersonPoseArray, "/pose_estimator/poses", 10)
    command = [sys.executable, "-u", "nose.py"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            graph.until(poses.get_subscription_count, "the example subscribes", 60)
            nose = PersonPose(keypoints=[Keypoint(x=5.0, y=7.0, score=0.5)])
            poses.publish(PersonPoseArray(keypoint_names=["nose"], people=[nose]))
            assert program.stdout is not None
            assert program.stdout.readline() == "nose at (5.0, 7.0) px, score 0.50\n"
            program.send_signal(signal.SIGINT)
            _, errors = program.communicate(timeout=180)
        finally:
            program.kill()
    assert "Traceback" not in errors and program.returncode == 0
