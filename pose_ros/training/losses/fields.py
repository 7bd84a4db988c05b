"""Compute the loss of a network over all fields of all stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.training.losses import directpose
from pose_ros.training.losses.config import LossConfig
from pose_ros.training.losses.dense import balanced_focal, focal, l1, l2, logistic, reduce_cells, softmax
from pose_ros.training.losses.tags import gather_tags, pull_and_push

DENSE_FIELDS = ("heatmaps", "pafs", "centres", "segmentation")
"""Fields with a target in every cell. The other fields are offsets, with a target in some cells."""
PIXEL_OFFSETS = ("short_offsets", "mid_offsets", "long_offsets")
"""Offsets whose errors are divided by ``LossConfig.offset_unit``."""


class FieldsLoss(nn.Module):
    """Sum of the losses of all stages and fields, computed in float32 even under autocast.

    Args:
        config: Forms and weights of the losses.
    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, stages: Sequence[Mapping[str, Tensor]], targets: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch.

        Args:
            stages: Outputs of each stage: field name to (B, C, H, W), on the grid of the targets or a coarser one.
                Heatmap channels beyond those of the target are ignored. Fields of ``directpose`` are (B, C, P), after
                a field with a grid.
            targets: Stacked results of ``make_targets``, on the device of the network.

        Returns:
            The loss, and its parts by name, without gradients. The names are those of the fields, and ``pull`` and
            ``push`` for tags. Each part is weighted and summed over the stages, so that the parts sum to the loss.

        Raises:
            ValueError: If a field of a stage has no target, or the target has a different shape.
        """
        parts: dict[str, Tensor] = {}
        by_grid: dict[tuple[int, ...], Mapping[str, Tensor]] = {}
        with torch.autocast(next(iter(stages[0].values())).device.type, enabled=False):
            for stage in stages:
                grid = tuple(next(iter(stage.values())).shape[2:])
                if grid not in by_grid:
                    by_grid[grid] = self._weight_targets(targets_on_grid(targets, grid))
                for part, loss in self._stage_losses(stage, by_grid[grid]):
                    weighted = getattr(self.config, part) * loss
                    parts[part] = parts[part] + weighted if part in parts else weighted
            if not parts:
                raise ValueError(f"loss: expected a weight above 0 for one of {', '.join(stages[-1])}, got 0 for all")
            total = torch.stack(list(parts.values())).sum()
        return total, {part: loss.detach() for part, loss in parts.items()}

    def _weight_targets(self, targets: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Convert the weights of the targets to the weights used in the loss."""
        weighted = dict(targets)
        for field in [name for name in targets if f"{name}_weights" in targets]:
            weights = targets[f"{field}_weights"].to(targets[field].dtype)
            if field == "heatmaps" and self.config.heatmap_loss in ("l2", "logistic"):
                weights = weights * (1 + self.config.peak_weight * targets[field])
            weighted[f"{field}_weights"] = weights
        return weighted

    def _stage_losses(self, stage: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield name and loss of each part of one stage."""
        for field, output in stage.items():
            if field == "tags":
                if not (self.config.pull or self.config.push):
                    continue
                tags, present = gather_tags(_to_float32(output), _get_target("tag_cells", targets))
                pull, push = pull_and_push(
                    *(tags / self.config.tag_unit, present), self.config.push_form, self.config.pull_form
                )
                yield from (("pull", pull.mean()), ("push", push.mean()))
            elif field in directpose.LOSSES:
                if getattr(self.config, field):
                    yield field, directpose.cell_loss(field, _to_float32(output), targets)
            elif getattr(self.config, field):
                target, weights = _get_target(field, targets), targets[f"{field}_weights"]
                yield field, self._dense_loss(field, _to_float32(output), target, weights)

    def _dense_loss(self, field: str, output: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        config = self.config
        if field == "heatmaps":
            output = output[:, : target.shape[1]]
        if output.shape != target.shape:
            raise ValueError(f"{field}: expected the shape of its target, {(*target.shape,)}, got {(*output.shape,)}")
        if field not in DENSE_FIELDS:
            return l1(output, target, weights) / (config.offset_unit if field in PIXEL_OFFSETS else 1)
        if field == "heatmaps" and config.heatmap_loss == "softmax":
            entropy, distance = softmax(output, target)
            return entropy + config.coordinates * distance
        form = {"heatmaps": config.heatmap_loss, "centres": config.centre_loss, "pafs": "l2"}.get(field, "logistic")
        if form in ("focal", "balanced"):
            return (focal if form == "focal" else balanced_focal)(output, target, weights)
        cells = (l2 if form == "l2" else logistic)(output, target, weights)
        return reduce_cells(cells, config.normalisation, config.hardest if field == "heatmaps" else 0)


def _get_target(name: str, targets: Mapping[str, Tensor]) -> Tensor:
    if name not in targets:
        raise ValueError(f"targets: expected {name}, which a stage outputs, got {', '.join(targets)}; add it to heads")
    return targets[name]


def _to_float32(output: Tensor) -> Tensor:
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def targets_on_grid(targets: Mapping[str, Tensor], shape_hw: tuple[int, ...]) -> Mapping[str, Tensor]:
    """Return the targets on the grid of a stage.

    Args:
        targets: Targets as in ``FieldsLoss.forward``.
        shape_hw: Rows and columns of the stage.

    Returns:
        The same targets if the grid is the same. On a coarser grid, each cell of the stage covers a block of target
        cells with the same centre. Fields are then means over the blocks. A weight is 1 only if it is 1 in the whole
        block.

    Raises:
        ValueError: If the grid of the stage is not the grid of the targets divided by a whole number.
    """
    fine = next((tuple(target.shape[2:]) for target in targets.values() if target.ndim == 4), tuple(shape_hw))
    factor = max(fine[0] // shape_hw[0], 1)
    if fine != tuple(factor * size for size in shape_hw):
        raise ValueError(f"stage: expected the grid of the targets {fine} or 1/n of it, got {(*shape_hw,)}")
    if factor == 1:
        return targets
    return {name: _coarsen(name, target, factor, fine[1]) for name, target in targets.items()}


def _coarsen(name: str, target: Tensor, factor: int, cols: int) -> Tensor:
    if name == "tag_cells":
        row, col = target.div(cols, rounding_mode="floor"), target % cols
        cells = row.div(factor, rounding_mode="floor") * (cols // factor) + col.div(factor, rounding_mode="floor")
        return torch.where(target >= 0, cells, -1)
    if name.endswith("_weights"):
        return 1 - functional.max_pool2d(1 - target.float(), factor)
    return functional.avg_pool2d(target, factor)
