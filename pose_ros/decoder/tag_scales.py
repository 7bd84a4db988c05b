"""Combine several runs of a network on one image, at other scales or mirrored, before tags are grouped.

    heatmaps = average_scales([coarse, fine, flip_back(mirrored, skeleton)])
    tags = stack_tags([tags, flip_back(mirrored_tags, skeleton)], len(skeleton))
    people = decoder(Fields(heatmaps=heatmaps, tags=tags))

References:
    Cheng et al., HigherHRNet, arXiv:1908.10357, section 3 (heatmap aggregation for inference).
    Newell et al., Associative Embedding, arXiv:1611.05424, section 4 (tags of several scales as one vector).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pose_ros.arrays import AnyArray, FloatArray
from pose_ros.skeleton import Skeleton


def average_scales(maps: Sequence[AnyArray]) -> FloatArray:
    """Average maps of one image, on the finest of their grids.

    Args:
        maps: (C, H, W) each, with the same C. Their cells cover the same image, edge to edge.

    Returns:
        (C, H, W), a new array with the stride and origin of the finest map.

    Raises:
        ValueError: If there are no maps, or their numbers of channels differ.
    """
    if not maps or len({len(m) for m in maps}) != 1 or any(m.ndim != 3 for m in maps):
        raise ValueError(f"maps: expected one or more (C, H, W) of the same C, got shapes {[m.shape for m in maps]}")
    rows, cols = max((m.shape[1:] for m in maps), key=lambda shape: shape[0] * shape[1])
    total = np.zeros((len(maps[0]), rows, cols), np.float32)
    for scale in maps:
        total += resize(scale, (rows, cols))
    return total / np.float32(len(maps))


def resize(field: AnyArray, shape_hw: tuple[int, int]) -> FloatArray:
    """Resize a field (C, H, W) to another grid on the same image, by bilinear interpolation."""
    return np.stack([cv2.resize(np.ascontiguousarray(c, np.float32), shape_hw[::-1]) for c in field])


def flip_back(field: AnyArray, skeleton: Skeleton) -> AnyArray:
    """Convert the field of a mirrored image to that of the image: reverse columns, swap left and right keypoints.

    Args:
        field: (K D, H, W), heatmaps (D = 1) or tags.
        skeleton: Skeleton with the K keypoints.

    Raises:
        ValueError: If the number of channels is not a multiple of K.
    """
    by_keypoint = _split_by_keypoint("field", field, len(skeleton))
    return by_keypoint[list(skeleton.flip_order), ..., ::-1].reshape(field.shape)


def stack_tags(tags: Sequence[AnyArray], keypoint_count: int) -> AnyArray:
    """Stack the tags of several runs to one tag with more dimensions.

    Args:
        tags: (K D, H, W) each, on one grid. D may differ.
        keypoint_count: Number of keypoints K.

    Returns:
        (K (D1 + D2 + ...), H, W).

    Raises:
        ValueError: If there are no tags, a number of channels is not a multiple of K, or the grids differ.
    """
    if len({t.shape[1:] for t in tags}) != 1:
        raise ValueError(f"tags: expected one or more (K D, H, W) on one grid, got shapes {[t.shape for t in tags]}")
    stacked = np.concatenate([_split_by_keypoint("tags", t, keypoint_count) for t in tags], axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _split_by_keypoint(name: str, field: AnyArray, keypoint_count: int) -> AnyArray:
    if field.ndim != 3 or len(field) % keypoint_count:
        raise ValueError(f"{name}: expected D times {keypoint_count} channels, (K D, H, W), got {field.shape}")
    return field.reshape(keypoint_count, -1, *field.shape[1:])
