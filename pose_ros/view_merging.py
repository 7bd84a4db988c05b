"""Merge the people that several views find in one image: several input sizes, mirrored images, several models.

References:
    Radosavovic et al., Data Distillation: Towards Omni-Supervised Learning, arXiv:1712.04440 (labels out of the answers
    to several views of an image).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray
from pose_ros.decoder.duplicates import find_distinct
from pose_ros.people import People
from pose_ros.similarity import keypoint_similarity
from pose_ros.skeleton import BOX_FILL, Skeleton

SAME_OKS = 0.35
"""Lowest OKS of two detections of the same person, over the keypoints that both have."""
DUPLICATE_OKS = 0.5
"""OKS above which two people of the second stage are one. Crops of parts of a person show that person."""


def consensus(answers: Sequence[People], skeleton: Skeleton) -> People:
    """Merge the people that several views find in one image.

    A keypoint starts at the candidate with the most support. It is the mean of the views' positions, weighted by score
    and by the OKS term of the distance from that candidate. Its score is the sum of these weights over the number of
    views.

    Args:
        answers: The people of each view, in the same pixels and skeleton.
        skeleton: Skeleton of `answers`.

    Returns:
        The people, sorted by score, the best first.
    """
    sigmas = np.array(skeleton.sigmas)
    groups = [_merge_group(group, sigmas, len(answers)) for group in _group_people(answers, sigmas)]
    if not groups:
        return People.empty(len(skeleton))
    keypoints, scores, person_scores = (np.stack(arrays) for arrays in zip(*groups, strict=True))
    order = np.argsort(-person_scores, kind="stable")
    return People(keypoints[order], scores[order], person_scores[order])


def drop_duplicates(people: People, skeleton: Skeleton) -> People:
    """Drop each person that is like a better one (OKS above DUPLICATE_OKS). Returns the others, the best first."""
    people = people[np.argsort(-people.person_scores, kind="stable")]
    return people[find_distinct(people.keypoints, people.scores, np.array(skeleton.sigmas), DUPLICATE_OKS)]


def _group_people(answers: Sequence[People], sigmas: DoubleArray) -> list[list[People]]:
    """Group the detections of each person, at most one per view. The best detections collect the others."""
    rest = [(view, person) for view, people in enumerate(answers) for person in people]
    rest.sort(key=lambda entry: -float(entry[1].person_scores[0]))
    groups = []
    while rest:
        view, seed = rest.pop(0)
        group, views = [seed], {view}
        ranking = sorted(((-_similarity(seed, person, sigmas), i) for i, (_, person) in enumerate(rest)))
        used = set()
        for negative_oks, i in ranking:
            if -negative_oks >= SAME_OKS and rest[i][0] not in views:
                group.append(rest[i][1])
                views.add(rest[i][0])
                used.add(i)
        rest = [entry for i, entry in enumerate(rest) if i not in used]
        groups.append(group)
    return groups


def _similarity(a: People, b: People, sigmas: DoubleArray) -> float:
    """Return the OKS over the keypoints that both people have. 0 if they share fewer than two."""
    both = (a.visible & b.visible)[0]
    if both.sum() < 2:
        return 0.0
    squared = ((a.keypoints - b.keypoints)[0, both] ** 2).sum(axis=1)
    return float(keypoint_similarity(squared, max(_area(a), _area(b)), sigmas[both]).mean())


def _area(person: People) -> float:
    x_min, y_min, x_max, y_max = person.boxes()[0]
    width, height = x_max - x_min, y_max - y_min
    return max(BOX_FILL * width * height, 0.1 * max(width, height) ** 2, 64.0)


def _merge_group(group: Sequence[People], sigmas: DoubleArray, views: int) -> tuple[FloatArray, FloatArray, np.float32]:
    """Return keypoints (K, 2), scores (K,) and person score of one person."""
    keypoints = np.concatenate([person.keypoints for person in group])
    scores = np.concatenate([person.scores for person in group])
    area = float(np.median([_area(person) for person in group]))
    squared = ((keypoints[:, None] - keypoints[None]) ** 2).sum(axis=-1)
    votes = keypoint_similarity(squared, area, sigmas) * scores[None] * (scores > 0)[:, None]  # (candidate, voter, K)
    support = votes.sum(axis=1)
    best = support.argmax(axis=0), np.arange(keypoints.shape[1])
    weights = votes[best[0], :, best[1]].T  # (voter, K)
    total = weights.sum(axis=0)
    merged = (weights[..., None] * keypoints).sum(axis=0) / np.maximum(total, 1e-12)[:, None]
    person_score = sum(float(person.person_scores[0]) for person in group) / views
    return merged.astype(np.float32), (total / views).astype(np.float32), np.float32(person_score)
