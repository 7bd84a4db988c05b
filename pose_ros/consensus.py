"""Combine the estimates of several views of one image: mirrored, at several sizes, and by several models.

This is slower and more accurate than one estimate. It makes training labels, and it is the flip and multi-scale test
of evaluation. It combines people, so the models may differ in grouping and skeleton.

References:
    Cao et al., OpenPose, arXiv:1812.08008, section 5 (averaging over scales and mirrored images).
    Radosavovic et al., Data Distillation: Towards Omni-Supervised Learning, arXiv:1712.04440 (labels out of the answers
    to several views of an image).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pose_ros.arrays import Image
from pose_ros.estimator import PoseEstimator
from pose_ros.people import People
from pose_ros.refinement import Refiner
from pose_ros.skeleton import Skeleton, map_keypoints
from pose_ros.view_merging import consensus, drop_duplicates


class Views:
    """Several estimators and views of each image. As thread-safe as the estimators.

    Attributes:
        skeleton: Skeleton of the result.
    """

    def __init__(
        self,
        estimators: Sequence[PoseEstimator],
        skeleton: Skeleton | None = None,
        short_sides: Sequence[int] = (),
        flip: bool = True,
        refine_with: PoseEstimator | None = None,
    ) -> None:
        """Prepare the views.

        Args:
            estimators: Estimators to combine.
            skeleton: Skeleton of the result. Default: that of the first estimator.
            short_sides: Shorter sides of the network input, px. Empty = the configured size of each estimator.
            flip: Whether to process the mirrored image, too.
            refine_with: Network for one person, which sees the crop of each person of the views. None = no second
                stage.

        Raises:
            ValueError: If the network of the second stage is not for one person.
        """
        self.skeleton = skeleton or estimators[0].skeleton
        self._refiner = None if refine_with is None else Refiner(refine_with, self.skeleton)
        self._flips = (False, True) if flip else (False,)
        self._estimators = [view for estimator in estimators for view in _with_sizes(estimator, short_sides)]

    def estimate(self, image_bgr: Image) -> People:
        """Find the people that the views agree on.

        A score is the mean over all views. A view that does not find the keypoint or the person counts 0. After the
        second stage, a person's score is the geometric mean of the views' score and the mean score of the keypoints,
        and people that have become equal are one.

        Args:
            image_bgr: (H, W, 3) uint8. Not modified.
        """
        answers = [self._estimate_view(view, image_bgr, flip) for view in self._estimators for flip in self._flips]
        people = consensus(answers, self.skeleton)
        if self._refiner is None:
            return people
        refined = self._refiner.refine(image_bgr, people)
        scores = np.sqrt(refined.person_scores * refined.scores.mean(axis=1))
        return drop_duplicates(People(refined.keypoints, refined.scores, scores), self.skeleton)

    def _estimate_view(self, estimator: PoseEstimator, image_bgr: Image, flip: bool) -> People:
        image = np.ascontiguousarray(image_bgr[:, ::-1]) if flip else image_bgr
        people, skeleton = estimator.estimate(image), estimator.skeleton
        if flip:
            people = flip_people(people, skeleton, image_bgr.shape[1])
        keypoints, scores = map_keypoints(people.keypoints, people.scores, skeleton, self.skeleton)
        return People(keypoints, scores, people.person_scores)


def flip_people(people: People, skeleton: Skeleton, width: int) -> People:
    """Mirror people about the vertical axis of the image, and exchange left and right keypoints.

    Args:
        people: People in an image, px.
        skeleton: Keypoints of the people.
        width: Width of the image, px.
    """
    order = list(skeleton.flip_order)
    keypoints, scores = people.keypoints[:, order].copy(), people.scores[:, order]
    keypoints[..., 0] = np.where(scores > 0, width - 1 - keypoints[..., 0], 0)
    return People(keypoints, scores, people.person_scores, people.ids)


def with_short_side(estimator: PoseEstimator, short_side: int) -> PoseEstimator:
    """Make an estimator of the same network with another input size. Closing one estimator closes both.

    Args:
        estimator: The estimator.
        short_side: Shorter side of the network input, px.
    """
    config = estimator.config
    preprocess = replace(config.preprocess, short_side=short_side, scales=(0,), scale_order="together")
    config = replace(config, preprocess=preprocess)
    parts = estimator.runner, estimator.spec, config, estimator.grouping, estimator.model_name
    return PoseEstimator(*parts, estimator.notify)


def _with_sizes(estimator: PoseEstimator, short_sides: Sequence[int]) -> list[PoseEstimator]:
    return [with_short_side(estimator, short_side) for short_side in short_sides] or [estimator]
