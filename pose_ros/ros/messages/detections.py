"""Make the detections of vision_msgs from people. Importing this file needs the package vision_msgs.

References:
    vision_msgs 4 (Humble and later), https://github.com/ros-perception/vision_msgs
"""

from __future__ import annotations

from typing import Any

import numpy as np
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, Detection3D, Detection3DArray, ObjectHypothesisWithPose

from pose_ros.people import NOT_TRACKED, People
from pose_ros.ros.messages.standard import boxes_3d

CLASS_ID = "person"


def detections_2d(people: People, header: Header) -> Detection2DArray:
    """Make the boxes of people in pixels. A person without a visible keypoint has no box and is left out.

    Args:
        people: The people.
        header: Header of their image.
    """
    shown = people[np.flatnonzero(people.visible.any(axis=1))]
    detections = []
    for person_id, score, box in zip(
        shown.ids.tolist(), shown.person_scores.tolist(), shown.boxes().tolist(), strict=True
    ):
        x_min, y_min, x_max, y_max = box
        detection = Detection2D(header=header, id=_name(person_id), results=[_hypothesis(score)])
        detection.bbox.center.position.x = (x_min + x_max) / 2
        detection.bbox.center.position.y = (y_min + y_max) / 2
        detection.bbox.size_x, detection.bbox.size_y = x_max - x_min, y_max - y_min
        detections.append(detection)
    return Detection2DArray(header=header, detections=detections)


def detections_3d(people: People, header: Header) -> Detection3DArray:
    """Make the boxes of people in metres. People of unknown position are left out.

    The pose of a result is the position of the person, that of ``PersonPose.position_3d``.

    Args:
        people: The people.
        header: Header of their image. Its frame is that of ``People.keypoints_3d``.
    """
    centres, sizes = boxes_3d(people)
    positions = centres if people.positions_3d is None else people.positions_3d
    positions = np.where(np.isfinite(positions).all(axis=1, keepdims=True), positions, centres)
    detections = []
    for i in np.flatnonzero(np.isfinite(centres).all(axis=1)).tolist():
        result = _hypothesis(float(people.person_scores[i]))
        _set_xyz(result.pose.pose.position, positions[i])
        detection = Detection3D(header=header, id=_name(int(people.ids[i])), results=[result])
        _set_xyz(detection.bbox.center.position, centres[i])
        _set_xyz(detection.bbox.size, sizes[i])
        detections.append(detection)
    return Detection3DArray(header=header, detections=detections)


def _hypothesis(score: float) -> ObjectHypothesisWithPose:
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = CLASS_ID, score
    return result


def _name(person_id: int) -> str:
    return str(person_id) if person_id > NOT_TRACKED else ""


def _set_xyz(target: Any, xyz: Any) -> None:
    target.x, target.y, target.z = (float(value) for value in xyz)
