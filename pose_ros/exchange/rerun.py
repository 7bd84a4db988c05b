"""Show people in the viewer Rerun."""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.arrays import BoolArray, FloatArray
from pose_ros.people import People
from pose_ros.skeleton import Skeleton


def log_people(people: People, skeleton: Skeleton, path: str = "people", recording: Any = None) -> None:
    """Log people to Rerun (``pip install rerun-sdk``): keypoints with limbs, boxes, and keypoints in metres.

    Set the time and log the image yourself, with ``rerun.set_time`` and ``rerun.log``. Entities of this function:
    ``keypoints``, ``limbs`` and ``boxes`` below ``path`` and, with depth, ``keypoints_3d`` and ``limbs_3d`` in the
    frame of the results in metres.

    Args:
        people: The people, in pixels of the image.
        skeleton: Their skeleton.
        path: Parent entity.
        recording: A ``rerun.RecordingStream``. None = the current one.

    Raises:
        ImportError: If Rerun is not installed.
    """
    rerun = _import_rerun()
    rerun.log(path, _describe(rerun, skeleton), static=True, recording=recording)
    seen, boxes = people.scores > 0, people.boxes()
    sizes, labels = boxes[:, 2:] - boxes[:, :2], list(map(_name, people.ids.tolist(), range(len(people))))
    entities = {
        "keypoints": _make_points(rerun.Points2D, people.keypoints, seen),
        "limbs": rerun.LineStrips2D(_connect(people.keypoints, seen, skeleton)),
        "boxes": rerun.Boxes2D(mins=boxes[:, :2], sizes=sizes, labels=labels),
    }
    if people.keypoints_3d is not None:
        known: BoolArray = np.asarray(np.isfinite(people.keypoints_3d).all(axis=2))
        entities["keypoints_3d"] = _make_points(rerun.Points3D, people.keypoints_3d, known)
        entities["limbs_3d"] = rerun.LineStrips3D(_connect(people.keypoints_3d, known, skeleton))
    for name, entity in entities.items():
        rerun.log(f"{path}/{name}", entity, recording=recording)


def _make_points(kind: Any, keypoints: FloatArray, present: BoolArray) -> Any:
    rows, columns = np.nonzero(present)
    return kind(keypoints[rows, columns], keypoint_ids=columns, class_ids=np.zeros(len(rows), np.uint16))


def _connect(keypoints: FloatArray, present: BoolArray, skeleton: Skeleton) -> list[FloatArray]:
    """Return both ends of each limb of each person."""
    return [
        keypoints[person, list(limb)]
        for person in range(len(keypoints))
        for limb in skeleton.limbs
        if present[person, list(limb)].all()
    ]


def _describe(rerun: Any, skeleton: Skeleton) -> Any:
    """Name the keypoints, which Rerun shows under the mouse."""
    return rerun.AnnotationContext(
        rerun.ClassDescription(
            info=rerun.AnnotationInfo(id=0, label="person"),
            keypoint_annotations=[
                rerun.AnnotationInfo(id=index, label=name) for index, name in enumerate(skeleton.keypoint_names)
            ],
        )
    )


def _name(number: int, index: int) -> str:
    return f"person {number}" if number >= 0 else f"#{index}"


def _import_rerun() -> Any:
    try:
        import rerun
    except ImportError as error:
        raise ImportError(f"rerun: expected the package, got: {error}; pip install rerun-sdk") from error
    return rerun
