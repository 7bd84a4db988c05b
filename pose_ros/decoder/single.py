"""Decode the single person of a crop: each keypoint is the maximum of its heatmap.

For top-down networks (Simple Baselines, HRNet, hourglasses) and for the refinement of known people. If the network also
predicts centres and offsets from them to the keypoints, as MoveNet does, the person near the middle of the crop is
selected: each heatmap is divided by the distance to the predicted keypoint.

References:
    Sun et al., Integral Human Pose Regression, arXiv:1711.08229, eq. 2 and 3 (soft-argmax).
    Votel and Li, Next-Generation Pose Detection with MoveNet and TensorFlow.js, 2021 (selection of the person).
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, DoubleArray, FloatArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder.peaks import find_keypoint_peaks, make_refinement
from pose_ros.decoder.subpixel import refine_cells
from pose_ros.fields import Fields, ModelSpec, field_array, heatmap_array
from pose_ros.people import People

SOFTENING = 1.8
"""Added to distances before the division, cells. A value of MoveNet's published graphs."""


class SingleDecoder:
    """Decoder of one person per image. Immutable and thread-safe."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        The limits on people (``min_keypoints``, ``min_person_score``) do not apply: the crop selects the person.

        Args:
            fields: ``heatmaps``, any real type and memory layout. Optional: ``heatmap_offsets``, ``centres`` and
                ``keypoint_offsets``.

        Returns:
            One person in network-input pixels, or none if no heatmap is above the threshold. The person score is the
            mean score of all keypoints, where absent ones count 0.

        Raises:
            ValueError: If the heatmaps are missing or of the wrong shape.
        """
        config, spec = self._config, self._spec
        cells: AnyArray
        if fields.centres is not None and fields.keypoint_offsets is not None:
            cells, scores = self._find_central_person(fields)
        else:
            heatmaps, peaks = find_keypoint_peaks(fields, len(spec.skeleton), config, max_peaks=1)
            cells, scores = peaks.xy[:, 0], peaks.scores[:, 0] * (peaks.counts > 0).astype(np.float32)
            if config.soft_argmax > 0:
                cells = soft_argmax(heatmaps, config.soft_argmax)
        if not scores.any():
            return People.empty(len(spec.skeleton))
        keypoints = np.where(scores[:, None] > 0, cells * spec.stride + spec.origin, 0).astype(np.float32)
        return People(keypoints[None], scores[None], scores.mean(keepdims=True))

    def _find_central_person(self, fields: Fields) -> tuple[FloatArray, FloatArray]:
        """Return the cells (K, 2) and scores (K,) of the person near the middle of the crop."""
        config, count = self._config, len(self._spec.skeleton)
        heatmaps = heatmap_array(fields.heatmaps, count)
        centres = field_array("centres", fields.centres, 1)[0]
        offsets = field_array("keypoint_offsets", fields.keypoint_offsets, 2 * count)
        for name, field in (("centres", centres), ("keypoint_offsets", offsets)):
            if field.shape[-2:] != heatmaps.shape[1:]:
                raise ValueError(f"{name}: expected the grid of the heatmaps, {heatmaps.shape[1:]}, got {field.shape}")
        rows, cols = centres.shape
        row, col = np.divmod(_divide_by_distance(centres[None], np.array([[cols // 2, rows // 2]])).argmax(), cols)
        predicted = np.array([col, row]) + offsets[:, row, col].reshape(count, 2)
        near = np.nan_to_num(predicted, posinf=0, neginf=0).clip(-rows - cols, rows + cols)
        best = _divide_by_distance(heatmaps, near).reshape(count, -1).argmax(axis=1)
        best_rows, best_cols = np.divmod(best, cols)
        channels = np.arange(count)
        values = np.minimum(_finite(heatmaps)[channels, best_rows, best_cols], 1)
        cells = refine_cells(heatmaps, channels, best_rows, best_cols, make_refinement(fields, heatmaps, config))
        return cells, np.where(values > config.score_threshold, values, np.float32(0))


def _divide_by_distance(maps: FloatArray, points: AnyArray) -> AnyArray:
    """Return maps (K, H, W) divided by the distance to a point (K, 2) of each, cells. Not finite values become 0."""
    rows, cols = np.arange(maps.shape[1])[:, None], np.arange(maps.shape[2])
    distances = np.hypot(cols - points[:, 0, None, None], rows - points[:, 1, None, None])
    return _finite(maps) / (distances + SOFTENING)


def _finite(maps: FloatArray) -> AnyArray:
    return np.where(np.isfinite(maps), maps, 0)


def soft_argmax(heatmaps: FloatArray, sharpness: float) -> DoubleArray:
    """Return the mean position of each heatmap, weighted by exp(sharpness value): eq. 2 and 3.

    A map should have one blob, and the blob must outweigh the background. This requires a sharpness of 20 or more for
    maps with values up to 1.

    Args:
        heatmaps: (K, H, W). NaN and Inf have no weight.
        sharpness: Inverse temperature of the softmax, above 0.

    Returns:
        (K, 2) column and row, in cells. (0, 0) for a map without a finite value.
    """
    finite = np.where(np.isfinite(heatmaps), heatmaps, -np.inf).astype(np.float64, copy=False)
    highest = np.nan_to_num(finite.max(axis=(1, 2), keepdims=True), neginf=0.0)
    weights = np.exp(sharpness * (finite - highest))
    columns, rows = weights.sum(axis=1), weights.sum(axis=2)
    x, y = columns @ np.arange(columns.shape[1]), rows @ np.arange(rows.shape[1])
    return np.stack([x, y], axis=1) / np.maximum(columns.sum(axis=1, keepdims=True), 1.0)
