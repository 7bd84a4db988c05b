"""Decode PersonLab and PoseNet: walk from keypoint to keypoint of a person along fields of offsets.

The walk starts at the most confident keypoint, and follows the edges in both directions. It places every keypoint that
it reaches, visible or not. Keypoints below the threshold are dropped at the end.

References:
    Papandreou et al., PersonLab: Person Pose Estimation and Instance Segmentation with a Bottom-Up, Part-Based,
    Geometric Embedding Model, arXiv:1803.08225.
    Papandreou et al., Towards Accurate Multi-person Pose Estimation in the Wild (G-RMI), arXiv:1701.01779.
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, FloatArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder.duplicates import find_distinct
from pose_ros.decoder.personlab_masks import instance_masks
from pose_ros.decoder.personlab_seeds import cast_votes
from pose_ros.decoder.personlab_walk import directed_edges, find_people
from pose_ros.fields import Fields, ModelSpec, field_array, heatmap_array
from pose_ros.people import People

VOTE_THRESHOLD = 0.01
"""Lowest Hough score of a seed, as in the paper. The votes of a keypoint between cells are split among four cells."""
MIN_WALKS = 10
"""The search finds at least this many people before it stops, because some are duplicates. The authors' code stops at
its limit."""
LEAST_SCORE = 1e-6
"""Lowest heatmap value of a present keypoint."""


class PersonLabDecoder:
    """Decoder that walks along short-range and mid-range offsets. Immutable and thread-safe."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config
        self._keypoint_count = len(spec.skeleton)
        self._sigmas = np.array(spec.skeleton.sigmas)
        self._edges, self._first = directed_edges(spec.limbs, self._keypoint_count)

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        ``min_keypoints`` and ``subpixel`` have no effect, because the walk places all keypoints by the offsets. The
        person score is the mean over all keypoints, where keypoints near those of a better person count 0.

        Args:
            fields: ``heatmaps``, ``short_offsets`` (2 K, H, W) and ``mid_offsets`` (4 E, H, W) for
                the E limbs of the model. For masks (``config.masks``), also ``long_offsets`` (2 K, H, W) and
                ``segmentation`` (1, H, W).
                Any real type and memory layout.

        Returns:
            The people in network-input pixels, sorted by score, the best first. Masks are present if their fields are.
            They have the grid of the fields: (N, H, W), where cell (row, col) lies at x = col stride + origin.

        Raises:
            ValueError: If a field is missing or of the wrong shape.
        """
        count, config = self._keypoint_count, self._config
        heatmaps = heatmap_array(fields.heatmaps, count)
        short_offsets = _check_grid("short_offsets", fields.short_offsets, 2 * count, heatmaps)
        mid_offsets = _check_grid("mid_offsets", fields.mid_offsets, 2 * len(self._edges), heatmaps)
        per_cell = 1 / self._spec.stride
        ranking, threshold = heatmaps, config.score_threshold
        if config.hough_radius > 0:
            ranking = cast_votes(heatmaps, short_offsets, per_cell, config.hough_radius * per_cell)
            threshold = VOTE_THRESHOLD
        found = find_people(
            ranking,
            np.float32(threshold),
            config.most_peaks,
            heatmaps,
            short_offsets,
            mid_offsets,
            self._edges,
            self._first,
            per_cell,
            config.refinement_steps,
            config.nms_radius * per_cell,
            config.min_person_score,
            max(config.most_people, MIN_WALKS),
        )
        return self._make_people(fields, *found)

    def _make_people(self, fields: Fields, xy: FloatArray, scores: FloatArray, person_scores: FloatArray) -> People:
        """Sort the people, the best first. Drop unlikely keypoints, unlikely people and duplicates. Add the masks."""
        config, spec = self._config, self._spec
        order = (-person_scores).argsort(kind="stable")
        order = order[person_scores[order] >= config.min_person_score]
        xy, scores, person_scores = xy[order], scores[order], person_scores[order]
        absent = ~(scores >= max(config.score_threshold, LEAST_SCORE))
        scores[absent] = 0
        keypoints = xy * np.float32(spec.stride)
        keypoints += np.float32(spec.origin)
        keypoints[absent] = 0
        keep = find_distinct(keypoints, scores, self._sigmas, config.duplicate_oks) & scores.any(axis=1)
        best = keep.nonzero()[0][: config.most_people]
        masks = self._make_masks(fields, xy[best], scores[best])
        return People(keypoints[best], scores[best], person_scores[best], masks=masks)

    def _make_masks(self, fields: Fields, xy: FloatArray, scores: FloatArray) -> BoolArray | None:
        count, config, heatmaps = self._keypoint_count, self._config, np.asarray(fields.heatmaps)
        if not config.masks or fields.long_offsets is None or fields.segmentation is None:
            return None
        return instance_masks(
            _check_grid("long_offsets", fields.long_offsets, 2 * count, heatmaps),
            _check_grid("short_offsets", fields.short_offsets, 2 * count, heatmaps),
            _check_grid("segmentation", fields.segmentation, 1, heatmaps),
            xy,
            scores,
            1 / self._spec.stride,
            config.refinement_steps,
            config.mask_threshold,
            config.mask_distance,
        )


def _check_grid(name: str, array: AnyArray | None, channels: int, heatmaps: AnyArray) -> FloatArray:
    """Return a field, after checking that it has the grid of the heatmaps."""
    field = field_array(name, array, channels)
    if field.shape[1:] != heatmaps.shape[1:]:
        raise ValueError(f"{name}: expected the grid of the heatmaps, {heatmaps.shape[1:]}, got {field.shape[1:]}")
    return field
