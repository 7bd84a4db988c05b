"""Compute losses of maps in which every cell has a target and a weight.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050, eq. 5.
    Chen et al., Cascaded Pyramid Network, arXiv:1711.07319, section 3.2 (online hard keypoint mining).
    Zhou et al., Objects as Points, arXiv:1904.07850, eq. 1 (focal loss), eq. 2 and 3 (offsets and sizes).
    Moon et al., PoseFix, arXiv:1812.03595, eq. 2 and 3 (cross entropy over the cells, and distance of the means).
    Papandreou et al., PersonLab, arXiv:1803.08225, section 3.1 (logistic and L1 losses).
    Lin et al., Focal Loss for Dense Object Detection, arXiv:1708.02002, eq. 5 (balanced focal loss).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

ALPHA, BETA = 2, 4
"""Exponents of the focal loss."""
BALANCE, FOCUS = 0.25, 2
"""Share of the ones, and exponent, of the balanced focal loss."""
EPSILON = 1e-4
"""Added to the number of offsets with weight 1, as published."""


def l2(output: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted squared error of each cell."""
    return weights * (output - target).square()


def logistic(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted cross entropy of each cell."""
    return weights * functional.binary_cross_entropy_with_logits(logits, target, reduction="none")


def reduce_cells(cells: Tensor, normalisation: str, hardest: int = 0) -> Tensor:
    """Reduce the losses of all cells to the loss of a batch.

    Args:
        cells: (B, C, H, W), loss of each cell.
        normalisation: Divisor of the sum. ``"channels"``: B C. ``"openpose"``: 2 B. ``"mean"``: B C H W.
        hardest: Number of channels per image with the highest loss that are summed. It replaces C. 0 = all.
    """
    sums = cells.sum(dim=(2, 3))
    if 0 < hardest < sums.shape[1]:
        sums = sums.topk(hardest, dim=1).values
    if normalisation == "openpose":
        return sums.sum() / (2 * len(cells))
    return sums.mean() / (1 if normalisation == "channels" else cells[0, 0].numel())


def focal(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Compute CenterNet's focal loss of peaks (eq. 1), divided by the number of cells with target 1 (at least 1)."""
    probability = logits.sigmoid()
    peak = target == 1
    at_peaks = (1 - probability) ** ALPHA * functional.logsigmoid(logits)
    elsewhere = (1 - target) ** BETA * probability**ALPHA * functional.logsigmoid(-logits)
    return -(weights * at_peaks.where(peak, elsewhere)).sum() / (weights * peak).sum().clamp(min=1)


def balanced_focal(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Compute RetinaNet's focal loss (eq. 5) of targets 0 and 1, divided by the number of 1 (at least 1)."""
    probability = logits.sigmoid()
    at_ones = BALANCE * (1 - probability) ** FOCUS * functional.logsigmoid(logits)
    elsewhere = (1 - BALANCE) * probability**FOCUS * functional.logsigmoid(-logits)
    is_one = target == 1
    return -(weights * at_ones.where(is_one, elsewhere)).sum() / (weights * is_one).sum().clamp(min=1)


def softmax(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Compute PoseFix's losses of distributions over the cells (eq. 2 and 3), means over all channels.

    Channels without a target count as 0.

    Args:
        logits: (B, C, H, W).
        target: (B, C, H, W) distribution of each channel, or 0 everywhere.

    Returns:
        The cross entropy, and the L1 distance of the mean positions in cells, averaged over x and y.
    """
    logits, wanted = logits.flatten(2), target.flatten(2)
    known = wanted.sum(dim=2)
    entropy = -(wanted * logits.log_softmax(dim=2)).sum(dim=2)
    steps = (torch.arange(size, dtype=logits.dtype, device=logits.device) for size in target.shape[2:])
    cells_yx = torch.stack(torch.meshgrid(*steps, indexing="ij")).flatten(1)
    distance = ((logits.softmax(dim=2) * known[..., None] - wanted) @ cells_yx.T).abs()
    return entropy.mean(), distance.mean()


def l1(output: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Compute the mean absolute error over the cells with weight 1. It is 0 if there are none."""
    weights = weights.expand_as(output)
    return (weights * (output - target).abs()).sum() / (weights.sum() + EPSILON)
