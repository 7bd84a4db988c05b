#!/usr/bin/env python3
"""Stop a robot while a person raises a hand: an example of a node that uses gestures.

    ros2 run pose_ros stop_on_raised_hand.py --ros-args -r poses:=/pose_estimator/poses \
        -r cmd_vel_in:=/navigation/cmd_vel -r cmd_vel:=/robot/cmd_vel

The node passes the commands of another node on to the robot. It sends stop commands instead while a hand is raised,
and while no poses or no commands come. It is no safety device: people may be overlooked.
"""

from __future__ import annotations

import time

from geometry_msgs.msg import Twist
from pose_ros.msg import PersonPose, PersonPoseArray
from robot_behaviour import RobotBehaviour, run

from pose_ros.tracking.gesture_memory import Hold
from pose_ros.tracking.gestures import has_raised_hand
from pose_ros.tracking.named_points import MIN_SCORE, name_points


class StopOnRaisedHand(RobotBehaviour):
    """Passes commands on, unless somebody raises a hand."""

    PARAMETERS = RobotBehaviour.PARAMETERS | {
        "min_keypoint_score": (MIN_SCORE, 0.0, 1.0, "Lowest score of a keypoint."),
        "raised_s": (0.2, 0.0, 5.0, "Time for which a hand must be raised, s."),
        "resume_s": (2.0, 0.0, 60.0, "Time without a raised hand after which the robot goes on, s."),
        "command_stale_s": (0.5, 0.05, 10.0, "Time without commands after which the robot stops, s."),
    }

    def __init__(self, **node_options: object) -> None:
        super().__init__("stop_on_raised_hand", **node_options)
        self._raised = Hold(self.value("raised_s"), self.value("resume_s"))
        self._is_stopped = True
        self._wanted, self._wanted_s = Twist(), 0.0
        self.create_subscription(Twist, "cmd_vel_in", self._on_command, 1)

    def decide(self, people: list[PersonPose], message: PersonPoseArray, now_s: float) -> Twist:
        """Decide whether the robot may move, and return the newest command or a stop command."""
        answers = [self._asks_to_stop(person, message.keypoint_names) for person in people]
        self._raised.on_s, self._raised.off_s = self.value("raised_s"), self.value("resume_s")
        is_stopped = self._raised.update(True in answers, now_s) is not False
        if is_stopped != self._is_stopped:
            self.get_logger().info("a hand is raised: the robot stops" if is_stopped else "the robot may move")
        self._is_stopped = is_stopped
        return self._allowed_command()

    def _asks_to_stop(self, person: PersonPose, names: list[str]) -> bool | None:
        keypoints = person.keypoints
        if len(keypoints) != len(names):
            return None
        xy, scores = [(each.x, each.y) for each in keypoints], [each.score for each in keypoints]
        return has_raised_hand(name_points(names, xy, scores, self.value("min_keypoint_score"))) if xy else None

    def _on_command(self, command: Twist) -> None:
        self._wanted, self._wanted_s = command, time.monotonic()
        self._command = self._allowed_command()

    def _allowed_command(self) -> Twist:
        return Twist() if self._is_stopped else self._wanted

    def _publish(self) -> None:
        if time.monotonic() - self._wanted_s > self.value("command_stale_s"):
            self._command = Twist()
        super()._publish()


if __name__ == "__main__":
    run(StopOnRaisedHand)
