"""Write the people of each frame as a JSON file of OpenPose's form.

References:
    OpenPose, doc/02_output.md: one file ``<name>_<frame, 12 digits>_keypoints.json``, keypoints as x, y, score.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.exchange.stored_people import StoredFrame
from pose_ros.people import People
from pose_ros.skeleton import BODY_25, Skeleton, map_keypoints

VERSION = 1.3
_ABSENT = (
    *("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"),
    *("pose_keypoints_3d", "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d"),
)
_HIPS, _PELVIS = ("left_hip", "right_hip"), "pelvis"


def write_openpose(frame: StoredFrame, folder: Path, name: str, target: Skeleton = BODY_25) -> Path:
    """Write one frame, also without people.

    Args:
        frame: The frame.
        folder: Folder of the files, which exists. It should appear as a whole, see ``atomic_folder``.
        name: First part of the name of the file.
        target: Order of the keypoints.

    Returns:
        The file.
    """
    path = folder / f"{name}_{frame.index:012d}_keypoints.json"
    keypoints, scores = _map(frame.people, frame.skeleton, target)
    triples = np.concatenate([keypoints, scores[:, :, None]], axis=2).round(4)
    people = [_make_person(*each) for each in zip(frame.people.ids.tolist(), triples, strict=True)]
    path.write_text(json.dumps({"version": VERSION, "people": people}), encoding="utf-8")
    return path


def _make_person(number: int, triples: FloatArray) -> dict[str, Any]:
    values = [round(float(value), 4) for value in triples.ravel()]
    return {"person_id": [number], "pose_keypoints_2d": values, **{name: [] for name in _ABSENT}}


def _map(people: People, source: Skeleton, target: Skeleton) -> tuple[FloatArray, FloatArray]:
    """Reorder the keypoints. The pelvis is the middle of the hips, as OpenPose trains it."""
    keypoints, scores = map_keypoints(people.keypoints, people.scores, source, target)
    names = source.keypoint_names
    if _PELVIS in target.keypoint_names and _PELVIS not in names and all(hip in names for hip in _HIPS):
        column, hips = target.index(_PELVIS), [source.index(hip) for hip in _HIPS]
        scores[:, column] = people.scores[:, hips].min(axis=1)
        middle = people.keypoints[:, hips].mean(axis=1)
        keypoints[:, column] = np.where(scores[:, column, None] > 0, middle, 0)
    return keypoints, scores
