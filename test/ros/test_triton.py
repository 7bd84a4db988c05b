"""Test the node with a network on a Triton server that goes away and comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("tritonclient.grpc", reason="needs tritonclient[grpc]")

from diagnostic_msgs.msg import DiagnosticArray
from kserve_server import KServeServer

from pose_ros.export.triton_repository import write_repository


def test_the_node_reports_a_lost_server_and_recovers_by_itself(
    graph: Any, make_node: Any, make_camera: Any, toy_model: Path, tmp_path: Path, paint: Any, image_message: Any
) -> None:
    write_repository(toy_model, tmp_path)
    server = KServeServer(tmp_path)
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    node = make_node(model=f"triton://127.0.0.1:{server.port}/toy", runtime__backend="auto", diagnostics__period_s=0.05)
    camera = make_camera()
    camera.connect()
    image = image_message(paint(10, 50))
    assert len(camera.ask(image).people) == 2

    def state() -> tuple[bytes, str]:
        return (reports[-1].status[0].level, reports[-1].status[0].message) if reports else (b"", "")

    server.stop()
    camera.send(image)
    graph.until(lambda: "does not answer" in state()[1], "the diagnostics name the lost server")
    assert state()[0] == b"\x02"
    assert state()[1].startswith(f"ERROR: triton://127.0.0.1:{server.port}/toy does not answer")
    assert node.state == "active"

    with KServeServer(tmp_path, server.port):
        answered = len(camera.answers)

        def is_answered() -> bool:
            camera.send(image)
            return len(camera.answers) > answered

        graph.until(is_answered, "the node publishes poses again")
        graph.until(lambda: state() == (b"\x00", "ACTIVE"), "the diagnostics show no problem")
    assert len(camera.answers[-1].people) == 2
