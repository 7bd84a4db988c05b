#!/usr/bin/env python3
"""Turn a robot towards a person and follow them: an example of a node that uses the poses.

    ros2 run pose_ros follow_person.py --ros-args -r poses:=/pose_estimator/poses -r cmd_vel:=/robot/cmd_vel

The box of the person in the image controls the robot: its centre controls the turn, its height the speed. The robot
keeps to one person by the track id. It never drives backwards, and stops while the person is not visible and while
people have no ids. The example does not avoid obstacles: use another node for that.
"""

from __future__ import annotations

from geometry_msgs.msg import Twist
from pose_ros.msg import PersonPose, PersonPoseArray
from robot_behaviour import RobotBehaviour, Target, limit, run, tracked_people


def box_height(person: PersonPose) -> float:
    """Return the height of a person's box, px."""
    return float(person.box[3] - person.box[1])


class FollowPerson(RobotBehaviour):
    """Follows the person whose box is the largest, probably the nearest."""

    PARAMETERS = RobotBehaviour.PARAMETERS | {
        "wanted_height": (0.6, 0.05, 1.0, "Height of the person at the goal, as a fraction of the image height."),
        "max_speed": (0.4, 0.0, 3.0, "Highest forward speed, m/s."),
        "max_turn": (0.8, 0.0, 3.0, "Highest yaw rate, rad/s."),
        "speed_gain": (1.5, 0.0, 20.0, "Speed per missing fraction of the image height, m/s."),
        "turn_gain": (1.6, 0.0, 20.0, "Yaw rate for a person at the edge of the image, rad/s."),
        "dead_zone": (0.05, 0.0, 0.5, "Smaller errors are ignored, so that the robot does not oscillate."),
        "lost_s": (2.0, 0.0, 60.0, "Time without the followed person after which another one is chosen, s."),
    }

    def __init__(self, **node_options: object) -> None:
        super().__init__("follow_person", **node_options)
        self.target = Target()

    def decide(self, people: list[PersonPose], message: PersonPoseArray, now_s: float) -> Twist:
        """Steer towards the person, or stop."""
        ranked = sorted(tracked_people(people, self), key=box_height, reverse=True)
        person = self.target.update(ranked, now_s, self.value("lost_s"))
        return self._steer(person, message) if person else Twist()

    def _steer(self, person: PersonPose, message: PersonPoseArray) -> Twist:
        offset_left = 1 - float(person.box[0] + person.box[2]) / max(message.image_width, 1)  # 1 at the left edge
        missing_height = self.value("wanted_height") - box_height(person) / max(message.image_height, 1)
        command = Twist()
        if abs(offset_left) > self.value("dead_zone"):
            command.angular.z = limit(self.value("turn_gain") * offset_left, self.value("max_turn"))  # positive = left
        if missing_height > self.value("dead_zone"):
            command.linear.x = min(self.value("max_speed"), self.value("speed_gain") * missing_height)
        return command


if __name__ == "__main__":
    run(FollowPerson)
