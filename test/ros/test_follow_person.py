"""Tests of the example ``follow_person.py`` on a real graph."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from behaviours import STOP, Box, Robot, example_path, load_example
from pose_ros.msg import PersonPose
from rclpy.parameter import Parameter

LEFT, MIDDLE, RIGHT = (0.0, 40.0, 40.0, 120.0), (140.0, 40.0, 180.0, 120.0), (280.0, 40.0, 320.0, 120.0)
NEAR = (120.0, 0.0, 200.0, 230.0)


def person(box: Box, track_id: int = 3, score: float = 0.9, state: int = PersonPose.TRACKED) -> PersonPose:
    return PersonPose(id=track_id, score=score, box=box, state=state)


@pytest.fixture(scope="module")
def module() -> Any:
    return load_example("follow_person")


@pytest.fixture
def robot(graph: Any, module: Any) -> Callable[..., Robot]:
    """Return ``robot(lost_s=0.1)``, which makes a robot and its follower node."""

    def robot(**parameters: float) -> Robot:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        return Robot(graph, graph.add(module.FollowPerson(context=graph.context, parameter_overrides=overrides)))

    return robot


@pytest.mark.parametrize(
    ("people", "moves"),
    [
        pytest.param([person(MIDDLE)], (0.4, 0.0), id="far away: forwards, limited speed"),
        pytest.param([person(LEFT)], (0.4, 0.8), id="to the left: turn left"),
        pytest.param([person(RIGHT)], (0.4, -0.8), id="to the right: turn right"),
        pytest.param([person((184.0, 40.0, 200.0, 120.0))], (0.4, -0.32), id="a little to the right"),
        pytest.param([person((150.0, 40.0, 182.0, 120.0))], (0.4, 0.0), id="nearly in the middle"),
        pytest.param([person((150.0, 40.0, 170.0, 148.0))], (0.225, 0.0), id="nearly there: slower"),
        pytest.param([person(NEAR)], STOP, id="at the goal: never backwards"),
        pytest.param([person(LEFT), person(NEAR)], STOP, id="the nearest of two"),
        pytest.param([person(LEFT, score=0.1)], STOP, id="low score"),
        pytest.param([person(LEFT, -1, state=PersonPose.UNTRACKED)], STOP, id="no ids"),
        pytest.param([person(LEFT, -1, state=PersonPose.NEW)], STOP, id="new person"),
        pytest.param([person(LEFT, state=PersonPose.LOST)], STOP, id="predicted person"),
        pytest.param([], STOP, id="no people"),
    ],
)
def test_where_it_drives(robot: Any, people: list[PersonPose], moves: tuple[float, float]) -> None:
    robot = robot(lost_s=0.0)  # every image selects the person again
    robot.until([person(RIGHT)], lambda speed, turn: turn < 0, "it moves")
    robot.until(people, lambda *now: now == pytest.approx(moves, abs=1e-6), f"it moves by {moves}")


def test_it_stops_when_no_poses_come(graph: Any, robot: Any) -> None:
    robot = robot(stale_s=0.3)
    robot.until([person(MIDDLE)], lambda speed, turn: speed > 0, "it moves")
    graph.until(lambda: robot.moves == STOP, "it stops")


def test_it_keeps_following_the_chosen_person(robot: Any) -> None:
    robot = robot(lost_s=60.0)
    chosen, other = person(LEFT, 7), person(NEAR, 9)
    robot.until([chosen], lambda speed, turn: turn > 0, "it has chosen")
    enough = len(robot.commands) + 10
    robot.until([other, chosen], lambda *_: len(robot.commands) > enough, "it has processed the images")
    assert robot.moves[1] > 0
    robot.until([other], lambda *now: now == STOP, "it waits for the chosen person")
    robot.until([other, chosen], lambda speed, turn: turn > 0, "it follows the chosen person again")


def test_it_chooses_another_person_after_lost_s(robot: Any) -> None:
    robot = robot(lost_s=0.5)
    robot.until([person(LEFT, 7)], lambda speed, turn: turn > 0, "it has chosen")
    robot.until([person(RIGHT, 9)], lambda *now: now == STOP, "it waits")
    robot.until([person(RIGHT, 9)], lambda speed, turn: turn < 0, "it follows another")


def test_without_ids_it_says_why_it_stands_still(robot: Any, capfd: pytest.CaptureFixture[str]) -> None:
    robot, untracked = robot(), person(LEFT, -1, state=PersonPose.UNTRACKED)
    output: list[str] = []
    robot.until([untracked], lambda *_: output.append(capfd.readouterr().err) or "ids" in "".join(output), "it warns")
    assert "poses: expected people with ids, got none; set tracking.enabled" in "".join(output)
    assert robot.moves == STOP


def test_parameters_have_ranges_and_take_effect_at_once(robot: Any, module: Any) -> None:
    robot = robot()
    descriptors = [robot.follower.describe_parameter(name) for name in module.FollowPerson.PARAMETERS]
    assert all(each.description and each.floating_point_range for each in descriptors)
    (rejected,) = robot.follower.set_parameters([Parameter("max_speed", value=9.0)])
    assert not rejected.successful and "range" in rejected.reason
    (accepted,) = robot.follower.set_parameters([Parameter("max_speed", value=0.1)])
    assert accepted.successful
    robot.until([person(MIDDLE)], lambda speed, turn: speed == pytest.approx(0.1), "it is slower")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_repeated", [False, True], ids=["once", "repeatedly"])
def test_the_robot_is_stopped_by_a_signal(graph: Any, number: signal.Signals, is_repeated: bool) -> None:
    command = [sys.executable, str(example_path("follow_person"))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        try:
            robot = Robot(graph)
            robot.until([person(LEFT)], lambda speed, turn: speed > 0, "it moves")
            child.send_signal(number)
            graph.until(
                lambda: child.poll() is not None or (is_repeated and child.send_signal(number)), "it has exited"
            )
            graph.until(lambda: robot.moves == STOP, "it stops")
        finally:
            child.kill()
        assert child.returncode == 0 and child.stderr and not child.stderr.read()
