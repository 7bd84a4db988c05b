"""Compute the similarity of people: object keypoint similarity (OKS) and box overlap.

References:
    COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval.
"""

from __future__ import annotations

import numpy as np

from pose_ros.arrays import AnyArray, DoubleArray


def keypoint_similarity(squared: AnyArray, areas: AnyArray | float, sigmas: AnyArray) -> DoubleArray:
    """Return exp(-d² / (2 s² k²)) for each keypoint, with s² the area and k twice the sigma.

    OKS is the mean over the keypoints that count. ``decoder/duplicates.py`` has a compiled version of this formula.

    Args:
        squared: Squared distances d², px². Infinity for missing keypoints.
        areas: Areas of the people, px², broadcast against ``squared``.
        sigmas: OKS constants of the keypoints, broadcast against ``squared``.
    """
    exponents = squared / (2 * (areas + np.spacing(1)) * (2 * sigmas) ** 2)
    return np.asarray(np.exp(-exponents))


def box_iou(a: AnyArray, b: AnyArray) -> DoubleArray:
    """Return the intersection over union of boxes (A, 4) and (B, 4) as (A, B). Empty boxes and NaN overlap nothing.

    Args:
        a: Boxes x_min, y_min, x_max, y_max.
        b: Boxes x_min, y_min, x_max, y_max.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas_a, areas_b = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b))
    overlap = shared / np.maximum(areas_a[:, None] + areas_b[None] - shared, 1e-9)
    return np.where(np.isfinite(overlap), overlap, 0.0)
