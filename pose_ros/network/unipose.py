"""UniPose: a dilated ResNet, a waterfall of dilated convolutions and a decoder for the one person in a crop.

References:
    Artacho and Savakis, UniPose: Unified Human Pose Estimation in Single Images and Videos, arXiv:2001.08095:
    waterfall atrous spatial pooling (WASP), decoder.
    Artacho and Savakis, Waterfall Atrous Spatial Pooling Architecture for Efficient Semantic Segmentation,
    arXiv:1912.03183.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from pose_ros.fields import ModelSpec
from pose_ros.network.hrnet import upsample
from pose_ros.network.model import IMAGENET_INPUT, FieldTensors, PoseNetwork, with_heads
from pose_ros.network.resnet import ResNet
from pose_ros.skeleton import MPII_16, Skeleton

OUTPUT_STRIDE, STRIDE = 16, 8
ORIGIN = 3.5  # the cells tile the image, so a mirrored image has mirrored fields
SIZE_WH = (368, 368)
CHANNELS, LOW_CHANNELS = 256, 48
DILATIONS = (18, 12, 6)
"""Dilations of the 3 × 3 convolutions, in the order in which the features pass through them."""


class UniPose(PoseNetwork):
    """UniPose for single images. The last channel of its heatmaps is the background.

    Args:
        skeleton: Keypoints to predict.
        depth: Depth of the ResNet.
    """

    def __init__(self, skeleton: Skeleton, depth: int) -> None:
        super().__init__()
        crop = replace(IMAGENET_INPUT, multiple=OUTPUT_STRIDE, short_side=min(SIZE_WH), size_wh=SIZE_WH)
        spec = ModelSpec(
            *(f"unipose_resnet{depth}", skeleton, STRIDE, ORIGIN),
            input=crop,
            grouping="single",
            licence="no published weights",
        )
        self.spec = with_heads(spec, ("heatmaps",))
        self.backbone = ResNet(depth, OUTPUT_STRIDE)
        self.waterfall = Waterfall(self.backbone.channels[-1])
        self.decoder = UniPoseDecoder(self.backbone.channels[0], len(skeleton) + 1)

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute the heatmaps and the background, (B, K + 1, H / 8, W / 8)."""
        low, _, _, high = self.backbone(images)
        return [{"heatmaps": self.decoder(low, self.waterfall(high))}]


class Waterfall(nn.Module):
    """WASP module: each dilated convolution reads the previous one, and all of them are joined.

    The joined features have several fields of view, as those of parallel convolutions, with fewer weights.

    Args:
        cin: Channels of the input.
        dilations: Dilations of the 3 × 3 convolutions after the first one of 1 × 1.
    """

    def __init__(self, cin: int, dilations: Sequence[int] = DILATIONS) -> None:
        super().__init__()
        steps = (_conv(CHANNELS, CHANNELS, size=3, dilation=dilation) for dilation in dilations)
        self.steps = nn.ModuleList([_conv(cin, CHANNELS), *steps])
        self.shared = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)
        self.context = _conv(cin, CHANNELS)
        self.join = nn.Sequential(_conv((len(self.steps) + 1) * CHANNELS, CHANNELS), nn.Dropout(0.5))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, 256, H, W). In training, the batch has at least two images."""
        context = self.context(features.mean(dim=(2, 3), keepdim=True))
        branches = []
        for step in self.steps:
            features = step(features)
            branches.append(self.shared(self.shared(features)))  # one convolution, twice for each branch, as published
        return self.join(torch.cat([*branches, context.expand_as(branches[0])], dim=1))


class UniPoseDecoder(nn.Module):
    """Heatmaps from the features of the waterfall and the finest map of the backbone, at stride 8.

    Args:
        cin: Channels of the finest map.
        cout: Channels of the heatmaps.
    """

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.low = nn.Sequential(_conv(cin, LOW_CHANNELS), nn.MaxPool2d(3, stride=2, padding=1))
        self.predict = nn.Sequential(
            *(_conv(LOW_CHANNELS + CHANNELS, CHANNELS, size=3), nn.Dropout(0.5)),
            *(_conv(CHANNELS, CHANNELS, size=3), nn.Dropout(0.1)),
            nn.Conv2d(CHANNELS, cout, 1),
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Compute the heatmaps.

        Args:
            low: (B, cin, H / 4, W / 4).
            high: (B, 256, H / 16, W / 16).
        """
        return self.predict(torch.cat([upsample(high, OUTPUT_STRIDE // STRIDE), self.low(low)], dim=1))


def _conv(cin: int, cout: int, size: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = size // 2 * dilation
    return nn.Sequential(
        nn.Conv2d(cin, cout, size, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(cout),
        nn.ReLU(inplace=True),
    )


def unipose(skeleton: Skeleton = MPII_16, depth: int = 101) -> PoseNetwork:
    """Build UniPose on a ResNet."""
    return UniPose(skeleton, depth)


NETWORKS = {f"unipose_resnet{depth}": partial(unipose, depth=depth) for depth in (50, 101)}
