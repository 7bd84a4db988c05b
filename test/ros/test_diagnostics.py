"""Tests of the statistics of a camera, and of the diagnostics."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from pose_ros.config import DiagnosticsConfig
from pose_ros.estimator import Estimate, PoseEstimator
from pose_ros.people import People
from pose_ros.ros.node.camera import MAX_LATENCY_MS
from pose_ros.ros.node.diagnostics import camera_status, runtime_status
from pose_ros.ros.node.statistics import MAX_EVENTS, WINDOW_S, CameraSnapshot, CameraStatistics

OK, WARN, ERROR, STALE = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE
START_S = 1000.0
HEALTHY = CameraSnapshot(
    received=300,
    answered=290,
    dropped=10,
    broken=0,
    lost=0,
    images_hz=30.0,
    answers_hz=29.0,
    dropped_share=0.03,
    broken_recent=0,
    lost_share=0.0,
    missing_share=0.0,
    latency_median_ms=20.0,
    latency_p95_ms=31.0,
    network_ms=12.0,
    decode_ms=2.0,
    people=2,
    image_age_s=0.03,
    answer_age_s=0.05,
)


def make_statistics(
    seconds: float, images: int, answers: int = 0, dropped: int = 0, broken: int = 0
) -> CameraStatistics:
    """Make statistics of a camera with these events, spread evenly over some seconds."""
    statistics = CameraStatistics(START_S)
    for number in range(images):
        statistics.count_received(START_S + seconds * (number + 1) / images)
    for number in range(answers):
        statistics.count_answered(START_S + seconds * (number + 1) / answers, 3, 10.0 + number, 5.0, 1.0)
    statistics.count_dropped(dropped, START_S + seconds)
    for _ in range(broken):
        statistics.count_broken(START_S + seconds)
    return statistics


def test_a_camera_without_images_has_no_numbers() -> None:
    now = CameraStatistics(START_S).snapshot(START_S + 4)
    assert (now.received, now.answered, now.dropped, now.broken, now.people) == (0, 0, 0, 0, -1)
    assert (now.images_hz, now.answers_hz, now.dropped_share) == (0, 0, 0)
    assert (now.image_age_s, now.answer_age_s) == (4, 4)
    assert math.isnan(now.latency_median_ms)
    assert math.isnan(now.latency_p95_ms)
    assert CameraStatistics(START_S).snapshot(START_S).images_hz == 0


@pytest.mark.parametrize("seconds", [1.0, WINDOW_S, 60.0])
def test_rates_are_correct_from_the_first_second(seconds: float) -> None:
    images, answers = round(30 * seconds), round(10 * seconds)
    now = make_statistics(seconds, images, answers, dropped=images - answers).snapshot(START_S + seconds)
    assert now.images_hz == pytest.approx(30)
    assert now.answers_hz == pytest.approx(10)
    assert (now.received, now.answered, now.dropped) == (images, answers, images - answers)


def test_the_dropped_share_counts_all_images() -> None:
    assert make_statistics(2, 10, answers=4, dropped=5, broken=1).snapshot(START_S + 2).dropped_share == 0.5


def test_medians_and_percentiles_ignore_unknown_values() -> None:
    statistics = make_statistics(1, 100, answers=100)  # latencies of 10 to 109 ms
    statistics.count_answered(START_S + 1, 7, math.nan, 5.0, 1.0)
    now = statistics.snapshot(START_S + 1)
    assert now.latency_median_ms == pytest.approx(59.5)
    assert now.latency_p95_ms == pytest.approx(104.05)
    assert (now.network_ms, now.decode_ms, now.people) == (5, 1, 7)


def test_old_events_count_only_in_the_totals() -> None:
    now = make_statistics(1, 30, answers=10, dropped=20, broken=3).snapshot(START_S + 1 + WINDOW_S)
    assert (now.images_hz, now.answers_hz, now.dropped_share, now.broken_recent) == (0, 0, 0, 0)
    assert (now.received, now.answered, now.dropped, now.broken) == (30, 10, 20, 3)
    assert math.isnan(now.latency_median_ms)
    assert now.image_age_s == WINDOW_S


def test_memory_is_bounded_and_high_rates_are_correct() -> None:
    statistics = make_statistics(10, 20_000)
    assert len(statistics._received._recent) == MAX_EVENTS
    now = statistics.snapshot(START_S + 10)
    assert now.images_hz == pytest.approx(2000, rel=0.01)
    assert now.received == 20_000


def test_a_pause_does_not_count_as_a_delay() -> None:
    statistics = make_statistics(1, 30, answers=30, dropped=30)
    statistics.resume(START_S + 100)
    now = statistics.snapshot(START_S + 100.5)
    assert (now.image_age_s, now.answer_age_s, now.dropped_share) == (0.5, 0.5, 0)
    statistics.count_received(START_S + 101)
    assert statistics.snapshot(START_S + 101).images_hz == pytest.approx(1)


def test_an_image_that_arrives_during_a_report_has_no_negative_age() -> None:
    statistics = make_statistics(1, 1, 1)
    now = statistics.snapshot(START_S + 0.9)
    assert (now.image_age_s, now.answer_age_s) == (0, 0)


def test_late_poses_are_a_warning_only_from_the_age_of_an_error() -> None:
    limits = DiagnosticsConfig()
    for age_s, level in ((limits.warn_age_s + 0.1, OK), (limits.error_age_s + 0.1, WARN)):
        status = camera_status("camera", replace(HEALTHY, answer_age_s=age_s), "ACTIVE", limits)
        assert status.level == level


def test_a_camera_counts_drops_and_no_latency_of_a_recording(make_node: Any, log: Any) -> None:
    camera = make_node().cameras[0]
    camera.accept(3)
    assert camera.statistics.snapshot(time.monotonic()).dropped == 3
    estimate = Estimate(People.empty(3), 1.0, 2.0, 3.0)
    for latency_ms, known in ((50.0, 50.0), (2 * MAX_LATENCY_MS, 50.0)):
        camera.count_result(estimate, latency_ms, time.monotonic())
        assert camera.statistics.snapshot(time.monotonic()).latency_median_ms == known
    for _ in range(3):
        camera.report_drawing_failure(ValueError("broken"))
    assert len(log.find("could not publish the overlay or markers")) == 1  # at most one every few seconds


def test_threads_lose_nothing() -> None:
    statistics = CameraStatistics(START_S)
    done = threading.Event()

    def receive() -> None:
        for number in range(2000):
            statistics.count_received(START_S + number / 4, 1 + number % 7)

    def answer() -> None:
        for number in range(2000):
            statistics.count_dropped(2, START_S + number / 4)
            statistics.count_answered(START_S + number / 4, 1, 1.0, 1.0, 1.0)

    def read() -> None:
        try:
            while not done.is_set():
                statistics.snapshot(START_S + 250)
        except Exception as error:
            errors.append(error)

    errors: list[Exception] = []
    threads = [threading.Thread(target=receive), threading.Thread(target=answer)]
    reader = threading.Thread(target=read)
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    now = statistics.snapshot(START_S + 500)
    assert not errors
    assert (now.received, now.dropped, now.answered) == (2000, 4000, 2000)


def status_of(state: str = "ACTIVE", config: DiagnosticsConfig | None = None, **changes: Any) -> DiagnosticStatus:
    """Make the status of a healthy camera, with these changes."""
    now = CameraSnapshot(**{**vars(HEALTHY), **changes})
    return camera_status("pose_estimator: front", now, state, config or DiagnosticsConfig())


@pytest.mark.parametrize(
    ("changes", "level", "message"),
    [
        pytest.param({}, OK, "29.0 of 30.0 images per second processed, latency 20 ms", id="healthy"),
        pytest.param(
            {"latency_median_ms": math.nan}, OK, "29.0 of 30.0 images per second processed", id="latency not known"
        ),
        pytest.param({"received": 0, "image_age_s": 1.0}, STALE, "waiting for the first image", id="just started"),
        pytest.param({"received": 0, "image_age_s": 4.0}, WARN, "no image yet after 4.0 s", id="no image yet"),
        pytest.param(
            {"received": 0, "image_age_s": 60.0}, ERROR, "no image yet after 60.0 s", id="no image yet for long"
        ),
        pytest.param({"image_age_s": 3.0}, WARN, "no image for 3.0 s", id="image as old as the limit"),
        pytest.param({"image_age_s": 2.9}, OK, "29.0 of 30.0 images per second", id="image below the limit"),
        pytest.param({"image_age_s": 31.0}, ERROR, "no image for 31.0 s", id="very old image"),
        pytest.param(
            {"answer_age_s": 31.0}, WARN, "images arrive, but no poses were published for 31.0 s", id="no poses"
        ),
        pytest.param({"latency_median_ms": 250.0}, WARN, "median latency 250 ms", id="high latency"),
        pytest.param({"latency_median_ms": 1000.0}, ERROR, "median latency 1000 ms", id="very high latency"),
        pytest.param({"dropped_share": 0.6}, WARN, "60% of the images dropped: the network takes 12 ms", id="dropped"),
        pytest.param({"broken_recent": 1}, WARN, "1 image failed in the last 5 s", id="broken image"),
        pytest.param({"broken_recent": 4}, WARN, "4 images failed in the last 5 s", id="broken images"),
        pytest.param(
            {"latency_median_ms": 1200.0, "dropped_share": 0.9},
            ERROR,
            "median latency 1200 ms; 90% of the images dropped",
            id="highest level, all reasons",
        ),
    ],
)
def test_the_level_follows_the_thresholds_and_the_message_has_the_reason(
    changes: dict[str, Any], level: bytes, message: str
) -> None:
    status = status_of(**changes)
    assert status.level == level
    assert status.message.startswith(message)


def test_the_thresholds_are_settings() -> None:
    config = DiagnosticsConfig(
        warn_age_s=0.01, error_age_s=100.0, warn_latency_ms=5.0, error_latency_ms=19.0, warn_dropped=0.01
    )
    status = status_of(config=config)
    assert status.level == ERROR
    assert status.message.count(";") == 2
    assert status_of(config=DiagnosticsConfig(warn_dropped=0.0), dropped_share=0.0).level == OK


@pytest.mark.parametrize(
    ("state", "level"),
    [
        pytest.param("ACTIVE", OK, id="active"),
        pytest.param("IDLE: no subscriber", OK, id="idle"),
        pytest.param("inactive", OK, id="lower case"),
        pytest.param("DISABLED", OK, id="disabled"),
        pytest.param("BUILDING 43 %", WARN, id="building"),
        pytest.param("LOADING", WARN, id="loading"),
        pytest.param("ERROR: no GPU", ERROR, id="error"),
        pytest.param("failed", ERROR, id="failed"),
    ],
)
def test_the_first_word_of_the_state_decides_the_level(state: str, level: bytes) -> None:
    runtime = runtime_status(state, "default-abc", "tensorrt 10.3")
    assert (runtime.level, runtime.message) == (level, state)
    assert status_of(state).level == level


@pytest.mark.parametrize("state", ["IDLE: no subscriber", "DISABLED", "INACTIVE"])
def test_only_an_active_camera_can_be_late(state: str) -> None:
    status = status_of(state, image_age_s=1e6, answer_age_s=1e6, latency_median_ms=1e6, dropped_share=1.0)
    assert (status.level, status.message) == (OK, state)


def test_a_status_arrives_with_every_number(graph: Any) -> None:
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    publisher = graph.node.create_publisher(DiagnosticArray, "/diagnostics", 1)
    graph.until(publisher.get_subscription_count, "the subscriber is connected")
    camera = camera_status("a", HEALTHY, "ACTIVE", DiagnosticsConfig(), {"topic": "/front/image"}, "Orin")
    extra = {"GPU memory": "210 of 8192 MiB"}
    runtime = runtime_status("ACTIVE", "default-abc", "tensorrt 10.3", extra, "Orin", "b")
    publisher.publish(DiagnosticArray(status=[camera, runtime]))
    graph.until(lambda: reports, "the report arrives")
    first, last = ({pair.key: pair.value for pair in status.values} for status in reports[0].status)
    assert [status.hardware_id for status in reports[0].status] == ["Orin", "Orin"]
    assert [status.name for status in reports[0].status] == ["a", "b"]
    assert first.keys() == {"state", "topic", *vars(HEALTHY)}
    assert (first["images_hz"], first["people"], first["topic"]) == ("30.00", "2", "/front/image")
    assert last == {"state": "ACTIVE", "model": "default-abc", "runtime": "tensorrt 10.3", **extra}


@pytest.mark.parametrize(
    ("namespace", "cameras", "names"),
    [
        ("", [""], ["pose_estimator: runtime", "pose_estimator: camera"]),
        ("/robot", ["front", "rear"], [f"robot/pose_estimator: {name}" for name in ("runtime", "front", "rear")]),
    ],
    ids=["one camera", "two cameras of a robot"],
)
def test_an_aggregator_finds_every_status_in_every_state(
    graph: Any, make_node: Any, namespace: str, cameras: list[str], names: list[str]
) -> None:
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    node = make_node(namespace=namespace, cameras=cameras, autostart=False, diagnostics__period_s=0.05)
    graph.until(lambda: reports, "it reports while it is unconfigured")
    assert {status.hardware_id for status in reports[-1].status} == {""}
    node.trigger_configure()
    graph.until(lambda: reports[-1].status[0].hardware_id == "the CPU", "the device is known")
    assert {status.hardware_id for status in reports[-1].status} == {"the CPU"}
    assert all([status.name for status in report.status] == names for report in reports)


def test_an_unknown_number_is_shown_as_unknown() -> None:
    values = {pair.key: pair.value for pair in status_of(latency_median_ms=math.nan).values}
    assert values["latency_median_ms"] == "unknown"


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        pytest.param(lambda: (1234 * 2**20, 8192 * 2**20), "1234 of 8192 MiB", id="known"),
        pytest.param(lambda: None, None, id="no GPU, or unknown"),
        pytest.param(lambda: {}["driver"], "unknown: KeyError: 'driver'", id="the driver fails"),
    ],
)
def test_the_gpu_memory_is_shown_if_it_is_known(
    graph: Any, make_node: Any, toy_estimator: PoseEstimator, memory: Any, expected: str | None
) -> None:
    calls: list[int] = []
    toy_estimator.runner.gpu_memory_bytes = lambda: (calls.append(1), memory())[1]
    reports = graph.collect(DiagnosticArray, "/diagnostics")
    node = make_node(lambda *_: toy_estimator, diagnostics__period_s=0.5)
    graph.until(lambda: calls and any(r.status[0].message == "ACTIVE" for r in reports[2:]), "the node is active")
    assert {pair.key: pair.value for pair in reports[-1].status[0].values}.get("GPU memory") == expected
    assert len(calls) < 2 * len(reports)  # not at each check of the subscribers, ten times a second
    assert node.state == "active"
