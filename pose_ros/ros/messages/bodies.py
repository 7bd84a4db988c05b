"""Make the messages of one body of REP-155 (ROS4HRI). Importing this file needs the package hri_msgs.

References:
    REP-155, https://ros.org/reps/rep-0155.html
    hri_msgs 2 (branch humble-devel), https://github.com/ros4hri/hri_msgs
"""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import PointStamped, TwistStamped
from hri_msgs.msg import IdsList, NormalizedPointOfInterest2D, NormalizedRegionOfInterest2D, Skeleton2D
from std_msgs.msg import Header

from pose_ros.arrays import AnyArray


def ids_list(names: list[str], header: Header) -> IdsList:
    """Make the list of bodies of one image."""
    return IdsList(header=header, ids=names)


def region(box: AnyArray, score: float, header: Header) -> NormalizedRegionOfInterest2D:
    """Make the region of a body.

    Args:
        box: A box of ``normalise_boxes``, (4,).
        score: Confidence of the person.
        header: Header of the image.
    """
    x_min, y_min, x_max, y_max = box.tolist()
    return NormalizedRegionOfInterest2D(header=header, xmin=x_min, ymin=y_min, xmax=x_max, ymax=y_max, c=score)


def skeleton_2d(keypoints: AnyArray, header: Header) -> Skeleton2D:
    """Make the keypoints of a body. An absent keypoint has confidence 0 at (0, 0).

    Args:
        keypoints: Keypoints of ``normalise_keypoints``, (18, 3).
        header: Header of the image.
    """
    points = [NormalizedPointOfInterest2D(x=x, y=y, c=score) for x, y, score in keypoints.tolist()]
    return Skeleton2D(header=header, skeleton=points)


def position(xyz: AnyArray, header: Header) -> PointStamped:
    """Make the position of a body, (3,), m, in the frame of the header."""
    return _with_xyz(PointStamped(header=header), "point", xyz)


def velocity(xyz: AnyArray, header: Header) -> TwistStamped:
    """Make the velocity of a body, (3,), m/s, in the frame of the header. A rotation is unknown, and 0."""
    message = TwistStamped(header=header)
    _with_xyz(message.twist, "linear", xyz)
    return message


def _with_xyz(message: Any, name: str, xyz: AnyArray) -> Any:
    field = getattr(message, name)
    field.x, field.y, field.z = (float(value) for value in xyz)
    return message
