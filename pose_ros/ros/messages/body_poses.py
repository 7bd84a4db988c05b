"""Make poses and transforms of bodies: ``geometry_msgs/PoseArray``, and the frames of REP-155 for tf2."""

from __future__ import annotations

import cv2
import numpy as np
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion, TransformStamped
from std_msgs.msg import Header

from pose_ros.arrays import DoubleArray
from pose_ros.depth.body_frames import find_body_frames, link_positions, positions_of
from pose_ros.people import People
from pose_ros.ros.messages.standard import body_name, find_bodies
from pose_ros.skeleton import Skeleton


def pose_array(people: People, skeleton: Skeleton, header: Header) -> PoseArray:
    """Make one pose for each person of known position. The x axis points forwards, out of the body.

    Args:
        people: The people.
        skeleton: Skeleton of the people.
        header: Header of their image. Its frame is that of ``People.positions_3d``.
    """
    positions, rotations = positions_of(people), find_body_frames(people, skeleton).rotations
    is_known = np.isfinite(positions).all(axis=1)
    poses = [
        Pose(position=Point(x=x, y=y, z=z), orientation=_quaternion(rotation))
        for (x, y, z), rotation in zip(positions[is_known].tolist(), rotations[is_known], strict=True)
    ]
    return PoseArray(header=header, poses=poses)


def body_transforms(people: People, skeleton: Skeleton, header: Header, camera: str = "") -> list[TransformStamped]:
    """Make the frame ``body_<name>`` of each person with an id, and a frame ``<link>_<name>`` for each known link.

    The parent of a link is its body, and both have the same orientation. Unknown frames are left out.

    Args:
        people: The people.
        skeleton: Skeleton of the people.
        header: Header of their image. Its frame is the parent of the bodies.
        camera: Name of the camera, see ``body_name``.
    """
    bodies = people[find_bodies(people)]
    frames = find_body_frames(bodies, skeleton)
    links = link_positions(bodies, skeleton, frames)
    transforms = []
    for i in np.flatnonzero(np.isfinite(frames.origins).all(axis=1)).tolist():
        name = body_name(camera, int(bodies.ids[i]))
        root = f"body_{name}"
        transforms.append(_transform(header, root, frames.origins[i]))
        transforms[-1].transform.rotation = _quaternion(frames.rotations[i])
        parent = Header(stamp=header.stamp, frame_id=root)
        transforms += [
            _transform(parent, f"{link}_{name}", xyz[i]) for link, xyz in links.items() if np.isfinite(xyz[i]).all()
        ]
    return transforms


def _transform(header: Header, child: str, xyz: DoubleArray) -> TransformStamped:
    """Make a transform without rotation."""
    message = TransformStamped(header=header, child_frame_id=child)
    target = message.transform.translation
    target.x, target.y, target.z = xyz.tolist()
    return message


def _quaternion(rotation: DoubleArray) -> Quaternion:
    """Convert a rotation matrix, (3, 3)."""
    vector = cv2.Rodrigues(rotation)[0].ravel()  # axis times angle
    angle = float(np.linalg.norm(vector))
    x, y, z = (vector * (np.sin(angle / 2) / angle if angle else 0.5)).tolist()
    return Quaternion(x=x, y=y, z=z, w=float(np.cos(angle / 2)))
