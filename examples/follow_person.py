#!/usr/bin/env python3
"""Turns a robot towards a person and drives up to them: a node that uses the poses.

    ros2 run pose_ros follow_person.py --ros-args -r poses:=/pose_estimator/poses -r cmd_vel:=/robot/cmd_vel

It steers by the person's box in the image: by its centre to the side, by its height forwards. It never drives back,
and stands still while it sees nobody. It has no eyes for obstacles: something else must.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass

import rclpy
from geometry_msgs.msg import Twist
from pose_ros.msg import PersonPose, PersonPoseArray
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from pose_ros.similarity import box_iou

PERIOD_S = 0.05
SIGNALS = (signal.SIGINT, signal.SIGTERM)
PARAMETERS = {  # default, low, high, what it is
    "wanted_height": (0.6, 0.05, 1.0, "Height of the person to drive up to, as a share of the image's."),
    "max_speed": (0.4, 0.0, 3.0, "Highest speed forwards, m/s."),
    "max_turn": (0.8, 0.0, 3.0, "Highest yaw rate, rad/s."),
    "speed_gain": (1.5, 0.0, 20.0, "Speed per missing share of the image's height, m/s."),
    "turn_gain": (1.6, 0.0, 20.0, "Yaw rate for a person at the edge of the image, rad/s."),
    "dead_zone": (0.05, 0.0, 0.5, "Errors as small as this are none: the robot does not fidget."),
    "min_score": (0.2, 0.0, 1.0, "Lowest score of a person to follow."),
    "min_overlap": (0.2, 0.01, 1.0, "Without track ids: share of the joint area that says it is the same person."),
    "lost_s": (2.0, 0.0, 60.0, "Another person is chosen when the one to follow has been out of sight for so long."),
    "stale_s": (0.5, 0.05, 10.0, "The robot stops when no poses have come for so long."),
}


def height(person: PersonPose) -> float:
    """Of the person's box, px."""
    return float(person.box[3] - person.box[1])


def overlap(a: PersonPose, b: PersonPose) -> float:
    """Intersection over union of two people's boxes, 0 to 1."""
    return float(box_iou([a.box], [b.box])[0, 0])


@dataclass
class Target:
    """The person to follow.

    Attributes:
        person: As last seen; None before there is one.
        seen_s: When that was.
    """

    person: PersonPose | None = None
    seen_s: float = 0.0

    def update(self, people: list[PersonPose], now_s: float, min_overlap: float, lost_s: float) -> PersonPose | None:
        """The one to follow among these people, None if they are out of sight; somebody new if they are for long."""
        if self.person is None or now_s - self.seen_s > lost_s:
            found = max(people, key=height, default=None)  # the nearest, as far as an image tells
        elif self.person.id >= 0:
            found = next((person for person in people if person.id == self.person.id), None)
        else:
            found = max(people, key=lambda person: overlap(person, self.person), default=None)
            found = found if found and overlap(found, self.person) >= min_overlap else None
        if found is not None:
            self.person, self.seen_s = found, now_s
        return found


class FollowPerson(Node):
    """Subscribes to ``poses``, publishes ``cmd_vel`` at a steady rate."""

    def __init__(self, **node_options: object) -> None:
        super().__init__("follow_person", **node_options)
        for name, (default, low, high, text) in PARAMETERS.items():
            bounds = FloatingPointRange(from_value=low, to_value=high)
            self.declare_parameter(name, default, ParameterDescriptor(description=text, floating_point_range=[bounds]))
        self.target = Target()
        self._command, self._heard_s = Twist(), 0.0
        self._commands = self.create_publisher(Twist, "cmd_vel", 1)
        self.create_subscription(PersonPoseArray, "poses", self._on_poses, 1)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # it must stop the robot where simulated time has stopped, too
        self.create_timer(PERIOD_S, self._publish, clock=steady)

    def stop(self) -> None:
        """Tell the robot to stand still, and wait until it knows."""
        self._commands.publish(Twist())
        self._commands.wait_for_all_acked(Duration(seconds=0.5))

    def _value(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    def _on_poses(self, message: PersonPoseArray) -> None:
        self._heard_s = time.monotonic()
        people = [person for person in message.people if person.score >= self._value("min_score")]
        person = self.target.update(people, self._heard_s, self._value("min_overlap"), self._value("lost_s"))
        self._command = self._steer(person, message) if person else Twist()

    def _steer(self, person: PersonPose, message: PersonPoseArray) -> Twist:
        to_the_left = 1 - float(person.box[0] + person.box[2]) / max(message.image_width, 1)  # 1 at the left edge
        too_small = self._value("wanted_height") - height(person) / max(message.image_height, 1)
        command = Twist()
        if abs(to_the_left) > self._value("dead_zone"):
            turn, most = self._value("turn_gain") * to_the_left, self._value("max_turn")
            command.angular.z = max(-most, min(most, turn))  # positive is to the left
        if too_small > self._value("dead_zone"):
            command.linear.x = min(self._value("max_speed"), self._value("speed_gain") * too_small)
        return command

    def _publish(self) -> None:
        is_stale = time.monotonic() - self._heard_s > self._value("stale_s")
        self._commands.publish(Twist() if is_stale else self._command)


def main() -> None:
    """Follow until a signal comes, and stop the robot then."""
    signals: list[int] = []

    def stop(number: int, frame: object) -> None:
        signals.append(number)
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)  # one is enough, and nothing must keep the robot from hearing of it

    for number in SIGNALS:
        signal.signal(number, stop)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # else there is no telling the robot any more
    node = FollowPerson()
    while not signals:
        rclpy.spin_once(node, timeout_sec=PERIOD_S)
    node.stop()
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
