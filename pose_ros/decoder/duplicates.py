"""Find duplicates: several detections of one person.

References:
    COCO keypoint evaluation, https://cocodataset.org/#keypoints-eval (object keypoint similarity, OKS).
    Papandreou et al., Towards Accurate Multi-person Pose Estimation in the Wild, arXiv:1701.01779, section 3.3
    (suppression by OKS instead of box overlap).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, FloatArray
from pose_ros.decoder.jit import jit, jit_inline
from pose_ros.skeleton import BOX_FILL

MIN_AREA = 64.0
"""Smallest area of a person, px²."""


def find_distinct(
    keypoints: FloatArray,
    scores: FloatArray,
    sigmas: DoubleArray,
    threshold: float,
    areas: DoubleArray | None = None,
    most: int | None = None,
) -> BoolArray:
    """Find the people that are not duplicates of better ones.

    A person is a duplicate if its OKS to a better person is above the threshold. Keypoints that the better person lacks
    count 0, so a whole person is not a duplicate of a fragment.

    Args:
        keypoints: (N, K, 2), the best person first.
        scores: (N, K), 0 where absent.
        sigmas: (K,) OKS constants.
        threshold: OKS above which people are duplicates. 1 = off.
        areas: (N,) area of each person, px². NaN = unknown. Default: the area of the box of the keypoints.
        most: Most people to keep. The search stops there. Default: no limit.

    Returns:
        (N,) mask, True for the people to keep.
    """
    keep = np.ones(len(keypoints), np.bool_)
    if len(keypoints) > 1 and threshold < 1:
        known = np.full(len(keypoints), np.nan) if areas is None else areas
        limit = len(keypoints) if most is None else most
        arrays = np.ascontiguousarray(keypoints), np.ascontiguousarray(scores)
        _mark_duplicates(*arrays, sigmas, threshold, known, limit, keep)
    elif most is not None:
        keep[most:] = False
    return keep


@jit
def _mark_duplicates(
    keypoints: Any, scores: Any, sigmas: Any, threshold: Any, known: Any, most: Any, keep: Any
) -> None:
    boxes = np.empty((len(keypoints), 4))
    for n in range(len(keypoints)):
        _fill_box(keypoints, scores, n, boxes)
    areas = np.empty(len(keypoints))
    for n in range(len(keypoints)):
        areas[n] = known[n] if known[n] > MIN_AREA else _area(boxes, n)
    kept = 1
    for n in range(1, len(keypoints)):
        if kept >= most:
            keep[n:] = False
            break
        for better in range(n):
            area = max(areas[n], areas[better])
            if not (keep[better] and _are_near(boxes, n, better, 0.5 * math.sqrt(area))):
                continue
            if _oks(keypoints, scores, sigmas, n, better, area) > threshold:
                keep[n] = False
                break
        kept += keep[n]


@jit_inline
def _fill_box(keypoints: Any, scores: Any, n: Any, boxes: Any) -> None:
    """Fill the box of person n: x_min, y_min, x_max, y_max."""
    boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3] = np.inf, np.inf, -np.inf, -np.inf
    for k in range(scores.shape[1]):
        if scores[n, k] > 0:
            x, y = keypoints[n, k, 0], keypoints[n, k, 1]
            boxes[n, 0], boxes[n, 2] = min(boxes[n, 0], x), max(boxes[n, 2], x)
            boxes[n, 1], boxes[n, 3] = min(boxes[n, 1], y), max(boxes[n, 3], y)


@jit_inline
def _area(boxes: Any, n: Any) -> Any:
    """Return the area that a person covers, px²."""
    return max(BOX_FILL * (boxes[n, 2] - boxes[n, 0]) * (boxes[n, 3] - boxes[n, 1]), MIN_AREA)


@jit_inline
def _are_near(boxes: Any, a: Any, b: Any, margin: Any) -> Any:
    """Return whether the gap between two boxes is at most the margin, in x and in y."""
    apart_x = max(boxes[a, 0], boxes[b, 0]) - min(boxes[a, 2], boxes[b, 2])
    apart_y = max(boxes[a, 1], boxes[b, 1]) - min(boxes[a, 3], boxes[b, 3])
    return apart_x <= margin and apart_y <= margin


@jit_inline
def _oks(keypoints: Any, scores: Any, sigmas: Any, n: Any, other: Any, area: Any) -> Any:
    """Return the OKS of person n to another person, over the keypoints of n."""
    total, present = 0.0, 0
    for k in range(scores.shape[1]):
        if scores[n, k] > 0:
            present += 1
            if scores[other, k] > 0:
                dx, dy = keypoints[n, k, 0] - keypoints[other, k, 0], keypoints[n, k, 1] - keypoints[other, k, 1]
                total += math.exp(-(dx * dx + dy * dy) / (2 * area * (2 * sigmas[k]) ** 2))
    return total / present if present > 0 else 0.0
