"""trt_pose: a residual or dense backbone, and two branches of deconvolutions to heatmaps and part affinity fields.

Cells are half-pixel: the publisher's targets and peaks use normalised coordinates (cell + 0.5) / cells, and each side
of the field has a quarter of the image's pixels. So cell c lies at x = 4 c + 1.5, with pixel centres at integers.

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
from pose_ros.network.model import IMAGENET_INPUT, CoarsestMap, HeadedNetwork, PoseNetwork
from pose_ros.network.resnet import BLOCKS, ResNet
from pose_ros.skeleton import TRT_POSE_18, Skeleton

BACKBONES: dict[str, Callable[[], nn.Module]] = {
    **{f"resnet{depth}": partial(ResNet, depth) for depth in BLOCKS},
    **{f"densenet{depth}": partial(DenseNet, depth) for depth in VARIANTS},
}

_FINGERS = tuple(
    f"{finger}_{number}" for finger in ("thumb", "index", "middle", "ring", "little") for number in range(1, 5)
)
HAND_21 = Skeleton(
    "trt_pose_hand_21",
    ("palm", *_FINGERS),
    (
        *((0, tip) for tip in (4, 8, 12, 16, 20)),
        *((keypoint, keypoint + 1) for base in (1, 5, 9, 13, 17) for keypoint in range(base, base + 3)),
    ),
)
"""Skeleton of trt_pose_hand: the palm and five fingers. Keypoint 4 of each finger is next to the palm."""


class Upsampling(nn.Sequential):
    """Three deconvolutions, from stride 32 to stride 4. Each doubles the resolution."""

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
    """Upsampling, and a convolution that predicts the field.

    Args:
        cin: Channels of the coarse features.
        cout: Channels of the field.
        attention: Activation of the gate, a 3 × 3 convolution that is multiplied with the features. None = no gate.
        channels: Channels of the fine features.
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
        """Map (B, cin, H, W) to (B, cout, 8 H, 8 W)."""
        fine = self.up(features)
        if self.attention is not None:
            fine = fine * self.attention(self.gate(fine))
        return self.conv(fine)


def trt_pose(
    skeleton: Skeleton = TRT_POSE_18, backbone: str = "resnet18", attention: bool = True, short_side: int = 256
) -> PoseNetwork:
    """Build a network of this family.

    Args:
        skeleton: Keypoints, and limbs of the part affinity fields.
        backbone: Key of ``BACKBONES``.
        attention: Whether the branches gate their features.
        short_side: Shorter side of the publisher's training images, px.
    """
    backbone_module = BACKBONES[backbone]()
    gates = (torch.sigmoid, torch.tanh) if attention else (None, None)
    heads = {
        "heatmaps": TrtPoseBranch(backbone_module.channels[-1], len(skeleton), gates[0]),
        "pafs": TrtPoseBranch(backbone_module.channels[-1], 2 * len(skeleton.limbs), gates[1]),
    }
    spec = ModelSpec(
        _name(backbone, attention),
        skeleton,
        stride=4,
        origin=1.5,
        input=replace(IMAGENET_INPUT, short_side=short_side),
        licence="MIT",
    )
    return HeadedNetwork(spec, backbone_module, CoarsestMap(), heads)


def _name(backbone: str, attention: bool) -> str:
    return f"trt_pose_{backbone}_att" if attention else f"trt_pose_{backbone}"


NETWORKS = {
    _name(backbone, attention): partial(
        trt_pose, backbone=backbone, attention=attention, short_side=224 if backbone == "resnet18" else 256
    )
    for backbone in BACKBONES
    for attention in (True, False)
}
