"""Part affinity fields: unit vectors along limbs.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050: eq. 5 (the mask
    W), eq. 8 and 9 (part affinity fields).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.arrays import AnyArray, BoolArray, ByteArray, DoubleArray, FloatArray, LongArray
from pose_ros.datasets.sample import UNCERTAIN, UNKNOWN
from pose_ros.decoder.jit import jit
from pose_ros.skeleton import Limb
from pose_ros.training.targets.config import TargetConfig
from pose_ros.training.targets.drawing import draw_limb, fill_boxes
from pose_ros.training.targets.grid import GridLabels
from pose_ros.training.targets.heatmaps import Target

SOFT_CUT = 3.5
"""Soft limbs end at so many widths, where they are 5e-6."""


def part_affinity_fields(
    keypoints_xy: AnyArray,
    visible: BoolArray,
    limbs: tuple[Limb, ...],
    shape_hw: tuple[int, int],
    half_width: float,
    form: str = "hard",
    overhang: float = 0.0,
) -> FloatArray:
    """Unit vectors along limbs, within a distance of each; the mean where limbs of several people cross.

    Args:
        keypoints_xy: (N, K, 2), in cells.
        visible: (N, K).
        limbs: L pairs of keypoints.
        shape_hw: Rows and columns of the field.
        half_width: Distance from the limb's line that still belongs to it, in cells.
        form: ``"hard"``, or ``"soft"`` for vectors that fall as exp(-(d / half_width)^2) with the distance d from the
            limb, and are summed.
        overhang: How far hard limbs go on beyond their ends, in cells.

    Returns:
        (2 L, H, W): x and y of each limb.
    """
    return _drawn(keypoints_xy, visible, limbs, shape_hw, half_width, form, overhang)[0]


def pafs(scene: GridLabels, limbs: tuple[Limb, ...], config: TargetConfig) -> Target:
    """Part affinity fields and weights, both (2 L, H, W)."""
    half_width = config.limb_half_width / scene.stride
    overhang = config.limb_overhang / scene.stride
    fields, counts = _drawn(
        *(scene.keypoints_xy, scene.labelled, limbs, scene.shape_hw), *(half_width, config.limb_form, overhang)
    )
    weights = scene.weights(len(limbs))
    fill_boxes(weights, *_untaught_boxes(scene, limbs, half_width + config.uncertain_radius / scene.stride), 0)
    weights[counts > 0] = 1
    return fields, np.repeat(weights, 2, axis=0)


def _untaught_boxes(scene: GridLabels, limbs: tuple[Limb, ...], margin: float) -> tuple[LongArray, DoubleArray]:
    """Limbs (M,) with an end that is uncertain or unknown, and the boxes (M, 4) in which they may lie, cells.

    That is the box of both ends and a margin, or, where an end has no place, the box of the person.
    """
    pairs = np.array(limbs, np.int64).reshape(-1, 2)
    states, ends = scene.states[:, pairs], scene.keypoints_xy[:, pairs]  # (N, L, 2), (N, L, 2, 2)
    doubtful = ((states == UNCERTAIN) | (states == UNKNOWN)).any(axis=2)
    placed = ((states == UNCERTAIN) | scene.labelled[:, pairs]).all(axis=2)
    around = np.concatenate([ends.min(axis=2) - margin, ends.max(axis=2) + margin], axis=2)
    boxes = np.where(placed[..., None], around, scene.boxes[:, None])
    people, chosen = doubtful.nonzero()
    return chosen, boxes[people, chosen]


def _drawn(
    keypoints_xy: AnyArray,
    visible: BoolArray,
    limbs: tuple[Limb, ...],
    shape_hw: tuple[int, int],
    half_width: float,
    form: str,
    overhang: float,
) -> tuple[FloatArray, ByteArray]:
    """The fields (2 L, H, W), and how many limbs stand at each cell (L, H, W)."""
    fields = np.zeros((2 * len(limbs), *shape_hw), np.float32)
    counts = np.zeros((len(limbs), *shape_hw), np.uint8)
    pairs = np.array(limbs, np.int64).reshape(-1, 2)
    soft = form == "soft"
    overhang, reach = (0.0, SOFT_CUT * half_width) if soft else (overhang, half_width + overhang)
    xy = np.ascontiguousarray(keypoints_xy, np.float64)
    widths = float(half_width), float(overhang), float(reach)
    _draw_limbs(fields, counts, xy, np.ascontiguousarray(visible), pairs, widths, soft)
    return fields, counts


@jit
def _draw_limbs(fields: Any, counts: Any, xy: Any, visible: Any, limbs: Any, widths: Any, soft: Any) -> None:
    """Draw all limbs of all people; hard ones are averaged."""
    ends = np.empty((2, 2))
    for limb in range(len(limbs)):
        for n in range(len(xy)):
            if visible[n, limbs[limb, 0]] and visible[n, limbs[limb, 1]]:
                ends[0], ends[1] = xy[n, limbs[limb, 0]], xy[n, limbs[limb, 1]]
                draw_limb(fields[2 * limb : 2 * limb + 2], counts[limb], ends, widths, soft)
        if not soft:
            _average(fields[2 * limb : 2 * limb + 2], counts[limb])


@jit
def _average(field: Any, counts: Any) -> None:
    """Divide the sums (2, H, W) by their numbers (H, W)."""
    for row in range(counts.shape[0]):
        for col in range(counts.shape[1]):
            if counts[row, col] > 1:
                field[0, row, col] /= counts[row, col]
                field[1, row, col] /= counts[row, col]
