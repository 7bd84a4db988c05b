"""Tests that no message stops the node or writes lines of its own into the log.

``POSE_ROS_RANDOM_MESSAGES=10000 pytest test/ros/test_hostile_messages.py`` sends more random messages.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from random_messages import HOSTILE_TEXTS, random_compressed, random_raw
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image

from pose_ros.media.encodings import ENCODINGS
from pose_ros.ros.node import camera as camera_module
from pose_ros.ros.node.process import _spin_once
from pose_ros.texts import MAX_LINE

COUNT = int(os.environ.get("POSE_ROS_RANDOM_MESSAGES", "40"))


def check_log(log: Any) -> None:
    """Check that every line can be printed and is short."""
    for line in log.find(""):
        assert line.isprintable() and len(line) < 10 * MAX_LINE, line[:300]


def forged_lines(log: Any) -> list[str]:
    return [line for line in log.find("all is well") if line.startswith("[INFO]")]


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_random_messages(
    graph: Any, make_node: Any, make_camera: Any, paint: Any, image_message: Any, log: Any, transport: str
) -> None:
    node = make_node(image_transport=transport)
    camera = make_camera(kind=CompressedImage if transport == "compressed" else Image)
    camera.connect()
    random, encodings, statistics = np.random.default_rng(1), sorted(ENCODINGS), node.cameras[0].statistics

    def count() -> int:
        now = statistics.snapshot(0)
        return int(now.answered + now.broken)

    for number in range(1, COUNT + 1):
        raw = transport == "raw"
        camera.send(random_raw(random, Image, encodings) if raw else random_compressed(random, CompressedImage))
        graph.until(lambda n=number: count() == n, "the message is processed")
    assert 0 < statistics.snapshot(0).broken < COUNT
    camera.answers.clear()
    good = image_message(paint(20), stamp_s=77)
    if transport == "compressed":
        good = CompressedImage(format="png", header=good.header)
        good.data.frombytes(cv2.imencode(".png", paint(20))[1].tobytes())
    assert len(camera.ask(good).people) == 1
    check_log(log)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_texts_of_messages_are_quoted_and_cut(
    graph: Any, start: Any, paint: Any, image_message: Any, log: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "ERROR_PERIOD_S", 0.0)
    _, camera = start()
    message = image_message(paint(20), encoding=text, frame_id=text)
    camera.send(message)
    graph.until(lambda: log.find("skipped an image"), "it is logged")
    (line,) = log.find("skipped an image")
    assert len(line) < 2 * MAX_LINE and not forged_lines(log)
    check_log(log)
    assert camera.ask(image_message(paint(20), frame_id=text)).header.frame_id == text


def test_texts_of_parameters_and_requests_are_cut(graph: Any, make_node: Any, call: Any, log: Any) -> None:
    node = make_node(diagnostics__period_s=0.1)
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    graph.until(lambda: node.state == "active", "it is active")
    for text in HOSTILE_TEXTS:
        (result,) = node.set_parameters([Parameter("lazy", value=text)])
        assert not result.successful and result.reason.isprintable() and len(result.reason) < 2 * MAX_LINE
        transition = Transition(id=99, label=text)
        assert not call(ChangeState, "/pose_estimator/change_state", transition=transition).success
    graph.until(lambda: reports, "there are diagnostics")
    graph.until(lambda: log.find("transition rgb8"), "it is logged")
    assert not forged_lines(log)
    check_log(log)


@pytest.mark.parametrize("text", HOSTILE_TEXTS[1:4])
def test_texts_of_a_model_are_cut(graph: Any, make_node: Any, log: Any, text: str) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError(text)

    node = make_node(fail, autostart=False, diagnostics__period_s=0.1)
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    node.trigger_configure()
    graph.until(lambda: reports and "FAILED" in reports[-1].status[0].message, "it is reported")
    for status in reports[-1].status:
        assert all(entry.isprintable() and len(entry) < 10 * MAX_LINE for entry in (status.message, status.name))
        assert all(value.value.isprintable() and len(value.value) < 10 * MAX_LINE for value in status.values)
    check_log(log)


def test_an_exception_in_a_callback_is_one_line(graph: Any, make_node: Any, log: Any) -> None:
    node = make_node(autostart=False)

    class Failing:
        def spin_once(self, timeout_sec: float) -> None:
            raise RuntimeError(HOSTILE_TEXTS[1])

    _spin_once(Failing(), node)
    graph.until(lambda: log.find("all is well"), "it is logged")
    assert not forged_lines(log)
    check_log(log)


def test_a_tiny_watchdog_time_does_not_occupy_the_node(start: Any, paint: Any, image_message: Any) -> None:
    node, camera = start()
    assert node.set_parameters([Parameter("watchdog_s", value=1e-9)])[0].successful
    camera.ask(image_message(paint(20), stamp_s=1))
    timers = [timer.timer_period_ns for timer in node.timers]
    assert min(timers) >= 0.05e9
    camera.ask(image_message(paint(20), stamp_s=2))
