"""One answer out of several: a picture seen mirrored, at several sizes, and by several models.

Slower than one look and better; for labels that teach a network, and as the flip and multi-scale test of evaluation.
Answers are people, so models of different groupings and skeletons can be asked together.

References:
    Cao et al., OpenPose, arXiv:1812.08008, section 5 (averaging over scales and mirrored images).
    Radosavovic et al., Data Distillation: Towards Omni-Supervised Learning, arXiv:1712.04440 (labels out of the answers
    to several views of an image).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray, Image
from pose_ros.estimator import PoseEstimator
from pose_ros.people import People
from pose_ros.similarity import keypoint_similarity
from pose_ros.skeleton import BOX_FILL, Skeleton, map_keypoints

SAME_OKS = 0.35
"""Two answers at least so alike, over the keypoints that both have, are the same person."""


class Views:
    """Asks estimators several times about each image. As safe in threads as they are.

    Attributes:
        skeleton: Of the answer.
    """

    def __init__(
        self,
        estimators: Sequence[PoseEstimator],
        skeleton: Skeleton | None = None,
        short_sides: Sequence[int] = (),
        flip: bool = True,
    ) -> None:
        """Prepare the views.

        Args:
            estimators: Whom to ask.
            skeleton: Of the answer; by default that of the first one.
            short_sides: Shorter sides of the network input, px; empty takes each one's own.
            flip: Ask about the mirrored image, too.
        """
        self.skeleton = skeleton or estimators[0].skeleton
        self._flips = (False, True) if flip else (False,)
        self._estimators = [sized for one in estimators for sized in _at_sizes(one, short_sides)]

    def estimate(self, image_bgr: Image) -> People:
        """The people that the views agree on; a score is the mean over all views, 0 where one has not seen it."""
        answers = [self._ask(one, image_bgr, flip) for one in self._estimators for flip in self._flips]
        return consensus(answers, self.skeleton)

    def _ask(self, estimator: PoseEstimator, image_bgr: Image, flip: bool) -> People:
        seen = np.ascontiguousarray(image_bgr[:, ::-1]) if flip else image_bgr
        people, skeleton = estimator.estimate(seen), estimator.skeleton
        if flip:
            people = flip_people(people, skeleton, image_bgr.shape[1])
        keypoints, scores = map_keypoints(people.keypoints, people.scores, skeleton, self.skeleton)
        return People(keypoints, scores, people.person_scores)


def flip_people(people: People, skeleton: Skeleton, width: int) -> People:
    """The people of a mirrored image, left and right exchanged.

    Args:
        people: The people.
        skeleton: Their keypoints.
        width: Of the image, px.
    """
    order = list(skeleton.flip_order)
    keypoints, scores = people.keypoints[:, order].copy(), people.scores[:, order]
    keypoints[..., 0] = np.where(scores > 0, width - 1 - keypoints[..., 0], 0)
    return People(keypoints, scores, people.person_scores, people.ids)


def consensus(answers: Sequence[People], skeleton: Skeleton) -> People:
    """Merge what several views say of one image.

    Each keypoint lies where the scores gather most: answers count by their score and by how near they are to it, in the
    measure of OKS, and so does its score, on average over the answers.

    Args:
        answers: The people of each view, in the same pixels and skeleton.
        skeleton: Theirs.

    Returns:
        The people, the best first.
    """
    sigmas = np.array(skeleton.sigmas)
    groups = [_merged(group, sigmas, len(answers)) for group in _groups(answers, sigmas)]
    if not groups:
        return People.empty(len(skeleton))
    keypoints, scores, person_scores = (np.stack(part) for part in zip(*groups, strict=True))
    order = np.argsort(-person_scores, kind="stable")
    return People(keypoints[order], scores[order], person_scores[order])


def _at_sizes(estimator: PoseEstimator, short_sides: Sequence[int]) -> list[PoseEstimator]:
    return [_at_size(estimator, short_side) for short_side in short_sides] or [estimator]


def _at_size(estimator: PoseEstimator, short_side: int) -> PoseEstimator:
    """The same network at another size."""
    config = estimator.config
    config = replace(config, preprocess=replace(config.preprocess, short_side=short_side))
    return PoseEstimator(estimator.runner, estimator.spec, config, estimator.grouping, estimator.model_name)


def _groups(answers: Sequence[People], sigmas: DoubleArray) -> list[list[People]]:
    """The answers about each person, at most one per view; the surest answers gather the others."""
    rest = [(view, person) for view, people in enumerate(answers) for person in people]
    rest.sort(key=lambda entry: -float(entry[1].person_scores[0]))
    groups = []
    while rest:
        view, seed = rest.pop(0)
        group, seen = [seed], {view}
        likeness = sorted(((-_likeness(seed, one, sigmas), i) for i, (_, one) in enumerate(rest)))
        taken = set()
        for unlike, i in likeness:
            if -unlike >= SAME_OKS and rest[i][0] not in seen:
                group.append(rest[i][1])
                seen.add(rest[i][0])
                taken.add(i)
        rest = [entry for i, entry in enumerate(rest) if i not in taken]
        groups.append(group)
    return groups


def _likeness(a: People, b: People, sigmas: DoubleArray) -> float:
    """OKS over the keypoints that both have; 0 if they share fewer than two."""
    both = (a.visible & b.visible)[0]
    if both.sum() < 2:
        return 0.0
    squared = ((a.keypoints - b.keypoints)[0, both] ** 2).sum(axis=1)
    return float(keypoint_similarity(squared, max(_area(a), _area(b)), sigmas[both]).mean())


def _area(person: People) -> float:
    x_min, y_min, x_max, y_max = person.boxes()[0]
    width, height = x_max - x_min, y_max - y_min
    return max(BOX_FILL * width * height, 0.1 * max(width, height) ** 2, 64.0)


def _merged(group: Sequence[People], sigmas: DoubleArray, views: int) -> tuple[FloatArray, FloatArray, np.float32]:
    """Keypoints (K, 2), scores (K,) and person score of one person."""
    keypoints = np.concatenate([person.keypoints for person in group])
    scores = np.concatenate([person.scores for person in group])
    area = float(np.median([_area(person) for person in group]))
    squared = ((keypoints[:, None] - keypoints[None]) ** 2).sum(axis=-1)
    votes = keypoint_similarity(squared, area, sigmas) * scores[None] * (scores > 0)[:, None]  # (place, voter, K)
    support = votes.sum(axis=1)
    best = support.argmax(axis=0), np.arange(keypoints.shape[1])
    weights = votes[best[0], :, best[1]].T  # (voter, K)
    total = weights.sum(axis=0)
    merged = (weights[..., None] * keypoints).sum(axis=0) / np.maximum(total, 1e-12)[:, None]
    person_score = sum(float(person.person_scores[0]) for person in group) / views
    return merged.astype(np.float32), (total / views).astype(np.float32), np.float32(person_score)
