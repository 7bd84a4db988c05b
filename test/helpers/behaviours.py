"""Run the robot behaviours of ``examples/`` on a real graph."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from geometry_msgs.msg import Twist
from pose_ros.msg import PersonPose, PersonPoseArray

STOP = (0.0, 0.0)
Box = tuple[float, float, float, float]
_FOLDER = Path(__file__).resolve().parents[2] / "examples"


def example_path(name: str) -> Path:
    """Return the file of an example."""
    return _FOLDER / f"{name}.py"


def load_example(name: str) -> Any:
    """Import an example."""
    if str(_FOLDER) not in sys.path:
        sys.path.append(str(_FOLDER))
    return importlib.import_module(name)


class Robot:
    """A robot that receives commands and publishes the people that its camera sees."""

    def __init__(self, graph: Any, follower: Any = None, names: Iterable[str] = ()) -> None:
        self.graph, self.follower, self.names = graph, follower, list(names)
        self.commands: list[Twist] = graph.collect(Twist, "cmd_vel")
        self.poses = graph.node.create_publisher(PersonPoseArray, "poses", 10)
        graph.until(lambda: self.poses.get_subscription_count() and self.commands, "the behaviour is connected", 60)

    @property
    def moves(self) -> tuple[float, float]:
        """Speed, m/s, and yaw rate, rad/s, of the last command."""
        return (self.commands[-1].linear.x, self.commands[-1].angular.z)

    def see(self, people: Iterable[PersonPose]) -> None:
        """Publish the people of an image."""
        people = list(people)
        self.poses.publish(PersonPoseArray(image_width=320, image_height=240, people=people, keypoint_names=self.names))

    def until(self, people: Iterable[PersonPose], condition: Callable[[float, float], object], what: str) -> None:
        """Publish these people until the robot moves as expected."""
        people = list(people)
        self.graph.until(lambda: self.see(people) or condition(*self.moves), what)
