"""Take keypoints from the centre of a person where they are more certain, if the network also predicts centres.

Part affinity fields and tags join peaks. A keypoint that is partly hidden may have a weak peak, or none that they can
join, and they may join the peak of the other side or of somebody else. The centre of the person predicts where the
keypoint should be, and its heatmap confirms it. Of the two candidates, the one with the higher value is used. A peak
far away from the other candidate is somebody else's, whatever its value.

References:
    Votel and Li, Next-Generation Pose Detection with MoveNet and TensorFlow.js, TensorFlow Blog, 2021 (prediction from
    the centre, confirmed by the heatmap).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, DoubleArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder.centernet import CenterNetDecoder
from pose_ros.decoder.duplicates import MIN_AREA, find_distinct
from pose_ros.fields import Fields, ModelSpec
from pose_ros.people import People
from pose_ros.similarity import keypoint_similarity
from pose_ros.skeleton import BOX_FILL

SAME_OKS = 0.5
"""Lowest OKS of a person and the person of a centre, over the keypoints that both have."""
SHARED = 2
"""Fewest keypoints that both have."""
VALUE_SHARE = 0.4
"""Lowest value of a keypoint of a centre, relative to ``score_threshold``. Two predictions agree on it, so it may be
lower than that of a peak."""
FAR = 0.25
"""Distance of the candidates beyond which the peak is somebody else's, relative to the longer side of the person."""


class CentreKeypoints:
    """Combination of people and the keypoints of their centres. Immutable and thread-safe.

    Args:
        spec: Description of a model with centres.
        config: Settings of the decoder.
    """

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec, self._sigmas = spec, np.array(spec.skeleton.sigmas)
        self._least, self._duplicate_oks = VALUE_SHARE * config.score_threshold, config.duplicate_oks
        self._decoder = CenterNetDecoder(
            spec, replace(config, min_keypoints=1, min_person_score=0.0, half_cell=False), only_snapped=True
        )

    def improve(self, people: People, fields: Fields) -> People:
        """Return the people, in the same order, with the more certain keypoints.

        The scores of the people stay as they are. A fragment of a person that becomes like a better person is dropped.

        Args:
            people: People in network-input pixels.
            fields: Fields of a CenterNet grouping.

        Raises:
            ValueError: If a field is missing or of the wrong shape.
        """
        if len(people) == 0 or fields.heatmaps is None:
            return people
        centres = self._decoder(fields)
        if len(centres) == 0:
            return people
        similarity = self._similarity(people, centres)
        chosen = similarity.argmax(axis=1)
        usable = self._usable(centres, fields.heatmaps.shape[1:])[chosen]
        is_same = similarity.max(axis=1) > SAME_OKS
        extents = centres.boxes()[chosen].reshape(-1, 2, 2)
        far = FAR * (extents[:, 1] - extents[:, 0]).max(axis=1, keepdims=True)
        is_wrong = np.linalg.norm(people.keypoints - centres.keypoints[chosen], axis=2) > far
        better = is_same[:, None] & usable & ((centres.scores[chosen] > people.scores) | is_wrong)
        keypoints = np.where(better[..., None], centres.keypoints[chosen], people.keypoints)
        scores = np.where(better, centres.scores[chosen], people.scores)
        distinct = find_distinct(keypoints, scores, self._sigmas, self._duplicate_oks)
        return People(keypoints[distinct], scores[distinct], people.person_scores[distinct])

    def _similarity(self, people: People, centres: People) -> DoubleArray:
        """Return the OKS (N, M) of people and the people of centres."""
        both = people.visible[:, None] & centres.visible
        areas = np.maximum(_areas(people)[:, None], _areas(centres))[..., None]
        squared = ((people.keypoints[:, None] - centres.keypoints) ** 2).sum(axis=3)
        terms = np.where(both, keypoint_similarity(squared, areas, self._sigmas), 0)
        shared = both.sum(axis=2)
        return np.where(shared >= SHARED, terms.sum(axis=2) / np.maximum(shared, 1), 0.0)

    def _usable(self, centres: People, shape_hw: tuple[int, ...]) -> BoolArray:
        """Return which keypoints (M, K) have a value that suffices, and lie on the map."""
        low = self._spec.origin - 0.5 * self._spec.stride
        high = low + self._spec.stride * np.array(shape_hw[::-1])
        inside = ((centres.keypoints >= low) & (centres.keypoints <= high)).all(axis=2)
        return np.asarray(inside & (centres.scores > self._least))


def _areas(people: People) -> AnyArray:
    boxes = people.boxes()
    return np.maximum(BOX_FILL * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), MIN_AREA)
