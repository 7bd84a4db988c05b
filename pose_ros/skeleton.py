"""Define skeletons: names, limbs, mirror pairs and OKS sigmas of a set of keypoints.

Keypoints are always matched by name, never by index. OpenPose-18, COCO-17 and REP-155 order the eyes and
ears differently, so a copy by index would swap left and right.

References:
    COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval (sigmas of the 17 COCO keypoints).
    Cao et al., OpenPose, arXiv:1812.08008 (the 18- and 25-keypoint sets and their limbs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pose_ros.arrays import FloatArray

Limb = tuple[int, int]

BOX_FILL = 0.53
"""Share of a box that the person covers. Gives the area for OKS if there is no outline."""

_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    "neck": 0.079,
    "head_top": 0.079,
    "upper_neck": 0.079,
    "pelvis": 0.107,
    "thorax": 0.079,
    "big_toe": 0.089,
    "small_toe": 0.089,
    "heel": 0.089,
}

_STANDING = {  # standing person who faces the camera: x of the left side and y in body heights, head_top at (0, 0)
    "nose": (0.0, 0.08),
    "eye": (0.02, 0.06),
    "ear": (0.05, 0.07),
    "head_top": (0.0, 0.0),
    "upper_neck": (0.0, 0.14),
    "neck": (0.0, 0.18),
    "thorax": (0.0, 0.18),
    "shoulder": (0.10, 0.19),
    "elbow": (0.15, 0.34),
    "wrist": (0.17, 0.48),
    "pelvis": (0.0, 0.50),
    "hip": (0.06, 0.50),
    "knee": (0.07, 0.73),
    "ankle": (0.08, 0.96),
    "heel": (0.08, 0.98),
    "big_toe": (0.10, 1.0),
    "small_toe": (0.12, 1.0),
}


def without_side(name: str) -> str:
    """Return the name of a keypoint without its side: ``"left_knee"`` gives ``"knee"``."""
    return name.removeprefix("left_").removeprefix("right_")


def _mirror_name(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name


@dataclass(frozen=True)
class Skeleton:
    """Named, ordered set of keypoints and the limbs between them.

    Attributes:
        name: Identifier, e.g. ``"openpose_18"``.
        keypoint_names: K names. Sides are the prefixes ``left_`` and ``right_``.
        limbs: (from, to) index pairs, in the channel order of the publisher's part affinity fields.
        redundant_limbs: Limbs that close a loop (ear to shoulder). They are used for grouping and not drawn.
        sigmas: K OKS constants. Default: looked up by name.

    Raises:
        ValueError: If names are repeated, limbs have unknown keypoints, or the number of sigmas is wrong.
    """

    name: str
    keypoint_names: tuple[str, ...]
    limbs: tuple[Limb, ...]
    redundant_limbs: tuple[Limb, ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.keypoint_names)
        if count == 0 or len(set(self.keypoint_names)) != count:
            raise ValueError(f"keypoint_names: expected distinct names, got {self.keypoint_names}")
        for limb in self.limbs:
            if not (0 <= limb[0] < count and 0 <= limb[1] < count and limb[0] != limb[1]):
                raise ValueError(f"limbs: expected pairs of different indices below {count}, got {limb}")
        for limb in self.redundant_limbs:
            if limb not in self.limbs:
                raise ValueError(f"redundant_limbs: expected a subset of limbs, got {limb}")
        if not self.sigmas:
            object.__setattr__(self, "sigmas", tuple(_SIGMAS.get(without_side(n), 0.079) for n in self.keypoint_names))
        if len(self.sigmas) != count:
            raise ValueError(f"sigmas: expected {count} values, got {len(self.sigmas)}")

    def __len__(self) -> int:
        return len(self.keypoint_names)

    def index(self, name: str) -> int:
        """Return the index of a keypoint.

        Raises:
            KeyError: If the skeleton has no keypoint with that name.
        """
        try:
            return self.keypoint_names.index(name)
        except ValueError:
            raise KeyError(f"{self.name}: expected one of {', '.join(self.keypoint_names)}, got {name!r}") from None

    @property
    def drawn_limbs(self) -> tuple[Limb, ...]:
        """Limbs to draw: all except the redundant ones."""
        return tuple(limb for limb in self.limbs if limb not in self.redundant_limbs)

    @cached_property
    def flip_order(self) -> tuple[int, ...]:
        """Permutation that swaps left and right keypoints of a mirrored image: ``mirrored[:, flip_order]``."""
        names = self.keypoint_names
        return tuple(names.index(_mirror_name(n)) if _mirror_name(n) in names else i for i, n in enumerate(names))

    @cached_property
    def standing(self) -> FloatArray:
        """(K, 2) x, y of a standing person of height 1 who faces the camera. NaN for unknown names."""
        xy = np.array([_STANDING.get(without_side(name), (np.nan, np.nan)) for name in self.keypoint_names], np.float32)
        xy[[name.startswith("right_") for name in self.keypoint_names], 0] *= -1
        return xy

    def side(self, keypoint: int) -> str:
        """Return the side of a keypoint: ``"left"``, ``"right"`` or ``"centre"``."""
        name = self.keypoint_names[keypoint]
        return "left" if name.startswith("left_") else "right" if name.startswith("right_") else "centre"


_NECK = "neck"
_SHOULDERS = ("left_shoulder", "right_shoulder")


def map_keypoints(
    keypoints: FloatArray, scores: FloatArray, source: Skeleton, target: Skeleton
) -> tuple[FloatArray, FloatArray]:
    """Reorder keypoints from one skeleton to another, by name.

    A keypoint that the source lacks is absent (position 0, score 0). The neck is an exception: it is the mean of the
    shoulders, with the lower of their scores.

    Args:
        keypoints: (N, K_source, 2) x and y, or (N, K_source, 3) x, y and z.
        scores: (N, K_source) in [0, 1], 0 where absent.
        source: Skeleton of the arrays.
        target: Skeleton of the result.

    Returns:
        New arrays (N, K_target, 2 or 3) and (N, K_target).
    """
    xy = np.zeros((len(keypoints), len(target), keypoints.shape[2]), np.float32)
    score = np.zeros((len(keypoints), len(target)), np.float32)
    for column, name in enumerate(target.keypoint_names):
        if name in source.keypoint_names:
            xy[:, column] = keypoints[:, source.index(name)]
            score[:, column] = scores[:, source.index(name)]
        elif name == _NECK and all(s in source.keypoint_names for s in _SHOULDERS):
            pair = [source.index(s) for s in _SHOULDERS]
            score[:, column] = scores[:, pair].min(axis=1)
            xy[:, column] = np.where(score[:, column, None] > 0, keypoints[:, pair].mean(axis=1), 0)
    return xy, score


def _both_sides(*names: str) -> list[str]:
    return [f"{side}_{name}" for name in names for side in ("left", "right")]


def _parse_limbs(names: Sequence[str], pairs: str) -> tuple[Limb, ...]:
    """Parse ``"a-b c-d"`` into index pairs."""
    return tuple((names.index(a), names.index(b)) for a, b in (pair.split("-") for pair in pairs.split()))


_COCO_NAMES = ("nose", *_both_sides("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"))
_COCO_LIMBS = _parse_limbs(
    _COCO_NAMES,
    "left_ankle-left_knee left_knee-left_hip right_ankle-right_knee right_knee-right_hip left_hip-right_hip "
    "left_shoulder-left_hip right_shoulder-right_hip left_shoulder-right_shoulder left_shoulder-left_elbow "
    "right_shoulder-right_elbow left_elbow-left_wrist right_elbow-right_wrist left_eye-right_eye nose-left_eye "
    "nose-right_eye left_eye-left_ear right_eye-right_ear left_ear-left_shoulder right_ear-right_shoulder",
)
COCO_17 = Skeleton("coco_17", _COCO_NAMES, _COCO_LIMBS, (_COCO_LIMBS[12],))
"""Skeleton of COCO, HRNet, HigherHRNet, PoseNet and CenterNet."""

_OPENPOSE_NAMES = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
)
_OPENPOSE_LIMBS = (
    *((1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 2), (2, 3), (3, 4), (2, 16)),
    *((1, 5), (5, 6), (6, 7), (5, 17), (1, 0), (0, 14), (0, 15), (14, 16), (15, 17)),
)
OPENPOSE_18 = Skeleton("openpose_18", _OPENPOSE_NAMES, _OPENPOSE_LIMBS, ((2, 16), (5, 17)))
"""Skeleton of OpenPose's COCO model, Lightweight OpenPose and tf-pose. Limbs are in the order of their PAFs."""

REP_155 = Skeleton(
    "rep_155", (*_OPENPOSE_NAMES[:14], "left_eye", "right_eye", "left_ear", "right_ear"), limbs=_OPENPOSE_LIMBS[:13]
)
"""Order of ``hri_msgs/Skeleton2D``. Its eyes and ears are in the opposite order of OpenPose, see REP-155."""

_BODY_25_NAMES = (
    *_OPENPOSE_NAMES[:8],
    *("pelvis", *_OPENPOSE_NAMES[8:]),
    *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
)
_BODY_25_LIMBS = (
    *((1, 8), (9, 10), (10, 11), (8, 9), (8, 12), (12, 13), (13, 14), (1, 2), (2, 3), (3, 4), (2, 17), (1, 5)),
    *((5, 6), (6, 7), (5, 18), (1, 0), (0, 15), (0, 16), (15, 17), (16, 18), (14, 19), (19, 20), (14, 21)),
    *((11, 22), (22, 23), (11, 24)),
)
BODY_25 = Skeleton("body_25", _BODY_25_NAMES, _BODY_25_LIMBS, ((2, 17), (5, 18)))
"""Skeleton of OpenPose's BODY_25 model. Limbs are in the order of its PAFs."""

_TRT_POSE_NAMES = (*_COCO_NAMES, "neck")
_TRT_POSE_LIMBS = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 7), (6, 8), (7, 9), (8, 10), (1, 2), (0, 1)),
    *((0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (17, 0), (17, 5), (17, 6), (17, 11), (17, 12)),
)
TRT_POSE_18 = Skeleton("trt_pose_18", _TRT_POSE_NAMES, _TRT_POSE_LIMBS, ((11, 12), (1, 2), (3, 5), (4, 6)))
"""Skeleton of trt_pose: COCO-17 and a neck, 21 limbs."""

MPII_16 = Skeleton(
    "mpii_16",
    (
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "upper_neck", "head_top"),
        *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    ),
    (
        *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9)),
        *((10, 11), (11, 12), (12, 7), (7, 13), (13, 14), (14, 15)),
    ),
)
"""Skeleton of MPII Human Pose."""

CROWDPOSE_14 = Skeleton(
    "crowdpose_14",
    (
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
        *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "head_top", "neck"),
    ),
    (
        *((12, 13), (13, 0), (13, 1), (0, 2), (2, 4), (1, 3), (3, 5)),
        *((13, 6), (13, 7), (6, 8), (8, 10), (7, 9), (9, 11)),
    ),
)
"""Skeleton of CrowdPose."""

SKELETONS = {s.name: s for s in (COCO_17, OPENPOSE_18, BODY_25, TRT_POSE_18, MPII_16, CROWDPOSE_14)}
