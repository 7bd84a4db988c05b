"""Choose the people of the standard messages, and compute their numbers. Needs no ROS and no message package."""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, FloatArray, Image, IndexArray, SizeWH
from pose_ros.people import NOT_TRACKED, People
from pose_ros.skeleton import REP_155, Skeleton, map_keypoints


def body_name(camera: str, person_id: int) -> str:
    """Return the name of a person in topics and frames: ``"b12"``, or ``"front_b12"`` for the camera ``front``.

    ROS names start with a letter, so the number alone is none. Each camera counts its people itself, so the name of
    the camera makes the names of several cameras different.
    """
    return f"{camera}/b{person_id}".replace("/", "_").lstrip("_")


def find_bodies(people: People) -> IndexArray:
    """Return the indices of the people that have an id and a visible keypoint. Each id counts once."""
    bodies = np.flatnonzero((people.ids > NOT_TRACKED) & people.visible.any(axis=1))
    _, first = np.unique(people.ids[bodies], return_index=True)
    return np.sort(bodies[first])


def normalise_boxes(people: People, size_wh: SizeWH) -> FloatArray:
    """Return the boxes relative to the size of the image, cut to it: (N, 4) x_min, y_min, x_max, y_max in [0, 1]."""
    return np.clip(people.boxes() / np.array([*size_wh, *size_wh], np.float32), 0, 1)


def normalise_keypoints(people: People, skeleton: Skeleton, size_wh: SizeWH) -> FloatArray:
    """Return the keypoints in the order of ``hri_msgs/Skeleton2D``, mapped by name.

    Returns:
        (N, 18, 3) x, y and score. x and y are relative to the size of the image, and cut to [0, 1]. Absent = zeros.
    """
    xy, scores = map_keypoints(people.keypoints, people.scores, skeleton, REP_155)
    return np.concatenate([np.clip(xy / np.array(size_wh, np.float32), 0, 1), scores[..., None]], axis=2)


def crop_to_box(image: Image, box: AnyArray) -> Image:
    """Return the pixels of a box of ``normalise_boxes``, at least one. The result is a view."""
    height, width = image.shape[:2]
    low = np.minimum(np.floor(box[:2] * (width, height)), (width - 1, height - 1)).astype(int)
    high = np.minimum(np.floor(box[2:] * (width, height)) + 1, (width, height)).astype(int)
    return image[low[1] : high[1], low[0] : high[0]]


def boxes_3d(people: People) -> tuple[FloatArray, FloatArray]:
    """Return the boxes of the keypoints in metres, parallel to the axes of their frame.

    Returns:
        Centres and sizes, (N, 3) each. If no keypoint is known, the centre is the position and the size is 0. NaN if
        the position is unknown, too.
    """
    centres = np.full((len(people), 3), np.nan, np.float32) if people.positions_3d is None else people.positions_3d
    sizes = np.zeros_like(centres)
    if people.keypoints_3d is None:
        return centres, sizes
    is_known = np.asarray(np.isfinite(people.keypoints_3d).all(axis=2))
    low = np.where(is_known[..., None], people.keypoints_3d, np.inf).min(axis=1, initial=np.inf)
    high = np.where(is_known[..., None], people.keypoints_3d, -np.inf).max(axis=1, initial=-np.inf)
    has_box = is_known.any(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # of people without a known keypoint
        return np.where(has_box, (low + high) / 2, centres), np.where(has_box, high - low, sizes)
