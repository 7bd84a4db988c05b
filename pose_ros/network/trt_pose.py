"""trt_pose: a residual or dense trunk, and two branches of deconvolutions to heatmaps and part affinity fields.

A cell is half-pixel: the publisher's targets and peaks use normalised coordinates (cell + 0.5) / cells, and the field
has a quarter of the image's pixels on a side. So cell c lies at x = 4 c + 1.5 where pixel centres are integers.

References:
    NVIDIA-AI-IOT, trt_pose (the names, the attention, the order of links).
    Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, arXiv:1804.06208 (deconvolutions).
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from pose_ros.fields import ModelSpec
from pose_ros.network.densenet import VARIANTS, DenseNet
from pose_ros.network.model import IMAGENET_INPUT, Coarsest, HeadedNetwork, PoseNetwork
from pose_ros.network.resnet import BLOCKS, ResNet
from pose_ros.skeleton import TRT_POSE_18, Skeleton

BACKBONES: dict[str, Callable[[], nn.Module]] = {
    **{f"resnet{depth}": partial(ResNet, depth) for depth in BLOCKS},
    **{f"densenet{depth}": partial(DenseNet, depth) for depth in VARIANTS},
}

_FINGERS = tuple(
    f"{finger}_{joint}" for finger in ("thumb", "index", "middle", "ring", "little") for joint in range(1, 5)
)
HAND_21 = Skeleton(
    "trt_pose_hand_21",
    ("palm", *_FINGERS),
    (
        *((0, tip) for tip in (4, 8, 12, 16, 20)),
        *((joint, joint + 1) for base in (1, 5, 9, 13, 17) for joint in range(base, base + 3)),
    ),
)
"""trt_pose_hand: the palm and five fingers; joint 4 of each is next to the palm."""


class Upsampling(nn.Sequential):
    """Three deconvolutions, each to a grid twice as fine: stride 32 to stride 4."""

    def __init__(self, cin: int, channels: int) -> None:
        layers: list[nn.Module] = []
        for index in range(3):
            layers += [
                nn.ConvTranspose2d(channels if index else cin, channels, 4, stride=2, padding=1),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class TrtPoseBranch(nn.Module):
    """Upsampling, and a field read from it.

    Args:
        cin: Channels of the coarse features.
        cout: Channels of the field.
        attention: What makes the gate of its 3 × 3 convolution: the features are multiplied by it. None for no gate.
        channels: Of the fine features.
    """

    def __init__(
        self, cin: int, cout: int, attention: Callable[[Tensor], Tensor] | None = None, channels: int = 256
    ) -> None:
        super().__init__()
        self.up = Upsampling(cin, channels)
        self.attention = attention
        if attention is not None:
            self.gate = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv = nn.Conv2d(channels, cout, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cout, 8 H, 8 W)."""
        fine = self.up(features)
        if self.attention is not None:
            fine = fine * self.attention(self.gate(fine))
        return self.conv(fine)


def trt_pose(
    skeleton: Skeleton = TRT_POSE_18, backbone: str = "resnet18", attention: bool = True, short_side: int = 256
) -> PoseNetwork:
    """A network of this family.

    Args:
        skeleton: Keypoints, and limbs of the part affinity fields.
        backbone: A key of ``BACKBONES``.
        attention: Whether the branches gate their features.
        short_side: Of the images that the publisher trains it with, px.
    """
    trunk = BACKBONES[backbone]()
    gates = (torch.sigmoid, torch.tanh) if attention else (None, None)
    heads = {
        "heatmaps": TrtPoseBranch(trunk.channels[-1], len(skeleton), gates[0]),
        "pafs": TrtPoseBranch(trunk.channels[-1], 2 * len(skeleton.limbs), gates[1]),
    }
    spec = ModelSpec(
        _name(backbone, attention),
        skeleton,
        stride=4,
        origin=1.5,
        input=replace(IMAGENET_INPUT, short_side=short_side),
        licence="MIT",
    )
    return HeadedNetwork(spec, trunk, Coarsest(), heads)


def _name(backbone: str, attention: bool) -> str:
    return f"trt_pose_{backbone}_att" if attention else f"trt_pose_{backbone}"


NETWORKS = {
    _name(backbone, attention): partial(
        trt_pose, backbone=backbone, attention=attention, short_side=224 if backbone == "resnet18" else 256
    )
    for backbone in BACKBONES
    for attention in (True, False)
}
