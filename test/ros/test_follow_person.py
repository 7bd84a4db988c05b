"""Tests of the example ``follow_person.py`` on a real graph."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import Twist
from pose_ros.msg import PersonPose, PersonPoseArray
from rclpy.parameter import Parameter

FILE = Path(__file__).resolve().parents[2] / "examples/follow_person.py"
STOP = (0.0, 0.0)
Box = tuple[float, float, float, float]
LEFT, MIDDLE, RIGHT = (0.0, 40.0, 40.0, 120.0), (140.0, 40.0, 180.0, 120.0), (280.0, 40.0, 320.0, 120.0)
NEAR = (120.0, 0.0, 200.0, 230.0)


@pytest.fixture(scope="module")
def module() -> Any:
    spec = importlib.util.spec_from_file_location("follow_person", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up there
    spec.loader.exec_module(module)
    return module


def person(box: Box, track_id: int = -1, score: float = 0.9) -> PersonPose:
    return PersonPose(id=track_id, score=score, box=box)


class Robot:
    """A robot that receives commands and publishes the people that its camera sees."""

    def __init__(self, graph: Any, follower: Any = None) -> None:
        self.graph, self.follower = graph, follower
        self.commands: list[Twist] = graph.collect(Twist, "cmd_vel")
        self.poses = graph.node.create_publisher(PersonPoseArray, "poses", 10)
        graph.until(lambda: self.poses.get_subscription_count() and self.commands, "the follower is connected", 60)

    @property
    def moves(self) -> tuple[float, float]:
        """Speed, m/s, and yaw rate, rad/s, of the last command."""
        return (self.commands[-1].linear.x, self.commands[-1].angular.z)

    def see(self, people: Iterable[PersonPose]) -> None:
        self.poses.publish(PersonPoseArray(image_width=320, image_height=240, people=list(people)))

    def until(self, people: Iterable[PersonPose], condition: Callable[[float, float], object], what: str) -> None:
        """Publish these people until the robot moves as expected."""
        people = list(people)
        self.graph.until(lambda: self.see(people) or condition(*self.moves), what)


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


@pytest.mark.parametrize("ids", [(7, 9), (-1, -1)], ids=["by track", "by overlap"])
def test_it_keeps_following_the_chosen_person(graph: Any, robot: Any, ids: tuple[int, int]) -> None:
    robot = robot(lost_s=60.0)
    chosen, other = person(LEFT, ids[0]), person(NEAR, ids[1])
    robot.until([chosen], lambda speed, turn: turn > 0, "it has chosen")
    enough = len(robot.commands) + 10
    robot.until([other, chosen], lambda *_: len(robot.commands) > enough, "it has processed the images")
    assert robot.moves[1] > 0
    robot.until([other], lambda *now: now == STOP, "it waits for the chosen person")
    robot.until([other, chosen], lambda speed, turn: turn > 0, "it follows the chosen person again")


@pytest.mark.parametrize("ids", [(7, 9), (-1, -1)], ids=["by track", "by overlap"])
def test_it_chooses_another_person_after_lost_s(robot: Any, ids: tuple[int, int]) -> None:
    robot = robot(lost_s=0.5)
    robot.until([person(LEFT, ids[0])], lambda speed, turn: turn > 0, "it has chosen")
    robot.until([person(RIGHT, ids[1])], lambda *now: now == STOP, "it waits")
    robot.until([person(RIGHT, ids[1])], lambda speed, turn: turn < 0, "it follows another")


def test_parameters_have_ranges_and_take_effect_at_once(robot: Any, module: Any) -> None:
    robot = robot()
    descriptors = [robot.follower.describe_parameter(name) for name in module.PARAMETERS]
    assert all(each.description and each.floating_point_range for each in descriptors)
    (rejected,) = robot.follower.set_parameters([Parameter("max_speed", value=9.0)])
    assert not rejected.successful and "range" in rejected.reason
    (accepted,) = robot.follower.set_parameters([Parameter("max_speed", value=0.1)])
    assert accepted.successful
    robot.until([person(MIDDLE)], lambda speed, turn: speed == pytest.approx(0.1), "it is slower")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_repeated", [False, True], ids=["once", "repeatedly"])
def test_the_robot_is_stopped_by_a_signal(graph: Any, number: signal.Signals, is_repeated: bool) -> None:
    with subprocess.Popen([sys.executable, str(FILE)], stderr=subprocess.PIPE, text=True) as child:
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
