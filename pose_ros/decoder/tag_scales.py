"""Several runs of a network on one image, at other scales or mirrored, brought together before tags are grouped.

    heatmaps = average_scales([coarse, fine, mirrored_back(of_mirror, skeleton)])
    tags = stack_tags([tags, mirrored_back(tags_of_mirror, skeleton)], len(skeleton))
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
    """The mean of maps of one image, on the finest of their grids.

    Args:
        maps: (C, H, W) each, of the same C; their cells cover the same image, edge to edge.

    Returns:
        (C, H, W), a new array; its stride and origin are those of the finest.

    Raises:
        ValueError: If there are none, or their numbers of channels differ.
    """
    if not maps or len({len(m) for m in maps}) != 1 or any(m.ndim != 3 for m in maps):
        raise ValueError(f"maps: expected one or more (C, H, W) of the same C, got shapes {[m.shape for m in maps]}")
    rows, cols = max((m.shape[1:] for m in maps), key=lambda shape: shape[0] * shape[1])
    total = np.zeros((len(maps[0]), rows, cols), np.float32)
    for scale in maps:
        total += resized(scale, (rows, cols))
    return total / np.float32(len(maps))


def resized(field: AnyArray, shape_hw: tuple[int, int]) -> FloatArray:
    """A field (C, H, W) on another grid over the same image, by bilinear interpolation."""
    return np.stack([cv2.resize(np.ascontiguousarray(c, np.float32), shape_hw[::-1]) for c in field])


def mirrored_back(field: AnyArray, skeleton: Skeleton) -> AnyArray:
    """The field of a mirrored image as one of the image itself: columns reversed, left and right renamed.

    Args:
        field: (K D, H, W), heatmaps (D = 1) or tags.
        skeleton: The K keypoints.

    Raises:
        ValueError: If the channels are not D for each keypoint.
    """
    by_keypoint = _by_keypoint("field", field, len(skeleton))
    return by_keypoint[list(skeleton.flip_order), ..., ::-1].reshape(field.shape)


def stack_tags(tags: Sequence[AnyArray], keypoint_count: int) -> AnyArray:
    """Tags of several runs as one tag of more dimensions.

    Args:
        tags: (K D, H, W) each, on one grid; D may differ.
        keypoint_count: K.

    Returns:
        (K (D1 + D2 + ...), H, W).

    Raises:
        ValueError: If there are none, or the channels are not D for each keypoint, or the grids differ.
    """
    if len({t.shape[1:] for t in tags}) != 1:
        raise ValueError(f"tags: expected one or more (K D, H, W) on one grid, got shapes {[t.shape for t in tags]}")
    stacked = np.concatenate([_by_keypoint("tags", t, keypoint_count) for t in tags], axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _by_keypoint(name: str, field: AnyArray, keypoint_count: int) -> AnyArray:
    if field.ndim != 3 or len(field) % keypoint_count:
        raise ValueError(f"{name}: expected D times {keypoint_count} channels, (K D, H, W), got {field.shape}")
    return field.reshape(keypoint_count, -1, *field.shape[1:])
