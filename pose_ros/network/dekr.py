"""DEKR: one branch per keypoint, with adaptive convolutions, predicts the offsets from a person's centre to it.

The publisher does not round keypoints to cells, so this model is decoded with ``half_cell`` off.

References:
    Geng et al., Bottom-Up Human Pose Estimation Via Disentangled Keypoint Regression, arXiv:2104.02300, section 3.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from pose_ros.fields import ModelSpec
from pose_ros.network.deformable import affine_offsets, deformable_conv2d
from pose_ros.network.hrnet import Concatenate, HRNet, whole_image_input
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.network.resnet import BasicBlock
from pose_ros.skeleton import COCO_17, Skeleton

CHANNELS = 15
"""Feature channels of each keypoint's branch."""


class DEKR(PoseNetwork):
    """DEKR on all four resolutions of HRNet. One head for heatmaps and centres, one branch per keypoint for offsets.

    Args:
        spec: Model description.
        width: Channels of HRNet's finest resolution.
    """

    def __init__(self, spec: ModelSpec, width: int) -> None:
        super().__init__()
        self.spec = with_heads(spec, ("heatmaps", "centres", "keypoint_offsets"))
        self.keypoints = len(spec.skeleton)
        self.backbone, self.neck = HRNet(width, scales=4), Concatenate()
        features = sum(self.backbone.channels)
        self.heatmaps = nn.Sequential(
            *_conv_norm_relu(features, width), BasicBlock(width, width), nn.Conv2d(width, self.keypoints + 1, 1)
        )
        self.shares = nn.Sequential(*_conv_norm_relu(features, self.keypoints * CHANNELS))
        self.branches = nn.ModuleList(
            nn.Sequential(AdaptiveBlock(CHANNELS), AdaptiveBlock(CHANNELS), nn.Conv2d(CHANNELS, 2, 1))
            for _ in range(self.keypoints)
        )

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute one stage: heatmaps, centres, and offsets from a centre to its keypoints in cells."""
        features = self.neck(self.backbone(images))
        heatmaps, centres = self.heatmaps(features).split([self.keypoints, 1], dim=1)
        shares = self.shares(features).chunk(self.keypoints, dim=1)
        offsets = [branch(share) for branch, share in zip(self.branches, shares, strict=True)]
        return [{"heatmaps": heatmaps, "centres": centres, "keypoint_offsets": torch.cat(offsets, dim=1)}]


class AdaptiveBlock(nn.Module):
    """Residual 3 × 3 convolution with one affine map of its kernel per cell (section 3.1).

    Args:
        channels: Input and output channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.matrix = nn.Conv2d(channels, 4, 3, padding=1)
        self.translation = nn.Conv2d(channels, 2, 3, padding=1)
        self.weight = nn.Conv2d(channels, channels, 3, bias=False).weight
        self.norm = nn.BatchNorm2d(channels)
        self._init_identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        offsets = affine_offsets(self.matrix(features), self.translation(features))
        return (self.norm(deformable_conv2d(features, offsets, self.weight)) + features).relu()

    def _init_identity(self) -> None:
        """Start with the identity map, so that the kernel is a plain one before training."""
        for conv in (self.matrix, self.translation):
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(conv.bias)
        with torch.no_grad():
            self.matrix.bias[[0, 3]] = 1


def _conv_norm_relu(cin: int, cout: int) -> list[nn.Module]:
    return [nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)]


def dekr(skeleton: Skeleton = COCO_17, width: int = 32) -> PoseNetwork:
    """Build DEKR for the publisher's input size: shorter side 512 px for width 32, else 640 px."""
    spec = ModelSpec(
        *(f"dekr_w{width}", skeleton, 4),  # origin 0: training does not round keypoints to cells
        input=whole_image_input(width),
        grouping="centernet",
        licence="MIT",
    )
    return DEKR(spec, width)


NETWORKS = {f"dekr_w{width}": partial(dekr, width=width) for width in (32, 48)}
