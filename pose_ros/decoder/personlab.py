"""PersonLab: people are walked keypoint by keypoint along fields of offsets; PoseNet is the same.

The walk begins at the most confident keypoint, whichever that is, and goes along the edges in both directions. It
places every keypoint that it reaches, seen or not; those below the threshold are left out at the end.

References:
    Papandreou et al., PersonLab: Person Pose Estimation and Instance Segmentation with a Bottom-Up, Part-Based,
    Geometric Embedding Model, arXiv:1803.08225.
    Papandreou et al., Towards Accurate Multi-person Pose Estimation in the Wild (G-RMI), arXiv:1701.01779.
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, FloatArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder.duplicates import distinct
from pose_ros.decoder.personlab_masks import instance_masks
from pose_ros.decoder.personlab_seeds import cast_votes
from pose_ros.decoder.personlab_walk import directed_edges, find_people
from pose_ros.fields import Fields, ModelSpec, field_array
from pose_ros.people import People

VOTE_THRESHOLD = 0.01
"""Lowest Hough score of a seed, that of the paper. A keypoint between cells shares its votes with four of them."""
MIN_WALKS = 10
"""So many people are looked for at least: some will turn out to be the same. The authors' code stops at its cap."""
LEAST_SCORE = 1e-6
"""Below it, a heatmap says nothing of a keypoint."""


class PersonLabDecoder:
    """Walks along short-range and mid-range offsets. Immutable and safe in any thread."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config
        self._keypoint_count = len(spec.skeleton)
        self._sigmas = np.array(spec.skeleton.sigmas)
        self._edges, self._first = directed_edges(spec.limbs, self._keypoint_count)

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        ``min_keypoints`` and ``subpixel`` have no meaning here: the walk places all keypoints, by the offsets; what a
        person needs is ``min_person_score``, the mean over all keypoints that no better person has claimed.

        Args:
            fields: ``heatmaps`` (K or more, H, W), ``short_offsets`` (2 K, H, W) and ``mid_offsets`` (4 E, H, W) for
                the E limbs of the model; for masks also ``long_offsets`` (2 K, H, W) and ``segmentation`` (1, H, W).
                Any real type and memory layout.

        Returns:
            The people, the best first, in network-input pixels. Their masks, if the fields for them are given, are on
            the fields' own grid: (N, H, W), where cell (row, col) lies at x = col stride + origin.

        Raises:
            ValueError: If a field is missing or of the wrong shape.
        """
        count, config = self._keypoint_count, self._config
        heatmaps = field_array("heatmaps", fields.heatmaps, count)
        short_offsets = _on_grid("short_offsets", fields.short_offsets, 2 * count, heatmaps)
        mid_offsets = _on_grid("mid_offsets", fields.mid_offsets, 2 * len(self._edges), heatmaps)
        per_cell = 1 / self._spec.stride
        ranking, threshold = heatmaps, config.score_threshold
        if config.hough_radius > 0:
            ranking = cast_votes(heatmaps, short_offsets, per_cell, config.hough_radius * per_cell)
            threshold = VOTE_THRESHOLD
        found = find_people(
            ranking,
            np.float32(threshold),
            config.max_peaks,
            heatmaps,
            short_offsets,
            mid_offsets,
            self._edges,
            self._first,
            per_cell,
            config.refinement_steps,
            config.nms_radius * per_cell,
            config.min_person_score,
            max(config.max_people, MIN_WALKS),
        )
        return self._people(fields, *found)

    def _people(self, fields: Fields, xy: FloatArray, scores: FloatArray, person_scores: FloatArray) -> People:
        """Sort, the best first; drop unlikely keypoints and people, and repetitions; add the masks."""
        config, spec = self._config, self._spec
        order = (-person_scores).argsort(kind="stable")
        order = order[person_scores[order] >= config.min_person_score]
        xy, scores, person_scores = xy[order], scores[order], person_scores[order]
        absent = ~(scores >= max(config.score_threshold, LEAST_SCORE))
        scores[absent] = 0
        keypoints = xy * np.float32(spec.stride)
        keypoints += np.float32(spec.origin)
        keypoints[absent] = 0
        keep = distinct(keypoints, scores, self._sigmas, config.duplicate_oks) & scores.any(axis=1)
        best = keep.nonzero()[0][: config.max_people]
        masks = self._masks(fields, xy[best], scores[best])
        return People(keypoints[best], scores[best], person_scores[best], masks=masks)

    def _masks(self, fields: Fields, xy: FloatArray, scores: FloatArray) -> BoolArray | None:
        if fields.long_offsets is None or fields.segmentation is None:
            return None
        count, config, heatmaps = self._keypoint_count, self._config, np.asarray(fields.heatmaps)
        return instance_masks(
            _on_grid("long_offsets", fields.long_offsets, 2 * count, heatmaps),
            _on_grid("short_offsets", fields.short_offsets, 2 * count, heatmaps),
            _on_grid("segmentation", fields.segmentation, 1, heatmaps),
            xy,
            scores,
            1 / self._spec.stride,
            config.refinement_steps,
            config.mask_threshold,
            config.mask_distance,
        )


def _on_grid(name: str, array: AnyArray | None, channels: int, heatmaps: AnyArray) -> FloatArray:
    """A field on the grid of the heatmaps."""
    field = field_array(name, array, channels)
    if field.shape[1:] != heatmaps.shape[1:]:
        raise ValueError(f"{name}: expected the grid of the heatmaps, {heatmaps.shape[1:]}, got {field.shape[1:]}")
    return field
