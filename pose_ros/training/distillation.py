"""Learn from the fields of a trained network (teacher) in addition to the labels.

The teacher provides a target for every cell, including cells without labels.

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
"""Fields that a teacher can provide: they have the same meaning in every network."""


class FieldTeacher:
    """Trained network that provides target fields for an image.

    Args:
        teacher: Any network with heatmaps or part affinity fields of the student's keypoints.
        student: Model description of the network in training.
        device: Device of both networks.

    Raises:
        ValueError: If teacher and student have no field in common.
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
        """Predict the fields of the teacher on the grid and in the channels of the student.

        Args:
            pixels: (B, H, W, 3) uint8 images, in the colour order of the student.
            shape_hw: Rows and columns of the fields of the student.

        Returns:
            Field name to (B, C, rows, columns).
        """
        spec = self._network.spec
        images = pixels.permute(0, 3, 1, 2).float()
        if spec.input.colour != self._student.input.colour:
            images = images.flip(1)
        mean, std = (images.new_tensor(value).view(1, 3, 1, 1) for value in (spec.input.mean, spec.input.std))
        fields = self._network.fields((images - mean) / std)
        return {
            name: _match_grid(fields[name].float().index_select(1, index), spec, self._student, shape_hw)
            for name, index in self._channels.items()
        }


def distance(stages: list[FieldTensors], wanted: Mapping[str, Tensor]) -> Tensor:
    """Compute half the squared distance between all stages and the teacher, per image.

    The squares are summed over the cells and averaged over the channels.
    """
    terms = [
        (stage[name][:, : target.shape[1]].float() - target).square().sum() / target.shape[1]
        for stage in stages
        for name, target in wanted.items()
        if name in stage and stage[name].shape[2:] == target.shape[2:]
    ]
    return torch.stack(terms).sum() / (2 * len(next(iter(wanted.values()))))


def load_teacher(path: Path, student: ModelSpec, device: Any) -> FieldTeacher:
    """Load a teacher from a checkpoint in any format that this package can read.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not a checkpoint, or has no field in common with the student.
    """
    return FieldTeacher(load_checkpoint(path), student, device)


def common_channels(teacher: ModelSpec, student: ModelSpec) -> Mapping[str, Tensor]:
    """Return the teacher channels of each common field, in channel order of the student.

    A field is included only if the teacher has all channels of the student.
    """
    found = {}
    names, heads = teacher.skeleton.keypoint_names, {head.field for head in teacher.heads}
    wanted = student.skeleton.keypoint_names
    if "heatmaps" in heads and set(wanted) <= set(names):
        found["heatmaps"] = torch.tensor([names.index(name) for name in wanted])
    limbs = [tuple(names[k] for k in limb) for limb in teacher.limbs]
    student_limbs = [tuple(wanted[k] for k in limb) for limb in student.limbs]
    if "pafs" in heads and set(student_limbs) <= set(limbs):
        found["pafs"] = torch.tensor([2 * limbs.index(limb) + axis for limb in student_limbs for axis in (0, 1)])
    return {name: found[name] for name in FIELDS if name in found and name in {head.field for head in student.heads}}


def _match_grid(field: Tensor, teacher: ModelSpec, student: ModelSpec, shape_hw: tuple[int, ...]) -> Tensor:
    """Resample a field of the teacher at the cells of the student: bilinear, border values repeated outside."""
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
