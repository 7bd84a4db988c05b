"""Group peaks by tags with ``partition``: the costs of all pairs of peaks count, instead of one keypoint after another.

The probability that two peaks belong to one person is a logistic function of their tag distance. It is fitted to the
default model on 188 images of COCO train2017. Peaks that the program leaves out complete the people afterwards.

References:
    Pishchulin et al., DeepCut: Joint Subset Partition and Labeling for Multi Person Pose Estimation, arXiv:1511.06645,
    section 2 (log-odds costs).
    Newell et al., Associative Embedding, arXiv:1611.05424, section 3.3 (tags, people that take the nearest peaks).
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray, LongArray
from pose_ros.decoder.partition import MAX_CANDIDATES, Hypotheses, partition
from pose_ros.decoder.partition_links import PEAK_SLOPE, UNDECIDED_PEAK
from pose_ros.decoder.peaks import Peaks

TAG_SLOPE, UNDECIDED_TAG = 4.5, 0.66
"""Fall of the log-odds of a pair with its tag distance, and the distance at odds of 1, in ``tag_threshold``."""
MAX_TAG_DISTANCE = 2.5
"""Distance, in ``tag_threshold``, above which pairs are equally unlikely."""


def partition_tags(
    tags: FloatArray, peaks: Peaks, members: LongArray, person_tags: DoubleArray, threshold: float, limit_ms: float
) -> tuple[LongArray, DoubleArray]:
    """Return the people as members (N, K), the peak of each keypoint or -1, and their tags (N, D).

    Args:
        tags: (K D, H, W).
        peaks: Peaks of the K keypoints.
        members: (N, K) people of the greedy grouping. They are returned if there are too many candidates.
        person_tags: (N, D) tags of these people.
        threshold: Tag distance below which a peak can join a person.
        limit_ms: Time limit. 0 = no limit.
    """
    person, keypoint = np.nonzero(members >= 0)
    if not 0 < len(person) <= MAX_CANDIDATES:
        return members, person_tags
    index = members[person, keypoint]
    found = _read_tags(tags, members.shape[1], keypoint, peaks.xy[keypoint, index])
    scores = peaks.scores[keypoint, index].astype(np.float64)
    distances = np.linalg.norm(found[:, None] - found, axis=2) / threshold
    # The log-odds of DeepCut's objective: log((1 - p) / p) with p = 1 / (1 + exp(slope * (distance - undecided))).
    pair_costs = TAG_SLOPE * (np.minimum(distances, MAX_TAG_DISTANCE) - UNDECIDED_TAG)
    np.fill_diagonal(pair_costs, 0)
    hypotheses = Hypotheses(keypoint, np.arange(len(person)), PEAK_SLOPE * (UNDECIDED_PEAK - scores), pair_costs)
    groups = partition(hypotheses, person, limit_ms)
    if np.array_equal(groups, person):
        return members, person_tags
    return _complete(groups, keypoint, index, scores, found, members.shape[1], threshold)


def _read_tags(tags: FloatArray, keypoint_count: int, keypoint: LongArray, xy: FloatArray) -> DoubleArray:
    """Return the tags (n, D) of the nearest cells."""
    maps = tags.reshape(keypoint_count, -1, *tags.shape[1:])
    col, row = (xy + np.float32(0.5)).astype(np.int64).T
    return maps[keypoint, :, row, col].astype(np.float64)


def _complete(
    groups: LongArray,
    keypoint: LongArray,
    index: LongArray,
    scores: DoubleArray,
    tags: DoubleArray,
    keypoint_count: int,
    threshold: float,
) -> tuple[LongArray, DoubleArray]:
    """Make members and mean tags. A peak that was left out joins the nearest person without its keypoint."""
    names, person = np.unique(groups[groups >= 0], return_inverse=True)
    selected = np.flatnonzero(groups >= 0)
    members = np.full((len(names), keypoint_count), -1)
    members[person, keypoint[selected]] = index[selected]
    means = np.zeros((len(names), tags.shape[1]))
    np.add.at(means, person, tags[selected] * scores[selected, None])
    means /= np.bincount(person, scores[selected], len(names))[:, None]
    rest = np.flatnonzero(groups < 0)
    for n in rest[np.argsort(-scores[rest], kind="stable")] if len(names) else ():
        gaps = np.where(members[:, keypoint[n]] < 0, np.linalg.norm(means - tags[n], axis=1), np.inf)
        if gaps.min() < threshold:
            members[gaps.argmin(), keypoint[n]] = index[n]
    return members, means
