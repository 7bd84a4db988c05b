"""Decode the single person of a crop: each keypoint is the maximum of its heatmap.

For top-down networks (Simple Baselines, HRNet, hourglasses) and for the refinement of known people.

References:
    Sun et al., Integral Human Pose Regression, arXiv:1711.08229, eq. 2 and 3 (soft-argmax).
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder.peaks import find_peaks
from pose_ros.fields import Fields, ModelSpec, field_array
from pose_ros.people import People


class SingleDecoder:
    """Decoder of one person per image. Immutable and thread-safe."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        The limits on people (``min_keypoints``, ``min_person_score``) do not apply: the crop selects the person.

        Args:
            fields: ``heatmaps`` (K or more, H, W), any real type and memory layout.

        Returns:
            One person in network-input pixels, or none if no heatmap is above the threshold. The person score is the
            mean score of all keypoints, where absent ones count 0.

        Raises:
            ValueError: If the heatmaps are missing or of the wrong shape.
        """
        config, spec = self._config, self._spec
        heatmaps = field_array("heatmaps", fields.heatmaps, len(spec.skeleton))
        peaks = find_peaks(heatmaps, config.score_threshold, 1, config.subpixel, config.dark_kernel)
        present = peaks.counts > 0
        if not present.any():
            return People.empty(len(spec.skeleton))
        cells = soft_argmax(heatmaps, config.soft_argmax) if config.soft_argmax > 0 else peaks.xy[:, 0]
        keypoints = np.where(present[:, None], cells * spec.stride + spec.origin, 0).astype(np.float32)
        scores = peaks.scores[:, 0]
        return People(keypoints[None], scores[None], scores.mean(keepdims=True))


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
