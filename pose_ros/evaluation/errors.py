"""Classify each labelled keypoint of the detected people as good, jitter, inversion, swap or miss.

References:
    Ronchi and Perona, Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation, arXiv:1707.05388.
    Moon et al., PoseFix, arXiv:1812.03595, section 3 (the same classes; inversion is between left and right).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pose_ros.arrays import BoolArray, DoubleArray, IndexArray, LongArray
from pose_ros.datasets.pose_errors import EXACT, GOOD, INVERSION, JITTER, KINDS, MISS, NEAR, NOT_JUDGED, SWAP
from pose_ros.evaluation.coco import MAX_PEOPLE
from pose_ros.evaluation.data import DataSet, LabelledImage
from pose_ros.evaluation.detections import Detections
from pose_ros.evaluation.oks import NO_MATCH, match_people, oks
from pose_ros.similarity import keypoint_similarity
from pose_ros.skeleton import Skeleton

MIN_OKS = 0.1
"""Minimum OKS of a detection and the person that it matches."""
IGNORED_OKS = 0.5
"""Minimum OKS with an ignored person at which a detection is ignored."""


@dataclass(frozen=True)
class ImageErrors:
    """Errors in an image with D detections and N labelled people.

    Attributes:
        partners: (D,), index of the matched labelled person, or NO_MATCH.
        false: (D,), whether a detection is a false positive: it matches no person and no ignored person.
        missed: (N,), whether a labelled person is missed.
        kinds: (D, K), index into KINDS, or NOT_JUDGED.
        absent: (D, K), misses whose keypoint is absent, not at a wrong position.
    """

    partners: IndexArray
    false: BoolArray
    missed: BoolArray
    kinds: npt.NDArray[np.int8]
    absent: BoolArray


def diagnose(data: DataSet, detections: Sequence[Detections]) -> list[ImageErrors]:
    """Classify the errors of the best MAX_PEOPLE detections in every image."""
    return [_diagnose_image(image, people, data) for image, people in zip(data.images, detections, strict=True)]


def count_kinds(errors: Sequence[ImageErrors], keypoints: int) -> LongArray:
    """Count each of KINDS at each keypoint: (K, 5)."""
    kinds = np.concatenate([np.zeros((0, keypoints), np.int8), *(image.kinds for image in errors)])
    return np.stack([(kinds == kind).sum(axis=0) for kind in range(len(KINDS))], axis=1)


def correct_kind(
    data: DataSet, detections: Sequence[Detections], errors: Sequence[ImageErrors], kind: int
) -> list[Detections]:
    """Return the detections with every keypoint of one kind moved to its label."""
    return [_correct_image(*each, kind) for each in zip(data.images, detections, errors, strict=True)]


def drop_false_positives(detections: Sequence[Detections], errors: Sequence[ImageErrors]) -> list[Detections]:
    """Return the detections without false positives."""
    return [people[: len(image.false)][~image.false] for people, image in zip(detections, errors, strict=True)]


def _diagnose_image(image: LabelledImage, people: Detections, data: DataSet) -> ImageErrors:
    people, sigmas = people[:MAX_PEOPLE], np.array(data.skeleton.sigmas)
    similarity = oks(people, image, sigmas)
    partners = match_people(np.where(image.ignored, -1, similarity), MIN_OKS)
    ignored = (similarity[:, image.ignored] >= IGNORED_OKS).any(axis=1)
    false = (partners == NO_MATCH) & ~ignored & data.complete
    missed = ~image.ignored & ~np.isin(np.arange(len(image)), partners)
    kinds = classify_keypoints(image, people, partners, data.skeleton)
    return ImageErrors(partners, false, missed, kinds, (kinds == MISS) & ~people.present)


def classify_keypoints(
    image: LabelledImage, people: Detections, partners: IndexArray, skeleton: Skeleton
) -> npt.NDArray[np.int8]:
    """Classify keypoints, section 3.1 of the paper. Between inversion and swap, the more similar one wins.

    Args:
        image: Labelled people.
        people: D detections.
        partners: (D,) index of the labelled person of each detection, or NO_MATCH.
        skeleton: Skeleton of both.

    Returns:
        (D, K) index into KINDS, or NOT_JUDGED.
    """
    kinds = np.full(people.keypoints.shape[:2], NOT_JUDGED, np.int8)
    mirror = list(skeleton.flip_order)
    same, mirrored = (
        _keypoint_similarities(people, image, skeleton, order) for order in (list(range(len(skeleton))), mirror)
    )
    mirrored[:, :, [k == other for k, other in enumerate(mirror)]] = 0
    for d in np.flatnonzero(partners != NO_MATCH):
        n = partners[d]
        own, inverted = same[d, n], mirrored[d, n]
        others = np.delete(np.maximum(same[d], mirrored[d]), n, axis=0).max(axis=0, initial=0)
        wrong = np.where(np.maximum(inverted, others) < NEAR, MISS, np.where(inverted >= others, INVERSION, SWAP))
        judged = np.where(own >= EXACT, GOOD, np.where(own >= NEAR, JITTER, wrong))
        kinds[d] = np.where(image.labelled[n], judged, NOT_JUDGED)
    return kinds


def _keypoint_similarities(
    people: Detections, image: LabelledImage, skeleton: Skeleton, order: list[int]
) -> DoubleArray:
    """Compute the similarity (D, N, K) of detected keypoints to the labelled ones in ``order``. Absent: 0."""
    offsets = people.keypoints[:, None] - image.keypoints[None][:, :, order]
    both = people.present[:, None] & image.labelled[None][:, :, order]
    squared = np.where(both, (offsets**2).sum(axis=3), np.inf)
    return keypoint_similarity(squared, image.areas[None, :, None], np.array(skeleton.sigmas)[order])


def _correct_image(image: LabelledImage, people: Detections, errors: ImageErrors, kind: int) -> Detections:
    keypoints = people.keypoints.copy()
    for d in np.flatnonzero(errors.partners != NO_MATCH):
        n, wrong = errors.partners[d], errors.kinds[d] == kind
        keypoints[d, wrong] = image.keypoints[n, wrong]
    return people.with_keypoints(keypoints)
