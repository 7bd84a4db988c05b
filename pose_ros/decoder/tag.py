"""Group keypoints by tags (associative embedding): peaks with similar tags are one person.

In addition to a heatmap, the network outputs a tag map for each keypoint. A tag is a vector that is similar within one
person and differs between people. ``tag_groups`` assigns the peaks to people. ``tag_completion`` searches for missing
keypoints. ``tag_scales`` combines several runs of the network before that.

References:
    Newell et al., Associative Embedding: End-to-End Learning for Joint Detection and Grouping, arXiv:1611.05424.
    Cheng et al., HigherHRNet: Scale-Aware Representation Learning for Bottom-Up Human Pose Estimation,
    arXiv:1908.10357.
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, FloatArray, LongArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder import can_use_centres
from pose_ros.decoder.partition import can_solve
from pose_ros.decoder.partition_tags import partition_tags
from pose_ros.decoder.peaks import Peaks, find_keypoint_peaks, make_refinement
from pose_ros.decoder.tag_completion import complete
from pose_ros.decoder.tag_groups import group_peaks
from pose_ros.decoder.with_centres import CentreKeypoints
from pose_ros.fields import Fields, ModelSpec, field_array
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

TORSO_FIRST = (
    *("neck", "thorax", "pelvis", "shoulder", "hip", "nose", "head_top"),
    *("elbow", "knee", "wrist", "ankle", "eye", "ear"),
)
"""Keypoint names without side, in the order of grouping."""


class TagDecoder:
    """Decoder of tags. Immutable and thread-safe."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config
        self._centres = CentreKeypoints(spec, config) if can_use_centres(spec, config) else None
        self._is_partition = config.matching == "partition" and can_solve()
        self._order = np.array(keypoint_order(spec.skeleton), np.int64)

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        Args:
            fields: ``heatmaps`` and ``tags`` (K D, H, W), any real type and memory layout. Optional:
                ``heatmap_offsets``, and the fields of centres, which add keypoints.

        Returns:
            The people in network-input pixels, sorted by score, the best first.

        Raises:
            ValueError: If a field is missing or of the wrong shape.
        """
        config = self._config
        heatmaps, peaks = find_keypoint_peaks(fields, len(self._order), config)
        tags = _check_tags(fields.tags, len(self._order), heatmaps.shape[1:])
        members, person_tags = group_peaks(
            tags, peaks.xy, peaks.scores, peaks.counts, self._order, config.tag_threshold, config.tag_spatial
        )
        if self._is_partition:
            limits = config.tag_threshold, config.partition_ms
            members, person_tags = partition_tags(tags, peaks, members, person_tags, *limits)
        keypoints, scores, person_scores, kept = self._select_best(peaks, members)
        if config.complete:
            refinement = make_refinement(fields, heatmaps, config)
            complete(heatmaps, tags, person_tags[kept], keypoints, scores, config.tag_threshold / 2, refinement)
        keypoints = keypoints * np.float32(self._spec.stride) + np.float32(self._spec.origin)
        people = People(np.where(scores[..., None] > 0, keypoints, 0), scores, person_scores)
        return people if self._centres is None or fields.centres is None else self._centres.improve(people, fields)

    def _select_best(self, peaks: Peaks, members: LongArray) -> tuple[FloatArray, FloatArray, FloatArray, LongArray]:
        """Return keypoints in cells, scores, person scores and indices of the likely people, the best first."""
        config = self._config
        present = members >= 0
        columns = np.arange(members.shape[1])
        scores = np.where(present, peaks.scores[columns, members], 0)
        person_scores = _person_scores(scores, present)
        order = np.argsort(-person_scores, kind="stable")
        keep = (present.sum(axis=1) >= config.min_keypoints) & (person_scores >= config.min_person_score)
        kept = order[keep[order]][: config.most_people]
        return peaks.xy[columns, members[kept]], scores[kept], person_scores[kept], kept


def keypoint_order(skeleton: Skeleton) -> tuple[int, ...]:
    """Return the keypoints in the order of grouping.

    The keypoints that are visible best and most often come first, unknown names last.
    """
    names = [name.removeprefix("left_").removeprefix("right_") for name in skeleton.keypoint_names]
    ranks = [TORSO_FIRST.index(name) if name in TORSO_FIRST else len(TORSO_FIRST) for name in names]
    return tuple(sorted(range(len(names)), key=lambda k: ranks[k]))


def _check_tags(tags: AnyArray | None, keypoint_count: int, shape_hw: tuple[int, ...]) -> FloatArray:
    """Return the tags as C-contiguous float32, after checking them against the heatmaps."""
    channels = keypoint_count if tags is None else len(np.atleast_1d(tags))
    if tags is not None and (channels == 0 or channels % keypoint_count):
        raise ValueError(f"tags: expected (K D, H, W) with K {keypoint_count}, got {np.shape(tags)}")
    array = field_array("tags", tags, channels)
    if array.shape[1:] != shape_hw:
        raise ValueError(f"tags: expected the grid of the heatmaps, {shape_hw}, got {array.shape[1:]}")
    return array


def _person_scores(scores: FloatArray, present: BoolArray) -> FloatArray:
    """Return the confidence of each person: the geometric mean of two mean scores.

    The first mean is over all keypoints. It alone would rate a single certain keypoint close to 0. The second mean is
    over the present keypoints. It alone would rate that keypoint better than a whole person.
    """
    total = scores.sum(axis=1)
    return np.minimum(total / np.sqrt(scores.shape[1] * np.maximum(present.sum(axis=1), 1)), 1).astype(np.float32)
