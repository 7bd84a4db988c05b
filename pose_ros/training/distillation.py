"""Learning from the fields of a trained network, beside the labels: it says something of every cell, labelled or not.

References:
    Hinton et al., Distilling the Knowledge in a Neural Network, arXiv:1503.02531, section 2 (labels and a teacher's
    outputs, weighted).
    Zhang et al., Fast Human Pose Estimation, arXiv:1811.05419, eq. 6 (the same for heatmaps).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from pose_ros.checkpoint import load_checkpoint
from pose_ros.fields import ModelSpec
from pose_ros.network.model import FieldTensors, PoseNetwork

FIELDS = ("heatmaps", "pafs")
"""What a teacher can teach: fields that mean the same in every network."""


class FieldTeacher:
    """A trained network that says what the fields of a picture should be.

    Args:
        teacher: Any network with heatmaps or part affinity fields of the student's keypoints.
        student: Description of the network that learns.
        device: Where both compute.

    Raises:
        ValueError: If the two have no field in common.
    """

    def __init__(self, teacher: PoseNetwork, student: ModelSpec, device: Any) -> None:
        self._network = teacher.eval().requires_grad_(False).to(device)
        self._student = student
        self._channels = {name: index.to(device) for name, index in common_channels(teacher.spec, student).items()}
        if not self._channels:
            raise ValueError(
                f"distillation: expected a teacher with the keypoints of {student.skeleton.name}, got one of "
                f"{teacher.spec.skeleton.name}"
            )

    @torch.no_grad()
    def __call__(self, pixels: Tensor, shape_hw: tuple[int, ...]) -> dict[str, Tensor]:
        """The teacher's fields, on the student's grid and in its channels.

        Args:
            pixels: (B, H, W, 3) uint8, in the student's colour order.
            shape_hw: Rows and columns of the student's fields.

        Returns:
            Field name to (B, C, rows, columns).
        """
        spec = self._network.spec
        images = pixels.permute(0, 3, 1, 2).float()
        if spec.input.colour != self._student.input.colour:
            images = images.flip(1)
        mean, std = (images.new_tensor(value).view(1, 3, 1, 1) for value in (spec.input.mean, spec.input.std))
        said = self._network.fields((images - mean) / std)
        return {
            name: _match_grid(said[name].float().index_select(1, index), spec, self._student, shape_hw)
            for name, index in self._channels.items()
        }


def distance(stages: list[FieldTensors], wanted: Mapping[str, Tensor]) -> Tensor:
    """Squared distance of all stages from a teacher: summed over cells, mean over channels, half of it per picture."""
    terms = [
        (stage[name][:, : target.shape[1]].float() - target).square().sum() / target.shape[1]
        for stage in stages
        for name, target in wanted.items()
        if name in stage and stage[name].shape[2:] == target.shape[2:]
    ]
    return torch.stack(terms).sum() / (2 * len(next(iter(wanted.values()))))


def load_teacher(path: Path, student: ModelSpec, device: Any) -> FieldTeacher:
    """A teacher from a checkpoint of any publisher that this package knows.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none, or has no field in common with the student.
    """
    return FieldTeacher(load_checkpoint(path), student, device)


def common_channels(teacher: ModelSpec, student: ModelSpec) -> Mapping[str, Tensor]:
    """For each field that the teacher can teach whole, the channels that are the student's, in the student's order."""
    found = {}
    names, heads = teacher.skeleton.keypoint_names, {head.field for head in teacher.heads}
    wanted = student.skeleton.keypoint_names
    if "heatmaps" in heads and set(wanted) <= set(names):
        found["heatmaps"] = torch.tensor([names.index(name) for name in wanted])
    limbs = [tuple(names[k] for k in limb) for limb in teacher.limbs]
    wanted_limbs = [tuple(wanted[k] for k in limb) for limb in student.limbs]
    if "pafs" in heads and set(wanted_limbs) <= set(limbs):
        found["pafs"] = torch.tensor([2 * limbs.index(limb) + axis for limb in wanted_limbs for axis in (0, 1)])
    return {name: found[name] for name in FIELDS if name in found and name in {head.field for head in student.heads}}


def _match_grid(field: Tensor, teacher: ModelSpec, student: ModelSpec, shape_hw: tuple[int, ...]) -> Tensor:
    """The teacher's field where the student's cells lie, bilinear; beyond its border, what stands there."""
    rows, cols = field.shape[2:]
    if (teacher.stride, teacher.origin, (rows, cols)) == (student.stride, student.origin, tuple(shape_hw)):
        return field
    y, x = (
        (torch.arange(count, device=field.device) * student.stride + student.origin - teacher.origin) / teacher.stride
        for count in shape_hw
    )
    grid = torch.stack(torch.meshgrid((2 * x + 1) / cols - 1, (2 * y + 1) / rows - 1, indexing="xy"), dim=-1)
    grid = grid.expand(len(field), -1, -1, -1)
    return functional.grid_sample(field, grid, mode="bilinear", padding_mode="border", align_corners=False)
