#!/usr/bin/env python3
"""Turn a robot towards a person and follow them: an example of a node that uses the poses.

    ros2 run pose_ros follow_person.py --ros-args -r poses:=/pose_estimator/poses -r cmd_vel:=/robot/cmd_vel

The box of the person in the image controls the robot: its centre controls the turn, its height the speed. The robot
never drives backwards, and stops while no person is visible. The example does not avoid obstacles: use another node
for that.
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
PARAMETERS = {  # default, low, high, description
    "wanted_height": (0.6, 0.05, 1.0, "Height of the person at the goal, as a fraction of the image height."),
    "max_speed": (0.4, 0.0, 3.0, "Highest forward speed, m/s."),
    "max_turn": (0.8, 0.0, 3.0, "Highest yaw rate, rad/s."),
    "speed_gain": (1.5, 0.0, 20.0, "Speed per missing fraction of the image height, m/s."),
    "turn_gain": (1.6, 0.0, 20.0, "Yaw rate for a person at the edge of the image, rad/s."),
    "dead_zone": (0.05, 0.0, 0.5, "Smaller errors are ignored, so that the robot does not oscillate."),
    "min_score": (0.2, 0.0, 1.0, "Lowest score of a person to follow."),
    "min_overlap": (
        0.2,
        0.01,
        1.0,
        "Without track ids: lowest box overlap (IoU) with the same person in the next image.",
    ),
    "lost_s": (2.0, 0.0, 60.0, "Time without the followed person after which another one is chosen, s."),
    "stale_s": (0.5, 0.05, 10.0, "Time without poses after which the robot stops, s."),
}


def box_height(person: PersonPose) -> float:
    """Return the height of a person's box, px."""
    return float(person.box[3] - person.box[1])


def box_overlap(a: PersonPose, b: PersonPose) -> float:
    """Return the intersection over union of the boxes of two people, 0 to 1."""
    return float(box_iou([a.box], [b.box])[0, 0])


@dataclass
class Target:
    """The person to follow.

    Attributes:
        person: The person as last seen. None before one is chosen.
        seen_s: Time when the person was last seen, s.
    """

    person: PersonPose | None = None
    seen_s: float = 0.0

    def update(self, people: list[PersonPose], now_s: float, min_overlap: float, lost_s: float) -> PersonPose | None:
        """Find the person to follow. Return None if not visible. After ``lost_s`` choose another person."""
        if self.person is None or now_s - self.seen_s > lost_s:
            found = max(people, key=box_height, default=None)  # the largest box is probably the nearest person
        elif self.person.id >= 0:
            found = next((person for person in people if person.id == self.person.id), None)
        else:
            found = max(people, key=lambda person: box_overlap(person, self.person), default=None)
            found = found if found and box_overlap(found, self.person) >= min_overlap else None
        if found is not None:
            self.person, self.seen_s = found, now_s
        return found


class FollowPerson(Node):
    """Subscribes to ``poses`` and publishes ``cmd_vel`` at a constant rate."""

    def __init__(self, **node_options: object) -> None:
        super().__init__("follow_person", **node_options)
        for name, (default, low, high, text) in PARAMETERS.items():
            bounds = FloatingPointRange(from_value=low, to_value=high)
            self.declare_parameter(name, default, ParameterDescriptor(description=text, floating_point_range=[bounds]))
        self.target = Target()
        self._command, self._poses_s = Twist(), 0.0
        self._commands = self.create_publisher(Twist, "cmd_vel", 1)
        self.create_subscription(PersonPoseArray, "poses", self._on_poses, 1)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # stops the robot even if simulated time stands still
        self.create_timer(PERIOD_S, self._publish, clock=steady)

    def stop(self) -> None:
        """Send a stop command, and wait until it is received."""
        self._commands.publish(Twist())
        self._commands.wait_for_all_acked(Duration(seconds=0.5))

    def _value(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    def _on_poses(self, message: PersonPoseArray) -> None:
        self._poses_s = time.monotonic()
        people = [person for person in message.people if person.score >= self._value("min_score")]
        person = self.target.update(people, self._poses_s, self._value("min_overlap"), self._value("lost_s"))
        self._command = self._steer(person, message) if person else Twist()

    def _steer(self, person: PersonPose, message: PersonPoseArray) -> Twist:
        offset_left = 1 - float(person.box[0] + person.box[2]) / max(message.image_width, 1)  # 1 at the left edge
        missing_height = self._value("wanted_height") - box_height(person) / max(message.image_height, 1)
        command = Twist()
        if abs(offset_left) > self._value("dead_zone"):
            turn, max_turn = self._value("turn_gain") * offset_left, self._value("max_turn")
            command.angular.z = max(-max_turn, min(max_turn, turn))  # positive = left
        if missing_height > self._value("dead_zone"):
            command.linear.x = min(self._value("max_speed"), self._value("speed_gain") * missing_height)
        return command

    def _publish(self) -> None:
        is_stale = time.monotonic() - self._poses_s > self._value("stale_s")
        self._commands.publish(Twist() if is_stale else self._command)


def main() -> None:
    """Run the node until SIGINT or SIGTERM, then stop the robot."""
    signals: list[int] = []

    def stop(number: int, frame: object) -> None:
        signals.append(number)
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)  # further signals must not prevent the stop command

    for number in SIGNALS:
        signal.signal(number, stop)
    rclpy.init(
        signal_handler_options=SignalHandlerOptions.NO
    )  # otherwise rclpy shuts down before the stop command is sent
    node = FollowPerson()
    while not signals:
        rclpy.spin_once(node, timeout_sec=PERIOD_S)
    node.stop()
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
