"""Labels of one skeleton, told in the keypoints of another: by name, with what nobody has looked for left unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, ByteArray, FloatArray
from pose_ros.datasets.regions import enlarged
from pose_ros.datasets.sample import ABSENT, LABELLED, UNCERTAIN, UNKNOWN
from pose_ros.skeleton import Skeleton

States = ByteArray

_OTHER_NAMES = {"head": "head_top", "top_head": "head_top", "mid_hip": "pelvis"}
_MEANS = {"neck": ("left_shoulder", "right_shoulder"), "pelvis": ("left_hip", "right_hip")}
_BOX_MARGIN = 0.1  # of the longer side, around the keypoints of people without a box


@dataclass(frozen=True)
class Gates:
    """How a network's scores are read as labels.

    Attributes:
        label: From this score on, a keypoint is labelled.
        ignore: From this score on it is uncertain; below it is absent.
        least_keypoints: Labelled keypoints that make a person where nobody else has seen one.
    """

    label: float = 0.5
    ignore: float = 0.1
    least_keypoints: int = 6

    def states(self, scores: FloatArray) -> States:
        """States of scores, of the same shape."""
        states = np.where(scores >= self.label, LABELLED, np.where(scores >= self.ignore, UNCERTAIN, ABSENT))
        return states.astype(np.uint8)

    def is_person(self, states: States) -> bool:
        """Whether the states (K,) of someone that only the network has seen make a person."""
        return bool((states == LABELLED).sum() >= min(self.least_keypoints, len(states)))


DEFAULT_GATES = Gates()


def keypoint_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names as this project writes them: ``"Left Shoulder"`` is ``left_shoulder``, the top of the head ``head_top``."""
    plain = (str(name).strip().lower().replace(" ", "_").replace("-", "_") for name in names)
    return tuple(_OTHER_NAMES.get(name, name) for name in plain)


def onto(keypoints: FloatArray, states: States, names: Sequence[str], skeleton: Skeleton) -> tuple[FloatArray, States]:
    """Labels on another skeleton.

    The neck is the mean of the shoulders, and the pelvis that of the hips, whatever the set calls so: sets disagree
    on where they are. Where one of the pair is missing, the set's own is somewhere near. Keypoints that the set does
    not have are UNKNOWN.

    Args:
        keypoints: (N, K_source, 2) px.
        states: (N, K_source).
        names: K_source names, see ``keypoint_names``.
        skeleton: Wanted skeleton of K keypoints.

    Returns:
        (N, K, 2) and (N, K).

    Raises:
        ValueError: If the set has none of the skeleton's keypoints.
    """
    if not set(names) & set(skeleton.keypoint_names):
        raise ValueError(f"keypoints: expected some of {', '.join(skeleton.keypoint_names)}, got {', '.join(names)}")
    count = len(keypoints)
    xy = np.zeros((count, len(skeleton), 2), np.float32)
    state = np.full((count, len(skeleton)), UNKNOWN, np.uint8)
    for column, name in enumerate(skeleton.keypoint_names):
        pair = [names.index(side) for side in _MEANS.get(name, ()) if side in names]
        if name in names:
            xy[:, column], state[:, column] = keypoints[:, names.index(name)], states[:, names.index(name)]
        if len(pair) == 2:
            own = np.where(state[:, column] == LABELLED, UNCERTAIN, ABSENT)
            labelled = (states[:, pair] == LABELLED).all(axis=1)
            xy[labelled, column] = keypoints[labelled][:, pair].mean(axis=1)
            state[:, column] = np.where(labelled, LABELLED, own)
    xy[(state == ABSENT) | (state == UNKNOWN)] = 0
    return xy, state


def boxes_around(keypoints: FloatArray, states: States) -> FloatArray:
    """(N, 4) boxes of the labelled keypoints with a margin; zeros where there are none."""
    boxes = np.zeros((len(keypoints), 4), np.float32)
    for n, placed in enumerate(has_place(states)):
        if placed.any():
            boxes[n] = *keypoints[n, placed].min(axis=0), *keypoints[n, placed].max(axis=0)
    return enlarged(boxes, _BOX_MARGIN)


def spans(keypoints: AnyArray, labelled: BoolArray, names: Sequence[str], ends: Sequence[str]) -> FloatArray:
    """(N,) distances between two keypoints, px; NaN for who lacks one of them, and where ``names`` do."""
    columns = [names.index(end) for end in ends if end in names]
    if len(columns) != 2:
        return np.full(len(keypoints), np.nan, np.float32)
    first, second = keypoints[:, columns[0]], keypoints[:, columns[1]]
    lengths = np.linalg.norm(first - second, axis=1)
    return np.where(labelled[:, columns].all(axis=1), lengths, np.nan).astype(np.float32)


def has_place(states: States) -> BoolArray:
    """(N, K) keypoints whose position says something."""
    return (states == LABELLED) | (states == UNCERTAIN)
