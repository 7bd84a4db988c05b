"""Targets on the grid of a stage that is coarser than the last, as in HigherHRNet and stacked pyramids."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional


def on_grid(targets: Mapping[str, Tensor], shape_hw: tuple[int, ...]) -> Mapping[str, Tensor]:
    """The targets of a stage.

    Args:
        targets: As FieldsLoss takes them.
        shape_hw: Rows and columns of the stage.

    Returns:
        The same where the grid is the same. Where each cell of the stage covers a block of cells, of which its centre
        is the middle, fields are means over blocks, and taught where all of a block is.

    Raises:
        ValueError: If the stage's grid is not that of the targets divided by a whole number.
    """
    fine = next((tuple(target.shape[2:]) for target in targets.values() if target.ndim == 4), tuple(shape_hw))
    factor = max(fine[0] // shape_hw[0], 1)
    if fine != tuple(factor * size for size in shape_hw):
        raise ValueError(f"stage: expected the grid of the targets {fine} or a whole part of it, got {(*shape_hw,)}")
    if factor == 1:
        return targets
    return {name: _coarser(name, target, factor, fine[1]) for name, target in targets.items()}


def _coarser(name: str, target: Tensor, factor: int, cols: int) -> Tensor:
    if name == "tag_cells":
        row, col = target.div(cols, rounding_mode="floor"), target % cols
        cells = row.div(factor, rounding_mode="floor") * (cols // factor) + col.div(factor, rounding_mode="floor")
        return torch.where(target >= 0, cells, -1)
    if name.endswith("_weights"):
        return 1 - functional.max_pool2d(1 - target.float(), factor)
    return functional.avg_pool2d(target, factor)
