#!/usr/bin/env python3
"""Keep a robot at a distance from a person, in metres: an example of a node that uses depth.

    ros2 run pose_ros keep_distance.py --ros-args -r poses:=/pose_estimator/poses -r cmd_vel:=/robot/cmd_vel

The node that finds people needs a depth image and ids. The positions must be in the optical frame of a camera that
looks ahead. The robot keeps to one person by the track id. It stops while the position is unknown. It drives backwards
if the person comes too near, and it does not see what is behind it: ``max_back_speed`` 0 prevents that. The example
does not avoid obstacles: use another node for that.
"""

from __future__ import annotations

import math

import numpy as np
from geometry_msgs.msg import Point32, Twist
from pose_ros.msg import PersonPose, PersonPoseArray
from robot_behaviour import RobotBehaviour, Target, limit, run, tracked_people

from pose_ros.tracking.gestures import distance_m


def floor_distance_m(position: Point32) -> float:
    """Return the distance of a position along the floor, m. NaN = unknown."""
    return distance_m((position.x, 0.0, position.z)) if math.isfinite(position.y) else math.nan


class KeepDistance(RobotBehaviour):
    """Keeps at a distance from the person who is nearest at the start."""

    PARAMETERS = RobotBehaviour.PARAMETERS | {
        "distance": (1.5, 0.3, 10.0, "Wanted distance from the person, m."),
        "max_speed": (0.4, 0.0, 3.0, "Highest forward speed, m/s."),
        "max_back_speed": (0.2, 0.0, 3.0, "Highest backward speed, m/s. 0 = never backwards."),
        "max_turn": (0.8, 0.0, 3.0, "Highest yaw rate, rad/s."),
        "speed_gain": (0.8, 0.0, 20.0, "Speed per metre of error, m/s."),
        "turn_gain": (1.5, 0.0, 20.0, "Yaw rate per radian of error, rad/s."),
        "dead_zone": (0.1, 0.0, 1.0, "Smaller errors are ignored, m and radians."),
        "lost_s": (2.0, 0.0, 60.0, "Time without the person after which another one is chosen, s."),
    }

    def __init__(self, **node_options: object) -> None:
        super().__init__("keep_distance", **node_options)
        self.target = Target()

    def decide(self, people: list[PersonPose], message: PersonPoseArray, now_s: float) -> Twist:
        """Steer to the wanted distance from the person, or stop."""
        tracked = tracked_people(people, self)
        distances = [floor_distance_m(person.position_3d) for person in tracked]
        order = np.argsort(distances, kind="stable")  # unknown distances come last
        person = self.target.update([tracked[i] for i in order], now_s, self.value("lost_s"))
        if person is None:
            return Twist()
        if math.isnan(distance := floor_distance_m(person.position_3d)):
            self.warn("poses: expected position_3d, got NaN; check the depth image of the pose node. The robot stops")
            return Twist()
        return self._steer(distance, math.atan2(-person.position_3d.x, person.position_3d.z))

    def _steer(self, distance: float, angle_left: float) -> Twist:
        command, error = Twist(), distance - self.value("distance")
        if abs(angle_left) > self.value("dead_zone"):
            command.angular.z = limit(self.value("turn_gain") * angle_left, self.value("max_turn"))  # positive = left
        if abs(error) > self.value("dead_zone"):
            highest = self.value("max_speed" if error > 0 else "max_back_speed")
            command.linear.x = limit(self.value("speed_gain") * error, highest)
        return command


if __name__ == "__main__":
    run(KeepDistance)
