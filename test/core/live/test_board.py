"""Test the camera data of a live page, and the check of its requests."""

from __future__ import annotations

import math
import socket

import pytest

from pose_ros.live.access import is_same_origin, names_this_machine
from pose_ros.live.board import HISTORY_S, CameraBoard, PersonRow, PoseSample


class Clock:
    """Clock with a time that the test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def camera(clock: Clock) -> CameraBoard:
    camera = CameraBoard("front", clock)
    camera.publishers = 1
    camera.listen()
    return camera


def test_people_with_ids_are_listed_and_unknown_values_are_none(camera: CameraBoard) -> None:
    assert camera.describe()["tracked"] == []
    camera.add(PoseSample(2, tracked=(PersonRow(3, "tracked", 2.5, 0.5, 40.0), PersonRow(4, "lost"))))
    unknown = {"distance_m": None, "speed_mps": None, "speed_px": None}
    assert camera.describe()["tracked"] == [
        {"id": 3, "state": "tracked", "distance_m": 2.5, "speed_mps": 0.5, "speed_px": 40.0},
        {"id": 4, "state": "lost", **unknown},
    ]


# Camera data --------------------------------------------------------------------------------------------------------


def test_a_second_counts_its_images_and_an_empty_second_is_zero(camera: CameraBoard, clock: Clock) -> None:
    for people, latency_ms in ((1, 10.0), (3, 30.0), (2, 20.0)):
        camera.add(PoseSample(people, dropped=1, latency_ms=latency_ms, network_ms=5.0, decode_ms=2.0))
    clock.now_s += 2
    assert camera.rows_after(-1) == [(1000, 3, 3, 3, 20.0, 7.0), (1001, 0, 0, None, None, None)]
    assert camera.rows_after(1000) == [(1001, 0, 0, None, None, None)]
    assert camera.describe()["dropped"] == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_unknown(camera: CameraBoard, clock: Clock, value: float) -> None:
    camera.add(PoseSample(1, latency_ms=value, network_ms=value))
    clock.now_s += 1
    assert camera.rows_after(-1) == [(1000, 1, 0, 1, None, None)]
    statistics = camera.describe()
    assert (statistics["latency_ms"], statistics["times_ms"]) == (None, [0.0, None, 0.0])


@pytest.mark.parametrize("pause_s", [3 * HISTORY_S, 1e9], ids=["minutes", "decades"])
def test_history_is_bounded(camera: CameraBoard, clock: Clock, pause_s: float) -> None:
    camera.add(PoseSample(1))
    clock.now_s += pause_s
    camera.add(PoseSample(1))
    assert len(camera.rows_after(-1)) == HISTORY_S


def test_the_rate_is_the_mean_of_the_last_seconds(camera: CameraBoard, clock: Clock) -> None:
    assert camera.describe()["rate_hz"] is None
    for count in (100, 4, 4, 4, 4, 9):
        for _ in range(count):
            camera.add(PoseSample(0))
        clock.now_s += 1
    assert camera.describe()["rate_hz"] == pytest.approx(5.0)


def test_states(camera: CameraBoard, clock: Clock) -> None:
    assert camera.state == "waiting"
    clock.now_s += 4
    assert camera.state == "silent"
    camera.add(PoseSample(1))
    assert camera.state == "live"
    clock.now_s += 4
    assert camera.state == "silent"
    camera.publishers = 0
    assert camera.state == "gone"


def test_a_camera_is_not_silent_without_listening(camera: CameraBoard, clock: Clock) -> None:
    camera.add(PoseSample(1))
    camera.set_image(b"image")
    camera.stop_listening()
    clock.now_s += 50
    assert (camera.state, camera.image, camera.rows_after(-1)) == ("waiting", b"", [])
    camera.listen()
    clock.now_s += 1
    assert [row[0] for row in camera.rows_after(-1)] == [1050]


# Requests -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "is_this_machine"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8080", True),
        ("192.168.1.7:8080", True),
        ("[::1]:8080", True),
        ("localhost:8080", True),
        ("LOCALHOST", True),
        (socket.gethostname(), True),
        (f"{socket.gethostname()}.local:80", True),
        ("robot.example", True),
        ("robot.example.", False),
        ("evil.example", False),
        ("evil.example:8080", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        (":8080", False),
        ("[::1", False),
        ("[bad]:80", False),
    ],
)
def test_which_hosts_name_this_machine(host: str, is_this_machine: bool) -> None:
    assert names_this_machine(host, "robot.example") is is_this_machine
    assert names_this_machine(host, "Robot.Example") is is_this_machine


@pytest.mark.parametrize("served_at", ["", "0.0.0.0", "127.0.0.1"])
def test_an_empty_host_is_never_this_machine(served_at: str) -> None:
    assert not names_this_machine("", served_at)


@pytest.mark.parametrize(
    ("origin", "is_same"),
    [
        ("http://localhost:8080", True),
        ("https://localhost:8080", True),
        ("http://localhost", False),
        ("http://localhost:8081", False),
        ("http://127.0.0.1:8080", False),
        ("http://evil.example", False),
        ("http://localhost:8080.evil.example", False),
        ("null", False),
        ("", False),
        ("http://[::1", False),
    ],
)
def test_which_origins_are_the_same(origin: str, is_same: bool) -> None:
    assert is_same_origin(origin, "localhost:8080") is is_same
    assert is_same_origin(origin.upper(), "LocalHost:8080") is is_same
    assert not is_same_origin("", "")


def test_a_host_name_in_upper_case_names_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Robot7")
    assert names_this_machine("robot7:8080", "0.0.0.0") and names_this_machine("ROBOT7.local", "0.0.0.0")
