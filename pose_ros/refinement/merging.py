"""Merge the keypoints of people with those that a second network finds in their crops.

A crop may also show other people, so that the second network may find a keypoint of the wrong person. Three rules
prevent that, each measured on 143 images of COCO:

- A keypoint is taken if TRUST times its score, times a Gaussian of its distance from the first one, reaches the score
  of the first one. An absent keypoint has score 0, so any is taken.
- A keypoint is not taken if it lies nearer to the same keypoint of another person than to that of its own.
- Nothing is taken if the mean of a wide Gaussian over the keypoints of the person is below MIN_AGREEMENT: then the
  second network has seen another person.

References:
    COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval (the Gaussians of OKS).
    Papandreou et al., Towards Accurate Multi-person Pose Estimation in the Wild, arXiv:1701.01779 (two stages).
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, FloatArray, IndexArray
from pose_ros.people import People
from pose_ros.similarity import keypoint_similarity
from pose_ros.skeleton import BOX_FILL

TRUST = 2.0
"""Weight of the score of the second network, relative to the first."""
PRIOR_WIDTH = 4.0
"""Standard deviation of the Gaussian around a keypoint of the first network, in those of OKS."""
AGREEMENT_WIDTH = 3.0
"""Standard deviation of the Gaussian of the agreement, in those of OKS."""
MIN_AGREEMENT = 0.3
"""Lowest agreement of the two networks on a person."""
TAKEN_OKS = 0.3
"""OKS term from which a place belongs to the keypoint of another person."""
MIN_SIZE = 8.0
"""Smallest size of a person, px."""


def merge_keypoints(
    people: People, chosen: IndexArray, new_keypoints: FloatArray, new_scores: FloatArray, sigmas: DoubleArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Merge the keypoints of some people with new ones.

    Args:
        people: The N people of an image.
        chosen: (M,) indices of the people who have new keypoints.
        new_keypoints: (M, K, 2), pixels.
        new_scores: (M, K), 0 = not found.
        sigmas: (K,) OKS constants.

    Returns:
        Keypoints (M, K, 2), their scores (M, K), and the agreement (M,) of the two networks on each person, 0 to 1.
    """
    keypoints, scores = people.keypoints[chosen], people.scores[chosen]
    areas = _areas(people)
    squared = ((new_keypoints - keypoints).astype(np.float64) ** 2).sum(axis=2)
    own_areas = areas[chosen, None]
    prior = keypoint_similarity(squared, own_areas * PRIOR_WIDTH**2, sigmas)
    agreement = _mean_where(
        keypoint_similarity(squared, own_areas * AGREEMENT_WIDTH**2, sigmas), (scores > 0) & (new_scores > 0)
    )
    is_surer = np.where(scores > 0, TRUST * prior * new_scores >= scores, True)
    belongs_to_other = _find_taken(people, chosen, new_keypoints, areas, sigmas)
    taken = (new_scores > 0) & is_surer & ~belongs_to_other & (agreement >= MIN_AGREEMENT)[:, None]
    merged = np.where(taken[..., None], new_keypoints, keypoints).astype(np.float32)
    return merged, np.where(taken, new_scores, scores).astype(np.float32), agreement.astype(np.float32)


def _areas(people: People) -> DoubleArray:
    """Return the area (N,) of each person, px². Of a thin box, it is that of a slim person of the same length."""
    boxes = people.boxes().astype(np.float64)
    extents = boxes[:, 2:] - boxes[:, :2]
    slim = 0.1 * extents.max(axis=1, initial=0.0) ** 2
    return np.asarray(np.maximum(np.maximum(BOX_FILL * extents.prod(axis=1), slim), MIN_SIZE**2))


def _mean_where(values: DoubleArray, valid: BoolArray) -> DoubleArray:
    """Return the mean (M,) over the valid values (M, K) of each row. 0 if a row has none."""
    return np.asarray((values * valid).sum(axis=1) / np.maximum(valid.sum(axis=1), 1))


def _find_taken(
    people: People, chosen: IndexArray, new_keypoints: FloatArray, areas: DoubleArray, sigmas: DoubleArray
) -> BoolArray:
    """Return whether each new keypoint (M, K) lies at that of another person, and farther from that of its own."""
    squared = ((new_keypoints[:, None] - people.keypoints[None]).astype(np.float64) ** 2).sum(axis=3)
    similarity = keypoint_similarity(squared, areas[None, :, None], sigmas) * people.visible[None]
    rows = np.arange(len(chosen))
    own = similarity[rows, chosen].copy()
    similarity[rows, chosen] = 0
    other = similarity.max(axis=1, initial=0)
    return np.asarray((other > own) & (other > TAKEN_OKS))
