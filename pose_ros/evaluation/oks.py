"""Object keypoint similarity, and who of those found is whom.

References:
    COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval.
    Ronchi and Perona, Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation, arXiv:1707.05388, section 2.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pose_ros.arrays import DoubleArray, IndexArray
from pose_ros.evaluation.data import LabelledImage
from pose_ros.evaluation.detections import Detections
from pose_ros.similarity import keypoint_similarity

NOBODY = -1
"""Place of the partner of who has none."""


def oks(found: Detections, image: LabelledImage, sigmas: DoubleArray) -> DoubleArray:
    """OKS of everybody found with everybody labelled, (D, N).

    It is the mean keypoint similarity over the labelled keypoints. For who has none, it is that of the distance to
    the box, enlarged by its size on every side.
    """
    offsets = found.keypoints[:, None] - image.keypoints[None]
    has_keypoints = np.asarray(image.labelled.any(axis=1))[:, None]
    squared = np.where(has_keypoints, (offsets**2).sum(axis=3), _beyond(found, image))
    counted = image.labelled | ~has_keypoints
    likeness = keypoint_similarity(squared, image.areas[:, None], sigmas) * counted
    return np.asarray(likeness.sum(axis=2) / counted.sum(axis=1))


def matched(likeness: DoubleArray, least: float, order: Iterable[int] | None = None) -> IndexArray:
    """Pair those found with those labelled: one after the other takes the most similar who is free.

    Args:
        likeness: (D, N) OKS; those labelled whom nobody may take have -1.
        least: Least OKS of a pair.
        order: Of those found; by default as they are, the best first.

    Returns:
        (D,) the column of each, or NOBODY.
    """
    partners, free = np.full(len(likeness), NOBODY, np.intp), likeness.copy()
    for d in range(len(likeness)) if order is None else order:
        if free.shape[1] and free[d].max() >= least:
            partners[d] = free[d].argmax()
            free[:, partners[d]] = -1
    return partners


def _beyond(found: Detections, image: LabelledImage) -> DoubleArray:
    """(D, N, K) squared distance to the enlarged boxes, 0 inside."""
    low = (image.boxes[:, :2] - image.boxes[:, 2:])[None, :, None]
    high = (image.boxes[:, :2] + 2 * image.boxes[:, 2:])[None, :, None]
    points = found.keypoints[:, None]
    outside = np.maximum(low - points, 0) + np.maximum(points - high, 0)
    return np.asarray((outside**2).sum(axis=3))
