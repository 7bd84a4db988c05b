"""What goes wrong: every labelled keypoint of those found is good, jitter, inversion, swap or miss.

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
from pose_ros.evaluation.coco import MOST_PEOPLE
from pose_ros.evaluation.data import DataSet, LabelledImage
from pose_ros.evaluation.detections import Detections
from pose_ros.evaluation.oks import NOBODY, matched, oks
from pose_ros.similarity import keypoint_similarity
from pose_ros.skeleton import Skeleton

KINDS = ("good", "jitter", "inversion", "swap", "miss")
GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
NOT_JUDGED = -1
NEAR, EXACT = 0.5, 0.85
"""Keypoint similarity from which a place is near a keypoint, and from which people would not label it better."""
LEAST_OKS = 0.1
"""Who is less alike has not been found."""
IGNORED_OKS = 0.5
"""Who is as like someone ignored, is ignored."""


@dataclass(frozen=True)
class ImageErrors:
    """What went wrong in an image where D people were found, and N labelled.

    Attributes:
        partners: (D,) whom each found one is, NOBODY for false people.
        false: (D,) who is nobody, not even someone ignored.
        missed: (N,) who was not found.
        kinds: (D, K) index into KINDS, or NOT_JUDGED.
        absent: (D, K) misses that are no wrong places but none at all.
    """

    partners: IndexArray
    false: BoolArray
    missed: BoolArray
    kinds: npt.NDArray[np.int8]
    absent: BoolArray


def diagnose(data: DataSet, found: Sequence[Detections]) -> list[ImageErrors]:
    """Judge the best people of every image."""
    return [_judged(image, people, data) for image, people in zip(data.images, found, strict=True)]


def counted(errors: Sequence[ImageErrors], keypoints: int) -> LongArray:
    """(K, 5) how often each of KINDS is at each keypoint."""
    kinds = np.concatenate([np.zeros((0, keypoints), np.int8), *(image.kinds for image in errors)])
    return np.stack([(kinds == kind).sum(axis=0) for kind in range(len(KINDS))], axis=1)


def corrected(data: DataSet, found: Sequence[Detections], errors: Sequence[ImageErrors], kind: int) -> list[Detections]:
    """Those found, with every keypoint of one kind moved to its label."""
    return [_corrected(*each, kind) for each in zip(data.images, found, errors, strict=True)]


def without_false(found: Sequence[Detections], errors: Sequence[ImageErrors]) -> list[Detections]:
    """Those found, without false people."""
    return [people[: len(image.false)][~image.false] for people, image in zip(found, errors, strict=True)]


def _judged(image: LabelledImage, people: Detections, data: DataSet) -> ImageErrors:
    people, sigmas = people[:MOST_PEOPLE], np.array(data.skeleton.sigmas)
    likeness = oks(people, image, sigmas)
    partners = matched(np.where(image.ignored, -1, likeness), LEAST_OKS)
    ignored = (likeness[:, image.ignored] >= IGNORED_OKS).any(axis=1)
    false = (partners == NOBODY) & ~ignored & data.complete
    missed = ~image.ignored & ~np.isin(np.arange(len(image)), partners)
    kinds = _kinds(image, people, partners, data.skeleton)
    return ImageErrors(partners, false, missed, kinds, (kinds == MISS) & ~people.present)


def _kinds(image: LabelledImage, people: Detections, partners: IndexArray, skeleton: Skeleton) -> npt.NDArray[np.int8]:
    """(D, K); section 3.1 of the paper. What could be inversion or swap, is what it is nearer to."""
    kinds = np.full(people.keypoints.shape[:2], NOT_JUDGED, np.int8)
    mirror = list(skeleton.flip_order)
    same, mirrored = (_near(people, image, skeleton, order) for order in (list(range(len(skeleton))), mirror))
    mirrored[:, :, [k == other for k, other in enumerate(mirror)]] = 0
    for d in np.flatnonzero(partners != NOBODY):
        n = partners[d]
        own, inverted = same[d, n], mirrored[d, n]
        others = np.delete(np.maximum(same[d], mirrored[d]), n, axis=0).max(axis=0, initial=0)
        wrong = np.where(np.maximum(inverted, others) < NEAR, MISS, np.where(inverted >= others, INVERSION, SWAP))
        judged = np.where(own >= EXACT, GOOD, np.where(own >= NEAR, JITTER, wrong))
        kinds[d] = np.where(image.labelled[n], judged, NOT_JUDGED)
    return kinds


def _near(people: Detections, image: LabelledImage, skeleton: Skeleton, order: list[int]) -> DoubleArray:
    """(D, N, K) similarity of each keypoint found to the labelled one that ``order`` names; absent ones have 0."""
    offsets = people.keypoints[:, None] - image.keypoints[None][:, :, order]
    both = people.present[:, None] & image.labelled[None][:, :, order]
    squared = np.where(both, (offsets**2).sum(axis=3), np.inf)
    return keypoint_similarity(squared, image.areas[None, :, None], np.array(skeleton.sigmas)[order])


def _corrected(image: LabelledImage, people: Detections, errors: ImageErrors, kind: int) -> Detections:
    keypoints = people.keypoints.copy()
    for d, n in enumerate(errors.partners):
        wrong = errors.kinds[d] == kind
        keypoints[d, wrong] = image.keypoints[n, wrong]
    return people.with_keypoints(keypoints)
