"""Compute the percentage of correct keypoints, relative to the torso (PCK) or the head (PCKh).

References:
    Yang and Ramanan, Articulated Human Detection with Flexible Mixtures of Parts, TPAMI 2013 (PCK).
    Andriluka et al., 2D Human Pose Estimation: New Benchmark and State of the Art Analysis, CVPR 2014 (PCKh);
    evalMPII of its publisher, util_get_head_size.m and evaluatePCKh.m.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import DoubleArray
from pose_ros.datasets.images import HEAD_BOX, HEAD_SEGMENT
from pose_ros.datasets.labels import keypoint_distances
from pose_ros.evaluation.data import DataSet, LabelledImage
from pose_ros.evaluation.detections import Detections
from pose_ros.evaluation.oks import NO_MATCH, match_people, oks
from pose_ros.skeleton import Skeleton

MIN_OKS = 0.1
"""Minimum OKS of a detection and the person that it matches."""


@dataclass(frozen=True)
class Measure:
    """Definition of a correct keypoint.

    Attributes:
        length: Name of the reference length. People without a known length are excluded.
        ends: Two keypoints whose distance is the length, if the data set does not provide it.
        share: Maximum distance of a correct keypoint, as a fraction of the length.
        excluded: Keypoints that do not count.
    """

    length: str
    ends: tuple[str, ...]
    share: float
    excluded: tuple[str, ...] = ()


MEASURES = {
    "PCK@0.2": Measure("torso", ("left_shoulder", "right_hip"), 0.2),
    "PCKh@0.5": Measure(HEAD_BOX, (), 0.5, ("pelvis", "thorax")),
    "PCKh@0.5 (segment)": Measure(HEAD_SEGMENT, ("head_top", "upper_neck"), 0.5, ("pelvis", "thorax")),
}
"""LSP: relative to the torso. MPII: relative to the head box, or the head length for data sets without boxes."""


@dataclass(frozen=True)
class Pck:
    """Correct keypoints of a data set.

    Attributes:
        correct: (K,), number of correct keypoints.
        labelled: (K,), number of labelled keypoints.
    """

    correct: DoubleArray
    labelled: DoubleArray

    @property
    def total(self) -> float:
        """Fraction of all labelled keypoints that are correct."""
        return float(self.correct.sum() / self.labelled.sum())

    @property
    def by_keypoint(self) -> DoubleArray:
        """(K,), fraction of correct keypoints. NaN if none is labelled."""
        labelled = self.labelled
        return np.divide(self.correct, labelled, out=np.full(len(labelled), np.nan), where=labelled > 0)


def correct_keypoints(data: DataSet, detections: Sequence[Detections]) -> dict[str, Pck]:
    """Compute each of MEASURES for which the data set has the lengths.

    Each labelled person is compared with the most similar detection. If there is none, all its keypoints are wrong.
    """
    distances = [
        _keypoint_distances(image, people, data.skeleton) for image, people in zip(data.images, detections, strict=True)
    ]
    results = {name: _compute_pck(measure, data, distances) for name, measure in MEASURES.items()}
    return {name: result for name, result in results.items() if result is not None}


def _keypoint_distances(image: LabelledImage, people: Detections, skeleton: Skeleton) -> DoubleArray:
    """Compute the distances (N, K) from labelled to detected keypoints, px. Infinite if not detected."""
    distances = np.full(image.keypoints.shape[:2], np.inf)
    similarity = np.where(image.ignored, -1, oks(people, image, np.array(skeleton.sigmas)))
    best = np.argsort(-similarity.max(axis=1, initial=-1), kind="stable")
    partners = match_people(similarity, MIN_OKS, best)
    pairs = partners != NO_MATCH
    offsets = people.keypoints[pairs] - image.keypoints[partners[pairs]]
    distances[partners[pairs]] = np.where(people.present[pairs], np.linalg.norm(offsets, axis=2), np.inf)
    return distances


def _compute_pck(measure: Measure, data: DataSet, distances: Sequence[DoubleArray]) -> Pck | None:
    names = data.skeleton.keypoint_names
    included = np.array([name not in measure.excluded for name in names])
    correct, labelled = np.zeros(len(names)), np.zeros(len(names))
    for image, distance in zip(data.images, distances, strict=True):
        lengths = image.lengths_px.get(measure.length)
        if lengths is None:
            lengths = keypoint_distances(image.keypoints, image.labelled, names, measure.ends)
        counts = image.labelled & (lengths > 0)[:, None] & included
        labelled += counts.sum(axis=0)
        correct += (counts & (distance <= measure.share * lengths[:, None])).sum(axis=0)
    return Pck(correct, labelled) if labelled.any() else None
