"""Make small networks for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.model import FieldTensors, HeadedNetwork, PoseNetwork, with_heads
from pose_ros.skeleton import OPENPOSE_18, TRT_POSE_18, Skeleton

INPUT = InputSpec("x", "NCHW", "float32", "bgr", (10.0, 20.0, 30.0), (40.0, 50.0, 60.0), 16, 64)


def make_tiny(skeleton: Skeleton = TRT_POSE_18, **spec: object) -> HeadedNetwork:
    """Make a network with heatmaps and PAFs of stride 4 from three convolutions."""
    heads = {"heatmaps": nn.Conv2d(8, len(skeleton), 1), "pafs": nn.Conv2d(8, 2 * len(skeleton.limbs), 1)}
    backbone = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ConvTranspose2d(8, 8, 4, 2, 1)),
    )
    description = replace(ModelSpec("tiny", skeleton, 4, origin=1.5, input=INPUT, licence="MIT"), **spec)
    return HeadedNetwork(description, backbone, nn.Identity(), heads, logits=("heatmaps",))


class Painted(PoseNetwork):
    """Network that outputs the same fields for every image.

    Args:
        fields: Field name to (C, H, W).
        stride: Stride of the fields, px.
    """

    def __init__(self, fields: Mapping[str, Tensor], stride: int = 8) -> None:
        super().__init__()
        self.spec = with_heads(ModelSpec("painted", OPENPOSE_18, stride, input=INPUT), tuple(fields))
        self.fields_given = nn.ParameterDict({name: nn.Parameter(field) for name, field in fields.items()})

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Return the fields, repeated for each image."""
        nothing = images.mean(dim=(1, 2, 3), keepdim=True) * 0
        return [{name: field + nothing for name, field in self.fields_given.items()}]


def seed_torch() -> None:
    """Seed PyTorch and use one thread, so that random weights are the same every time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
