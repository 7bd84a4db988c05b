"""Read the peaks and links that a network with a decode front outputs (``pose_ros export --front``)."""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import DoubleArray, LongArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder.limits import limit_peaks
from pose_ros.decoder.peaks import Peaks
from pose_ros.fields import Fields, field_array


def read_front(
    fields: Fields, limbs: LongArray, keypoint_count: int, config: DecoderConfig
) -> tuple[Peaks, LongArray, DoubleArray]:
    """Read the peaks above the score threshold, and the links between them.

    Args:
        fields: ``peaks`` (K, M, 3) and ``limb_scores`` (L, M, M).
        limbs: (L, 2) from and to keypoints of each limb.
        keypoint_count: Number of keypoints K.
        config: Settings. Only ``score_threshold`` and ``max_peaks`` are used.

    Returns:
        The same as ``find_peaks`` and ``score_limbs``: peaks, links (n, 3) and their values (n,), limb by limb.

    Raises:
        ValueError: If a field is missing or of the wrong shape.
    """
    peaks = field_array("peaks", fields.peaks, keypoint_count)
    values = field_array("limb_scores", fields.limb_scores, len(limbs))
    most = peaks.shape[1]
    if peaks.shape[2] != 3 or values.shape[1:] != (most, most):
        raise ValueError(f"peaks: expected (K, M, 3) and limb_scores (L, M, M), got {peaks.shape} and {values.shape}")
    peaks, values = peaks[:, : config.most_peaks], values[:, : config.most_peaks, : config.most_peaks]
    xy, scores = peaks[..., :2], peaks[..., 2]
    is_peak = scores > config.score_threshold
    is_peak[:, limit_peaks(is_peak.sum(axis=1)) :] = False
    linked = (values > 0) & is_peak[limbs[:, 0], :, None] & is_peak[limbs[:, 1], None, :]
    links = np.ascontiguousarray(np.argwhere(linked))
    return Peaks(xy, scores, is_peak.sum(axis=1)), links, values[linked].astype(np.float64)
