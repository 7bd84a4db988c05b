"""Percentage of correct keypoints: within a share of the torso (PCK) or of the head (PCKh).

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
from pose_ros.datasets.labels import spans
from pose_ros.evaluation.data import DataSet, LabelledImage
from pose_ros.evaluation.detections import Detections
from pose_ros.evaluation.oks import NOBODY, matched, oks
from pose_ros.skeleton import Skeleton

LEAST_OKS = 0.1
"""Who is less alike is another person."""


@dataclass(frozen=True)
class Measure:
    """What counts as correct.

    Attributes:
        length: Name of what it is measured by; people of whom it is not known do not count.
        ends: Two keypoints whose distance it is, where the data set does not tell it.
        share: Of that length, up to which a keypoint is correct.
        left_out: Keypoints that do not count.
    """

    length: str
    ends: tuple[str, ...]
    share: float
    left_out: tuple[str, ...] = ()


MEASURES = {
    "PCK@0.2": Measure("torso", ("left_shoulder", "right_hip"), 0.2),
    "PCKh@0.5": Measure(HEAD_BOX, (), 0.5, ("pelvis", "thorax")),
    "PCKh@0.5 (segment)": Measure(HEAD_SEGMENT, ("head_top", "upper_neck"), 0.5, ("pelvis", "thorax")),
}
"""LSP's, by the torso; MPII's, by the head's box; and one by the head's length, for sets without such boxes."""


@dataclass(frozen=True)
class Pck:
    """Correct keypoints of a data set.

    Attributes:
        correct: (K,) how many were right.
        labelled: (K,) of how many.
    """

    correct: DoubleArray
    labelled: DoubleArray

    @property
    def total(self) -> float:
        """Share of all labelled keypoints."""
        return float(self.correct.sum() / self.labelled.sum())

    @property
    def by_keypoint(self) -> DoubleArray:
        """(K,) share of each; NaN where none is labelled."""
        labelled = self.labelled
        return np.divide(self.correct, labelled, out=np.full(len(labelled), np.nan), where=labelled > 0)


def correct_keypoints(data: DataSet, found: Sequence[Detections]) -> dict[str, Pck]:
    """Every one of MEASURES that the data set has the lengths for.

    Each labelled person is compared with the most similar one found; where there is none, all keypoints are wrong.
    """
    distances = [_distances(image, people, data.skeleton) for image, people in zip(data.images, found, strict=True)]
    results = {name: _pck(measure, data, distances) for name, measure in MEASURES.items()}
    return {name: result for name, result in results.items() if result is not None}


def _distances(image: LabelledImage, people: Detections, skeleton: Skeleton) -> DoubleArray:
    """(N, K) px from the labels to the keypoints found; infinite where there are none."""
    distances = np.full(image.keypoints.shape[:2], np.inf)
    likeness = np.where(image.ignored, -1, oks(people, image, np.array(skeleton.sigmas)))
    best = np.argsort(-likeness.max(axis=1, initial=-1), kind="stable")
    partners = matched(likeness, LEAST_OKS, best)
    pairs = partners != NOBODY
    offsets = people.keypoints[pairs] - image.keypoints[partners[pairs]]
    distances[partners[pairs]] = np.where(people.present[pairs], np.linalg.norm(offsets, axis=2), np.inf)
    return distances


def _pck(measure: Measure, data: DataSet, distances: Sequence[DoubleArray]) -> Pck | None:
    names = data.skeleton.keypoint_names
    counted = np.array([name not in measure.left_out for name in names])
    correct, labelled = np.zeros(len(names)), np.zeros(len(names))
    for image, distance in zip(data.images, distances, strict=True):
        lengths = image.lengths_px.get(measure.length)
        if lengths is None:
            lengths = spans(image.keypoints, image.labelled, names, measure.ends)
        counts = image.labelled & (lengths > 0)[:, None] & counted
        labelled += counts.sum(axis=0)
        correct += (counts & (distance <= measure.share * lengths[:, None])).sum(axis=0)
    return Pck(correct, labelled) if labelled.any() else None
