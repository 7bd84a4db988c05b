"""The loss of a network: that of every field of every stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.training.losses.config import LossConfig
from pose_ros.training.losses.dense import focal, l1, l2, logistic, reduced
from pose_ros.training.losses.tags import gather_tags, pull_and_push

MAPS = ("heatmaps", "pafs", "centres", "segmentation")
"""Fields that are taught in every cell; the others are offsets, taught in some."""
IN_PIXELS = ("short_offsets", "mid_offsets", "long_offsets")
"""Offsets whose errors are taken relative to ``LossConfig.offset_unit``."""


class FieldsLoss(nn.Module):
    """The sum over stages and fields; computed in float32 under autocast, too.

    Args:
        config: Forms and weights.
    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, stages: Sequence[Mapping[str, Tensor]], targets: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch.

        Args:
            stages: What each stage says: field name to (B, C, H, W), on the grid of the targets or a coarser one; of
                heatmaps, channels beyond those of the target are not taught.
            targets: Results of ``make_targets``, stacked, on the device of the network.

        Returns:
            The loss, and its parts without gradients: by field name, but ``pull`` and ``push`` for tags. Each is
            weighted and summed over the stages, so that the parts sum to the loss.

        Raises:
            ValueError: If a stage has a field without target, or of another shape.
        """
        parts: dict[str, Tensor] = {}
        taught: dict[tuple[int, ...], Mapping[str, Tensor]] = {}
        with torch.autocast(next(iter(stages[0].values())).device.type, enabled=False):
            for stage in stages:
                grid = tuple(next(iter(stage.values())).shape[2:])
                if grid not in taught:
                    taught[grid] = self._weighted(on_grid(targets, grid))
                for part, loss in self._stage(stage, taught[grid]):
                    weighted = getattr(self.config, part) * loss
                    parts[part] = parts[part] + weighted if part in parts else weighted
            total = torch.stack(list(parts.values())).sum()
        return total, {part: loss.detach() for part, loss in parts.items()}

    def _weighted(self, targets: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The targets, their weights as they count in the loss."""
        weighted = dict(targets)
        for field in [name for name in targets if f"{name}_weights" in targets]:
            weights = targets[f"{field}_weights"].to(targets[field].dtype)
            if field == "heatmaps" and self.config.heatmap_loss != "focal":
                weights = weights * (1 + self.config.peak_weight * targets[field])
            weighted[f"{field}_weights"] = weights
        return weighted

    def _stage(self, stage: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """The parts of one stage."""
        for field, output in stage.items():
            if field == "tags":
                tags, present = gather_tags(_precise(output), _target("tag_cells", targets))
                pull, push = pull_and_push(tags / self.config.tag_unit, present, self.config.push_form)
                yield from (("pull", pull.mean()), ("push", push.mean()))
            else:
                yield field, self._dense(field, _precise(output), _target(field, targets), targets[f"{field}_weights"])

    def _dense(self, field: str, output: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        config = self.config
        if field == "heatmaps":
            output = output[:, : target.shape[1]]
        if output.shape != target.shape:
            raise ValueError(f"{field}: expected the shape of its target, {(*target.shape,)}, got {(*output.shape,)}")
        if field not in MAPS:
            return l1(output, target, weights) / (config.offset_unit if field in IN_PIXELS else 1)
        form = {"heatmaps": config.heatmap_loss, "centres": config.centre_loss, "pafs": "l2"}.get(field, "logistic")
        if form == "focal":
            return focal(output, target, weights)
        cells = (l2 if form == "l2" else logistic)(output, target, weights)
        return reduced(cells, config.normalisation, config.hardest if field == "heatmaps" else 0)


def _target(name: str, targets: Mapping[str, Tensor]) -> Tensor:
    if name not in targets:
        raise ValueError(f"targets: expected {name}, which a stage gives, got {', '.join(targets)}; name it in heads")
    return targets[name]


def _precise(output: Tensor) -> Tensor:
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


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
