"""Base of the examples: a node that turns the people of a camera into commands for a robot.

A behaviour lists its parameters and says what to do for the people of an image. The base sends the command at a
constant rate. It stops the robot if no poses come, and when the program ends.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import rclpy
from geometry_msgs.msg import Twist
from pose_ros.msg import PersonPose, PersonPoseArray
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

PERIOD_S = 0.05
WARNING_PERIOD_S = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
Parameters = Mapping[str, tuple[float, float, float, str]]
"""Default, lowest and highest value, and description of each parameter."""


class RobotBehaviour(Node):
    """Subscribes to ``poses`` and publishes ``cmd_vel`` at a constant rate.

    Attributes:
        PARAMETERS: Parameters of the behaviour. All have a range.
    """

    PARAMETERS: ClassVar[Parameters] = {
        "stale_s": (0.5, 0.05, 10.0, "Time without poses after which the robot stops, s."),
        "min_score": (0.2, 0.0, 1.0, "Lowest score of a person."),
    }

    def __init__(self, name: str, **node_options: object) -> None:
        super().__init__(name, **node_options)
        for parameter, (default, low, high, text) in self.PARAMETERS.items():
            bounds = FloatingPointRange(from_value=low, to_value=high)
            descriptor = ParameterDescriptor(description=text, floating_point_range=[bounds])
            self.declare_parameter(parameter, default, descriptor)
        self._command, self._poses_s = Twist(), 0.0
        self._commands = self.create_publisher(Twist, "cmd_vel", 1)
        self.create_subscription(PersonPoseArray, "poses", self._on_poses, 1)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # stops the robot even if simulated time stands still
        self.create_timer(PERIOD_S, self._publish, clock=steady)

    def decide(self, people: list[PersonPose], message: PersonPoseArray, now_s: float) -> Twist:
        """Return the command for an image. The behaviour overrides it.

        Args:
            people: People with a score of ``min_score`` or more.
            message: Message of the image.
            now_s: Monotonic time, s.
        """
        raise NotImplementedError

    def value(self, name: str) -> float:
        """Return the value of a parameter."""
        return float(self.get_parameter(name).value)

    def warn(self, text: str) -> None:
        """Log a warning, at most once per ``WARNING_PERIOD_S``."""
        self.get_logger().warning(text, throttle_duration_sec=WARNING_PERIOD_S)

    def stop(self) -> None:
        """Send a stop command, and wait until it is received."""
        self._commands.publish(Twist())
        self._commands.wait_for_all_acked(Duration(seconds=0.5))

    def _on_poses(self, message: PersonPoseArray) -> None:
        self._poses_s = time.monotonic()
        people = [person for person in message.people if person.score >= self.value("min_score")]
        self._command = self.decide(people, message, self._poses_s)

    def _publish(self) -> None:
        is_stale = time.monotonic() - self._poses_s > self.value("stale_s")
        self._commands.publish(Twist() if is_stale else self._command)


@dataclass
class Target:
    """The person to follow, by track id.

    Attributes:
        id: Id of the person. -1 before one is chosen.
        seen_s: Time when the person was last seen, s.
    """

    id: int = -1
    seen_s: float = 0.0

    def update(self, ranked: Iterable[PersonPose], now_s: float, lost_s: float) -> PersonPose | None:
        """Find the person to follow. Return None if not visible. After ``lost_s`` choose another person.

        Args:
            ranked: People with ids, the best to choose first.
            now_s: Time, s.
            lost_s: Time without the person after which another one is chosen, s.
        """
        people = list(ranked)
        if self.id < 0 or now_s - self.seen_s > lost_s:
            found = people[0] if people else None
        else:
            found = next((person for person in people if person.id == self.id), None)
        if found is not None:
            self.id, self.seen_s = found.id, now_s
        return found


def tracked_people(people: list[PersonPose], node: RobotBehaviour) -> list[PersonPose]:
    """Return the people who are seen and have an id. Warn if the node that finds people gives no ids at all."""
    if any(person.state == PersonPose.UNTRACKED for person in people):
        node.warn("poses: expected people with ids, got none; set tracking.enabled of the pose node. The robot stops")
    return [person for person in people if person.id >= 0 and person.state == PersonPose.TRACKED]


def limit(value: float, highest: float) -> float:
    """Limit a value to [-highest, highest]."""
    return max(-highest, min(highest, value))


def run(make_node: type[RobotBehaviour]) -> None:
    """Run a behaviour until SIGINT or SIGTERM, then stop the robot."""
    signals: list[int] = []

    def stop(number: int, frame: object) -> None:
        signals.append(number)
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)  # further signals must not prevent the stop command

    for number in SIGNALS:
        signal.signal(number, stop)
    # otherwise rclpy shuts down before the stop command is sent
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = make_node()
    while not signals:
        rclpy.spin_once(node, timeout_sec=PERIOD_S)
    node.stop()
    node.destroy_node()
    rclpy.shutdown()
