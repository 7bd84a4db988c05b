"""Compute object keypoint similarity (OKS), and match detections to labelled people.

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

NO_MATCH = -1
"""Partner index of detections without a match."""


def oks(detections: Detections, image: LabelledImage, sigmas: DoubleArray) -> DoubleArray:
    """Compute the OKS of every detection with every labelled person, (D, N).

    It is the mean keypoint similarity over the labelled keypoints. For a person without labelled keypoints, the
    distance to the box is used, after the box is enlarged by its own size on every side.
    """
    offsets = detections.keypoints[:, None] - image.keypoints[None]
    has_keypoints = np.asarray(image.labelled.any(axis=1))[:, None]
    squared = np.where(has_keypoints, (offsets**2).sum(axis=3), _squared_box_distances(detections, image))
    counted = image.labelled | ~has_keypoints
    similarity = keypoint_similarity(squared, image.areas[:, None], sigmas) * counted
    return np.asarray(similarity.sum(axis=2) / counted.sum(axis=1))


def match_people(similarity: DoubleArray, min_oks: float, order: Iterable[int] | None = None) -> IndexArray:
    """Match detections to labelled people: each detection in turn gets the most similar free person.

    Args:
        similarity: (D, N), OKS. -1 for labelled people that must not be matched.
        min_oks: Minimum OKS of a match.
        order: Order of the detections. Default: from first to last, i.e. highest score first.

    Returns:
        (D,), index of the matched person, or NO_MATCH.
    """
    partners, free = np.full(len(similarity), NO_MATCH, np.intp), similarity.copy()
    for d in range(len(similarity)) if order is None else order:
        if free.shape[1] and free[d].max() >= min_oks:
            partners[d] = free[d].argmax()
            free[:, partners[d]] = -1
    return partners


def _squared_box_distances(detections: Detections, image: LabelledImage) -> DoubleArray:
    """Compute the squared distances (D, N, K) to the enlarged boxes, 0 inside."""
    low = (image.boxes[:, :2] - image.boxes[:, 2:])[None, :, None]
    high = (image.boxes[:, :2] + 2 * image.boxes[:, 2:])[None, :, None]
    points = detections.keypoints[:, None]
    outside = np.maximum(low - points, 0) + np.maximum(points - high, 0)
    return np.asarray((outside**2).sum(axis=3))
