"""Compute the losses of networks of which every cell predicts a person.

References:
    Tian et al., DirectPose, arXiv:1911.07451, section 3.
    Tian et al., FCOS, arXiv:1904.01355, eq. 2 (focal loss of the scores, regression at cells of people), section 3.3
    (binary cross entropy of the centre-ness).
    Girshick, Fast R-CNN, arXiv:1504.08083, eq. 3 (smooth L1).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from pose_ros.training.losses.dense import balanced_focal

LOSSES = ("person_scores", "centreness", "person_offsets", "keypoint_scores")
"""Fields of ``targets.directpose``."""
LINEAR_FROM = 1 / 9
"""Error from which the smooth L1 loss is linear, cells of the level."""


def cell_loss(field: str, output: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Compute the loss of a field of cells. All except ``person_scores`` are trained only at cells of people.

    A person has several cells. The offsets of cells near its centre count more, by the centre-ness.

    Args:
        field: One of ``LOSSES``.
        output: (B, C, P), logits, or offsets in cells of the level.
        targets: Stacked results of ``make_targets``.

    Raises:
        ValueError: If the target is missing or has another shape.
    """
    if field not in targets:
        raise ValueError(f"targets: expected {field}, which a stage outputs, got {', '.join(targets)}")
    target, weights = targets[field], targets[f"{field}_weights"].to(output.dtype)
    if output.shape != target.shape:
        raise ValueError(f"{field}: expected the shape of its target, {(*target.shape,)}, got {(*output.shape,)}")
    if field == "person_scores":
        return balanced_focal(output, target, weights)
    if field == "person_offsets":
        weights = weights * targets["centreness"]
        cells = functional.smooth_l1_loss(output, target, reduction="none", beta=LINEAR_FROM)
    else:
        cells = functional.binary_cross_entropy_with_logits(output, target, reduction="none")
    return _weighted_mean(cells, weights)


def _weighted_mean(cells: Tensor, weights: Tensor) -> Tensor:
    """Compute the mean over the cells with a weight. It is 0 if there are none."""
    total = weights.sum()
    return (weights * cells).sum() / torch.where(total > 0, total, 1)
