"""Draw part affinity fields: unit vectors along limbs.

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

SOFT_CUT_WIDTHS = 3.5
"""Cut-off of soft limbs, half widths. Their value is 5e-6 there."""


def part_affinity_fields(
    keypoints_xy: AnyArray,
    visible: BoolArray,
    limbs: tuple[Limb, ...],
    shape_hw: tuple[int, int],
    half_width: float,
    form: str = "hard",
    overhang: float = 0.0,
) -> FloatArray:
    """Draw unit vectors along limbs. Hard limbs of several people are averaged where they cross.

    Args:
        keypoints_xy: (N, K, 2), cells.
        visible: (N, K), keypoints to use.
        limbs: L pairs of keypoint indices.
        shape_hw: Rows and columns of the field.
        half_width: Half the width of a limb, cells.
        form: ``"hard"`` or ``"soft"``. Soft vectors fall as exp(-(d / half_width)^2) with the distance d from the
            limb, and are summed.
        overhang: Length of hard limbs beyond their ends, cells.

    Returns:
        (2 L, H, W), x and y of each limb.
    """
    return _draw_fields(keypoints_xy, visible, limbs, shape_hw, half_width, form, overhang)[0]


def pafs(labels: GridLabels, limbs: tuple[Limb, ...], config: TargetConfig) -> Target:
    """Draw part affinity fields and their weights, both (2 L, H, W)."""
    half_width = config.limb_half_width / labels.stride
    overhang = config.limb_overhang / labels.stride
    fields, counts = _draw_fields(
        *(labels.keypoints_xy, labels.labelled, limbs, labels.shape_hw), *(half_width, config.limb_form, overhang)
    )
    weights = labels.weights(len(limbs))
    fill_boxes(weights, *_unknown_limb_boxes(labels, limbs, half_width + config.uncertain_radius / labels.stride), 0)
    weights[counts > 0] = 1
    return fields, np.repeat(weights, 2, axis=0)


def _unknown_limb_boxes(labels: GridLabels, limbs: tuple[Limb, ...], margin: float) -> tuple[LongArray, DoubleArray]:
    """Return limbs (M,) with an uncertain or unknown end, and boxes (M, 4) that can contain them, cells.

    The box encloses both ends with a margin. If the position of an end is not known, it is the box of the person.
    """
    pairs = np.array(limbs, np.int64).reshape(-1, 2)
    states, ends = labels.states[:, pairs], labels.keypoints_xy[:, pairs]  # (N, L, 2), (N, L, 2, 2)
    doubtful = ((states == UNCERTAIN) | (states == UNKNOWN)).any(axis=2)
    placed = ((states == UNCERTAIN) | labels.labelled[:, pairs]).all(axis=2)
    around = np.concatenate([ends.min(axis=2) - margin, ends.max(axis=2) + margin], axis=2)
    boxes = np.where(placed[..., None], around, labels.boxes[:, None])
    people, chosen = doubtful.nonzero()
    return chosen, boxes[people, chosen]


def _draw_fields(
    keypoints_xy: AnyArray,
    visible: BoolArray,
    limbs: tuple[Limb, ...],
    shape_hw: tuple[int, int],
    half_width: float,
    form: str,
    overhang: float,
) -> tuple[FloatArray, ByteArray]:
    """Draw the fields (2 L, H, W), and count the limbs at each cell (L, H, W)."""
    fields = np.zeros((2 * len(limbs), *shape_hw), np.float32)
    counts = np.zeros((len(limbs), *shape_hw), np.uint8)
    pairs = np.array(limbs, np.int64).reshape(-1, 2)
    soft = form == "soft"
    overhang, reach = (0.0, SOFT_CUT_WIDTHS * half_width) if soft else (overhang, half_width + overhang)
    xy = np.ascontiguousarray(keypoints_xy, np.float64)
    widths = float(half_width), float(overhang), float(reach)
    _draw_limbs(fields, counts, xy, np.ascontiguousarray(visible), pairs, widths, soft)
    return fields, counts


@jit
def _draw_limbs(fields: Any, counts: Any, xy: Any, visible: Any, limbs: Any, widths: Any, soft: Any) -> None:
    """Draw all limbs of all people, and average hard limbs."""
    ends = np.empty((2, 2))
    for limb in range(len(limbs)):
        for n in range(len(xy)):
            if visible[n, limbs[limb, 0]] and visible[n, limbs[limb, 1]]:
                for end in range(2):
                    ends[end, 0], ends[end, 1] = xy[n, limbs[limb, end], 0], xy[n, limbs[limb, end], 1]
                draw_limb(fields[2 * limb : 2 * limb + 2], counts[limb], ends, widths, soft)
        if not soft:
            _average(fields[2 * limb : 2 * limb + 2], counts[limb])


@jit
def _average(field: Any, counts: Any) -> None:
    """Divide the sums (2, H, W) by the counts (H, W)."""
    for row in range(counts.shape[0]):
        for col in range(counts.shape[1]):
            if counts[row, col] > 1:
                field[0, row, col] /= counts[row, col]
                field[1, row, col] /= counts[row, col]
