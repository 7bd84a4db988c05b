"""Make ``people_msgs/People``, which social layers of Nav2 read. Importing this file needs the package people_msgs.

References:
    people_msgs, https://github.com/wg-perception/people (branch ros2)
"""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point
from people_msgs.msg import People as SocialPeople
from people_msgs.msg import Person
from std_msgs.msg import Header

from pose_ros.people import NOT_TRACKED, People


def social_people(people: People, header: Header) -> SocialPeople:
    """Make the message of the people who have an id and a known position. An unknown velocity is 0.

    Args:
        people: The people.
        header: Header of their image. Its frame is that of ``People.positions_3d``.
    """
    message = SocialPeople(header=header)
    if people.positions_3d is None:
        return message
    velocities = np.zeros_like(people.positions_3d) if people.velocities_3d is None else people.velocities_3d
    is_shown = np.isfinite(people.positions_3d).all(axis=1) & (people.ids > NOT_TRACKED)
    for i in np.flatnonzero(is_shown).tolist():
        velocity = velocities[i].tolist() if np.isfinite(velocities[i]).all() else (0.0, 0.0, 0.0)
        message.people.append(
            Person(
                name=str(people.ids[i]),
                position=_point(people.positions_3d[i].tolist()),
                velocity=_point(velocity),
                reliability=float(people.person_scores[i]),
            )
        )
    return message


def _point(xyz: tuple[float, float, float] | list[float]) -> Point:
    x, y, z = xyz
    return Point(x=x, y=y, z=z)
