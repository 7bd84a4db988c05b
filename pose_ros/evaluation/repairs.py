"""Measure what a refinement network repairs in poses with known errors, and what it spoils.

References:
    Moon et al., PoseFix, arXiv:1812.03595, section 6 (the change of each kind of error).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import IntArray, LongArray
from pose_ros.datasets.crops import list_people, make_wrong_pose
from pose_ros.datasets.pose_errors import GOOD, JITTER, KINDS, ErrorRates
from pose_ros.datasets.sample import Sample
from pose_ros.evaluation.data_sets import data_of
from pose_ros.evaluation.detections import Detections
from pose_ros.evaluation.errors import classify_keypoints
from pose_ros.people import People
from pose_ros.refinement.merging import merge_keypoints
from pose_ros.refinement.refiner import Refiner
from pose_ros.skeleton import Skeleton

SCORE = 0.5
"""Score of every keypoint of the wrong poses."""


@dataclass(frozen=True)
class Repairs:
    """Kinds of the keypoints before and after a refinement.

    Attributes:
        counts: (5, 5), number of keypoints of each kind before (row) and after (column). See KINDS.
    """

    counts: LongArray

    def __add__(self, other: Repairs) -> Repairs:
        return Repairs(self.counts + other.counts)

    def repaired(self, kind: int) -> float:
        """Return the fraction of the errors of a kind that are near their keypoint afterwards. NaN if there are none.

        A jitter counts as repaired if it becomes good.
        """
        row = self.counts[kind]
        return float(row[[GOOD] if kind == JITTER else [GOOD, JITTER]].sum() / row.sum()) if row.sum() else np.nan

    @property
    def spoiled(self) -> float:
        """Fraction of the good keypoints that are not near their keypoint afterwards. NaN if there are none."""
        row = self.counts[GOOD]
        return float(1 - row[[GOOD, JITTER]].sum() / row.sum()) if row.sum() else np.nan


@dataclass(frozen=True)
class WrongPeople:
    """Wrong poses of the people of an image.

    Attributes:
        people: The M people, with the wrong keypoints.
        kinds: (M, K) index into KINDS, or NOT_JUDGED.
        partners: (M,) index of each in the labels.
    """

    people: People
    kinds: IntArray
    partners: LongArray


def make_wrong_people(
    sample: Sample, rates: ErrorRates, skeleton: Skeleton, fewest: int, rng: np.random.Generator
) -> WrongPeople:
    """Make a wrong pose of each person with at least ``fewest`` labelled keypoints."""
    chosen = list_people(sample, fewest)
    poses = [make_wrong_pose(sample, int(n), rates, skeleton, rng) for n in chosen]
    count = len(skeleton)
    keypoints = np.array([pose.keypoints for pose in poses], np.float32).reshape(-1, count, 2)
    scores = SCORE * np.array([pose.present for pose in poses], np.float32).reshape(-1, count)
    kinds = np.array([pose.kinds for pose in poses], np.int32).reshape(-1, count)
    return WrongPeople(People(keypoints, scores, np.full(len(poses), SCORE, np.float32)), kinds, chosen)


def refine_all(refiner: Refiner, sample: Sample, people: People, merged: bool) -> People:
    """Refine all people, in the same order.

    Args:
        refiner: The second network.
        sample: Sample with the image.
        people: People in its pixels, each with a keypoint.
        merged: Whether keypoints are merged by the rules of the refinement. Otherwise every keypoint that the second
            network finds is taken.
    """
    if len(people) == 0 or not merged:
        return refiner.refine(sample.image_bgr, people)
    chosen = np.arange(len(people))
    new = refiner.estimate(sample.image_bgr, people, chosen)
    keypoints, scores, _ = merge_keypoints(people, chosen, *new, np.array(refiner.skeleton.sigmas))
    return People(keypoints, scores, people.person_scores)


def count_repairs(sample: Sample, wrong: WrongPeople, refined: People, skeleton: Skeleton) -> Repairs:
    """Compare the kinds of the keypoints of the wrong poses with those after the refinement."""
    image = data_of([sample], skeleton).images[0]
    places = np.where(refined.visible[..., None], refined.keypoints, 0).astype(float)
    detections = Detections(places, np.ones(len(places)), np.ones(len(places)))
    after = classify_keypoints(image, detections, wrong.partners, skeleton)
    judged, size = (wrong.kinds >= 0) & (after >= 0), len(KINDS)
    pairs = size * wrong.kinds[judged] + after[judged]
    return Repairs(np.bincount(pairs, minlength=size**2).reshape(size, size))


def measure_repairs(
    refiner: Refiner, samples: Sequence[Sample], rates: ErrorRates, fewest: int = 5, merged: bool = True, seed: int = 0
) -> Repairs:
    """Measure the repairs of the people of samples.

    Args:
        refiner: The second network.
        samples: Whole images with labelled people, on the skeleton of the refiner.
        rates: Frequencies of the errors.
        fewest: Fewest labelled keypoints of a person.
        merged: See ``refine_all``.
        seed: Seed of the errors.
    """
    total = Repairs(np.zeros((len(KINDS), len(KINDS)), np.int64))
    for index in range(len(samples)):
        sample, rng = samples[index], np.random.default_rng([seed, index])
        wrong = make_wrong_people(sample, rates, refiner.skeleton, fewest, rng)
        refined = refine_all(refiner, sample, wrong.people, merged)
        total += count_repairs(sample, wrong, refined, refiner.skeleton)
    return total
