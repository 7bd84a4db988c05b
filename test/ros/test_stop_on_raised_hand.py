"""Tests of the example ``stop_on_raised_hand.py`` on a real graph."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from behaviours import STOP, Robot, example_path, load_example
from geometry_msgs.msg import Twist
from pose_ros.msg import Keypoint, PersonPose
from rclpy.parameter import Parameter

from pose_ros.skeleton import COCO_17

MOVE = (0.3, -0.2)
QUICK = {"raised_s": 0.0, "resume_s": 0.1}


def person(is_raised: bool, score: float = 0.9, keypoint_score: float = 0.8) -> PersonPose:
    xy = COCO_17.standing * 200 + (100, 30)
    if is_raised:
        xy[COCO_17.index("right_wrist")] = (80, 10)
    keypoints = [Keypoint(x=float(x), y=float(y), score=keypoint_score) for x, y in xy]
    return PersonPose(score=score, keypoints=keypoints)


LOWERED, RAISED = person(False), person(True)
ABSENT = PersonPose(score=0.9, keypoints=[Keypoint(x=math.nan, y=math.nan)] * 17)


class Navigated(Robot):
    """A robot with another node that lets it drive."""

    def __init__(self, graph: Any, follower: Any = None) -> None:
        super().__init__(graph, follower, COCO_17.keypoint_names)
        self.navigation = graph.node.create_publisher(Twist, "cmd_vel_in", 1)
        graph.until(self.navigation.get_subscription_count, "the navigation is connected")

    def see(self, people: Any) -> None:
        command = Twist()
        command.linear.x, command.angular.z = MOVE
        self.navigation.publish(command)
        super().see(people)


@pytest.fixture
def robot(graph: Any) -> Callable[..., Robot]:
    """Return ``robot(resume_s=0.1)``, which makes a robot that stops for raised hands."""

    def robot(**parameters: float) -> Robot:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        make = load_example("stop_on_raised_hand").StopOnRaisedHand
        return Navigated(graph, graph.add(make(context=graph.context, parameter_overrides=overrides)))

    return robot


def moves_on(*now: float) -> bool:
    return now == pytest.approx(MOVE)


def stands(*now: float) -> bool:
    return now == STOP


@pytest.mark.parametrize(
    "people",
    [[], [LOWERED], [ABSENT], [PersonPose(score=0.9)], [person(True, score=0.1)], [person(True, keypoint_score=0.05)]],
    ids=["nobody", "lowered hands", "no keypoints", "an empty person", "low score", "low score of the hand"],
)
def test_it_moves_while_no_hand_is_raised(robot: Any, people: list[PersonPose]) -> None:
    robot = robot(**QUICK)
    assert robot.moves == STOP
    robot.until(people, moves_on, "it moves")


def test_it_stops_for_a_raised_hand_and_goes_on(robot: Any) -> None:
    robot = robot(**QUICK)
    robot.until([LOWERED], moves_on, "it moves")
    robot.until([LOWERED, RAISED, ABSENT], stands, "it stops")
    robot.until([LOWERED], moves_on, "it goes on")


def test_it_stays_for_a_while_after_the_hand_is_lowered(robot: Any) -> None:
    robot = robot(raised_s=0.0, resume_s=0.1)
    robot.until([LOWERED], moves_on, "it moves")
    robot.follower.set_parameters([Parameter("resume_s", value=60.0)])
    robot.until([RAISED], stands, "it stops")
    enough = len(robot.commands) + 15
    robot.until([LOWERED], lambda *_: len(robot.commands) > enough, "it has seen the lowered hand")
    assert robot.moves == STOP


def test_it_stops_when_no_poses_or_no_commands_come(graph: Any, robot: Any) -> None:
    robot = robot(stale_s=0.3, command_stale_s=10.0, **QUICK)
    robot.until([LOWERED], moves_on, "it moves")
    graph.until(lambda: robot.moves == STOP, "it stops without poses")
    robot.follower.set_parameters([Parameter("command_stale_s", value=0.3)])
    robot.until([LOWERED], moves_on, "it moves again")
    graph.until(lambda: Robot.see(robot, [LOWERED]) or robot.moves == STOP, "it stops without commands")


@pytest.mark.parametrize("name", ["stop_on_raised_hand", "keep_distance"])
def test_the_program_starts_and_stops(graph: Any, name: str) -> None:
    with subprocess.Popen([sys.executable, str(example_path(name))], stderr=subprocess.PIPE, text=True) as child:
        try:
            robot = Robot(graph, names=COCO_17.keypoint_names)
            robot.until([LOWERED], stands, "it sends commands")
            child.send_signal(signal.SIGTERM)
            graph.until(lambda: child.poll() is not None, "it has exited")
        finally:
            child.kill()
        assert child.returncode == 0 and child.stderr and "Traceback" not in child.stderr.read()
