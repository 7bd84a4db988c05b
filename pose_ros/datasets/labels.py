"""Map keypoint labels from the skeleton of a data set to another skeleton, by keypoint name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, ByteArray, FloatArray
from pose_ros.datasets.keypoint_names import normalise_names
from pose_ros.datasets.regions import enlarge_boxes
from pose_ros.datasets.sample import ABSENT, LABELLED, UNCERTAIN, UNKNOWN
from pose_ros.skeleton import Skeleton

States = ByteArray

_MIDPOINTS = {"neck": ("left_shoulder", "right_shoulder"), "pelvis": ("left_hip", "right_hip")}
_BOX_MARGIN = 0.1  # fraction of the longer side, around the keypoints of people without a box
_LEAST_BOX_PX = 32.0  # sides of the box of a person whose keypoints are all at one place: COCO's smallest medium person


@dataclass(frozen=True)
class Gates:
    """Score thresholds that turn keypoint scores of a network into labels.

    Attributes:
        label: Lowest score of a labelled keypoint.
        ignore: Lowest score of an uncertain keypoint. A keypoint below this score is absent.
        min_keypoints: Fewest labelled keypoints of a person who is known from the network only.
    """

    label: float = 0.5
    ignore: float = 0.1
    min_keypoints: int = 6

    def states_of(self, scores: FloatArray) -> States:
        """Return the states of keypoint scores, in the same shape."""
        states = np.where(scores >= self.label, LABELLED, np.where(scores >= self.ignore, UNCERTAIN, ABSENT))
        return states.astype(np.uint8)

    def is_person(self, states: States) -> bool:
        """Check whether the states (K,) of a network's detection contain enough labelled keypoints."""
        return bool((states == LABELLED).sum() >= min(self.min_keypoints, len(states)))


DEFAULT_GATES = Gates()


def map_labels(
    keypoints: FloatArray, states: States, names: Sequence[str], skeleton: Skeleton
) -> tuple[FloatArray, States]:
    """Map labels to another skeleton.

    Data sets disagree on where the neck and the pelvis are. Therefore the neck is the mean of the shoulders, and the
    pelvis is the mean of the hips. If one of the two is not labelled, the neck or pelvis of the data set is
    UNCERTAIN. Keypoints that the data set does not have are UNKNOWN.

    Args:
        keypoints: (N, K_source, 2) px.
        states: (N, K_source).
        names: K_source names in any usual spelling, see ``normalise_names``.
        skeleton: Target skeleton with K keypoints.

    Returns:
        Keypoints (N, K, 2) and states (N, K).

    Raises:
        ValueError: If the data set has no keypoint of the skeleton.
    """
    wanted, names = normalise_names(skeleton.keypoint_names), normalise_names(names)
    if not set(names) & set(wanted):
        raise ValueError(
            f"keypoints: expected some of {', '.join(skeleton.keypoint_names)}, got {', '.join(names)}; "
            "set keypoint_names or the skeleton"
        )
    count = len(keypoints)
    xy = np.zeros((count, len(skeleton), 2), np.float32)
    state = np.full((count, len(skeleton)), UNKNOWN, np.uint8)
    for column, name in enumerate(wanted):
        pair = [names.index(side) for side in _MIDPOINTS.get(name, ()) if side in names]
        if name in names:
            xy[:, column], state[:, column] = keypoints[:, names.index(name)], states[:, names.index(name)]
        if len(pair) == 2:
            fallback = np.where(state[:, column] == LABELLED, UNCERTAIN, ABSENT)
            labelled = (states[:, pair] == LABELLED).all(axis=1)
            xy[labelled, column] = keypoints[labelled][:, pair].mean(axis=1)
            state[:, column] = np.where(labelled, LABELLED, fallback)
    xy[(state == ABSENT) | (state == UNKNOWN)] = 0
    return xy, state


def boxes_around(keypoints: FloatArray, states: States) -> FloatArray:
    """Return (N, 4) boxes around the keypoints with a position, with a margin, px. Zeros for a person without any."""
    boxes = np.zeros((len(keypoints), 4), np.float32)
    for n, placed in enumerate(has_position(states)):
        if placed.any():
            low, high = keypoints[n, placed].min(axis=0), keypoints[n, placed].max(axis=0)
            half = 0.0 if (high > low).any() else _LEAST_BOX_PX / 2
            boxes[n] = *(low - half), *(high + half)
    return enlarge_boxes(boxes, _BOX_MARGIN)


def fill_boxes(boxes: FloatArray, keypoints: FloatArray, states: States) -> FloatArray:
    """Replace the boxes (N, 4) without a size by boxes around the keypoints, px."""
    without_size = np.asarray((boxes[:, 2:] <= boxes[:, :2]).any(axis=1) & has_position(states).any(axis=1))
    return np.where(without_size[:, None], boxes_around(keypoints, states), boxes).astype(np.float32)


def keypoint_distances(
    keypoints: AnyArray, labelled: BoolArray, names: Sequence[str], ends: Sequence[str]
) -> FloatArray:
    """Return (N,) distances between the two keypoints ``ends``, px. NaN if one is not labelled or not in ``names``."""
    columns = [names.index(end) for end in ends if end in names]
    if len(columns) != 2:
        return np.full(len(keypoints), np.nan, np.float32)
    first, second = keypoints[:, columns[0]], keypoints[:, columns[1]]
    lengths = np.linalg.norm(first - second, axis=1)
    return np.where(labelled[:, columns].all(axis=1), lengths, np.nan).astype(np.float32)


def has_position(states: States) -> BoolArray:
    """Return (N, K) bool: True for keypoints with a position (LABELLED or UNCERTAIN)."""
    return (states == LABELLED) | (states == UNCERTAIN)
