"""Tests of the example ``keep_distance.py`` on a real graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from behaviours import STOP, Robot, load_example
from geometry_msgs.msg import Point32
from pose_ros.msg import PersonPose
from rclpy.parameter import Parameter

NAN = math.nan


def person(x: float, z: float, track_id: int = 3, y: float = 0.1, state: int = PersonPose.TRACKED) -> PersonPose:
    return PersonPose(id=track_id, score=0.9, state=state, position_3d=Point32(x=float(x), y=y, z=float(z)))


@pytest.fixture
def robot(graph: Any) -> Callable[..., Robot]:
    """Return ``robot(lost_s=0.1)``, which makes a robot that keeps its distance."""

    def robot(**parameters: float) -> Robot:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        make = load_example("keep_distance").KeepDistance
        return Robot(graph, graph.add(make(context=graph.context, parameter_overrides=overrides)))

    return robot


@pytest.mark.parametrize(
    ("people", "moves"),
    [
        pytest.param([person(0, 4)], (0.4, 0.0), id="far away: forwards, limited speed"),
        pytest.param([person(0, 1.75)], (0.2, 0.0), id="a little too far"),
        pytest.param([person(0, 1.55)], STOP, id="at the goal"),
        pytest.param([person(0, 1.3)], (-0.16, 0.0), id="a little too near: backwards"),
        pytest.param([person(0, 0.4)], (-0.2, 0.0), id="much too near: backwards, limited speed"),
        pytest.param([person(-3, 3)], (0.4, 0.8), id="to the left: turn left"),
        pytest.param([person(0.4, 1.44)], (0.0, -0.4064), id="to the right at the goal"),
        pytest.param([person(-3, 4, 1), person(0, 1.5, 2)], STOP, id="the nearest of two"),
        pytest.param([person(NAN, NAN, 1, NAN), person(0, 4, 2)], (0.4, 0.0), id="one of two is unknown"),
        pytest.param([person(NAN, NAN, 3, NAN)], STOP, id="unknown position"),
        pytest.param([person(0, 4, 3, NAN)], STOP, id="half unknown position"),
        pytest.param([person(0, 4, -1, state=PersonPose.UNTRACKED)], STOP, id="no ids"),
        pytest.param([person(0, 4, state=PersonPose.LOST)], STOP, id="predicted person"),
        pytest.param([], STOP, id="no people"),
    ],
)
def test_where_it_drives(robot: Any, people: list[PersonPose], moves: tuple[float, float]) -> None:
    robot = robot(lost_s=0.0)
    robot.until([person(9, 9)], lambda speed, turn: turn < 0, "it moves")
    robot.until(people, lambda *now: now == pytest.approx(moves, abs=1e-3), f"it moves by {moves}")


def test_it_keeps_to_one_person_and_stops_while_the_position_is_unknown(
    robot: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    robot = robot(lost_s=60.0)
    robot.until([person(-3, 3, 7)], lambda speed, turn: turn > 0, "it has chosen")
    nearer = person(3, 1, 9)
    robot.until([nearer], lambda *now: now == STOP, "it waits for the chosen person")
    robot.until([nearer, person(-3, 3, 7)], lambda speed, turn: turn > 0, "it goes on")
    robot.until([nearer, person(NAN, NAN, 7, NAN)], lambda *now: now == STOP, "it stops")
    assert "poses: expected position_3d, got NaN" in capfd.readouterr().err


def test_it_never_drives_backwards_on_request(robot: Any) -> None:
    robot = robot(max_back_speed=0.0)
    robot.until([person(0, 4)], lambda speed, turn: speed > 0, "it moves")
    robot.until([person(0, 0.5)], lambda *now: now == STOP, "it stops")
