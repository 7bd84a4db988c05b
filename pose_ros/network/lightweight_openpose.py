"""Lightweight OpenPose: a dilated MobileNet V1, shared layers for both fields, and stages that refine them.

Cells are half-pixel, as in OpenPose: the targets of cell c are those of x = 8 c + 3.5.

References:
    Osokin, Real-time 2D Multi-Person Pose Estimation on CPU: Lightweight OpenPose, arXiv:1811.12004.
    Howard et al., MobileNets, arXiv:1704.04861.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from pose_ros.fields import ModelSpec
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.network.openpose import INPUT
from pose_ros.skeleton import OPENPOSE_18, Skeleton

PAIRS = (
    *((64, 1, 1), (128, 2, 1), (128, 1, 1), (256, 2, 1), (256, 1, 1), (512, 1, 1), (512, 1, 2)),
    *4 * ((512, 1, 1),),
)
"""Channels, stride and dilation of each depthwise and pointwise pair: MobileNet to conv5_5, with stride at most 8."""


class LightweightOpenPose(PoseNetwork):
    """The network. The last channel of its heatmaps is the background.

    Args:
        skeleton: Keypoints, and limbs of the part affinity fields.
        refinements: Number of stages after the first.
        channels: Channels of the features that the stages read.
    """

    def __init__(self, skeleton: Skeleton, refinements: int, channels: int = 128) -> None:
        super().__init__()
        self.spec = with_heads(
            ModelSpec(
                f"lightweight_openpose_{refinements}", skeleton, 8, origin=3.5, input=INPUT, licence="Apache-2.0"
            ),
            ("heatmaps", "pafs"),
        )
        sizes = (len(skeleton) + 1, 2 * len(skeleton.limbs))
        self.backbone = _mobilenet_backbone()
        self.neck = Neck(PAIRS[-1][0], channels)
        first = nn.Sequential(*(_conv(channels, channels) for _ in range(3)))
        self.stages = nn.ModuleList([LightweightStage(first, channels, 512, *sizes)])
        for _ in range(refinements):
            blocks = [RefinementBlock(channels + sum(sizes) if not index else channels, channels) for index in range(5)]
            self.stages.append(LightweightStage(nn.Sequential(*blocks), channels, channels, *sizes))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: one dictionary per stage."""
        features = self.neck(self.backbone(images))
        outputs = [self.stages[0](features)]
        for stage in self.stages[1:]:
            outputs.append(stage(torch.cat([features, *outputs[-1].values()], dim=1)))
        return outputs


class Neck(nn.Module):
    """Neck that reduces the channels of the backbone, then adds separable convolutions with a shortcut."""

    def __init__(self, cin: int, channels: int) -> None:
        super().__init__()
        self.align = _conv(cin, channels, 1)
        self.trunk = nn.Sequential(*(_separable_conv(channels) for _ in range(3)))
        self.conv = _conv(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, channels, H, W)."""
        narrow = self.align(features)
        return self.conv(narrow + self.trunk(narrow))


class LightweightStage(nn.Module):
    """One stage: shared layers, and one head for each of the two fields.

    Args:
        shared: Shared layers, features to features.
        channels: Channels that the shared layers return.
        inner: Channels between the shared layers and the fields.
        heatmaps: Channels of the heatmaps.
        pafs: Channels of the part affinity fields.
    """

    def __init__(self, shared: nn.Module, channels: int, inner: int, heatmaps: int, pafs: int) -> None:
        super().__init__()
        self.trunk = shared
        self.heatmaps = _head(channels, inner, heatmaps)
        self.pafs = _head(channels, inner, pafs)

    def forward(self, features: Tensor) -> FieldTensors:
        """Map features to fields."""
        features = self.trunk(features)
        return {"heatmaps": self.heatmaps(features), "pafs": self.pafs(features)}


class RefinementBlock(nn.Module):
    """A 1 × 1 convolution, then two 3 × 3 with a shortcut. The second is dilated. The receptive field is 7 × 7."""

    def __init__(self, cin: int, channels: int) -> None:
        super().__init__()
        self.initial = _conv(cin, channels, 1)
        self.trunk = nn.Sequential(
            _conv(channels, channels, norm=True), _conv(channels, channels, dilation=2, norm=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, channels, H, W)."""
        narrow = self.initial(features)
        return narrow + self.trunk(narrow)


def _mobilenet_backbone(stem: int = 32) -> nn.Sequential:
    layers = [nn.Sequential(*_conv_norm_relu(nn.Conv2d(3, stem, 3, 2, 1, bias=False)))]
    cin = stem
    for cout, stride, dilation in PAIRS:
        depthwise = nn.Conv2d(cin, cin, 3, stride, dilation, dilation, groups=cin, bias=False)
        pointwise = nn.Conv2d(cin, cout, 1, bias=False)
        layers.append(nn.Sequential(*_conv_norm_relu(depthwise), *_conv_norm_relu(pointwise)))
        cin = cout
    return nn.Sequential(*layers)


def _conv_norm_relu(conv: nn.Module) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True)]


def _conv(cin: int, cout: int, size: int = 3, dilation: int = 1, norm: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(cin, cout, size, padding=dilation * (size // 2), dilation=dilation)
    return nn.Sequential(*(_conv_norm_relu(conv) if norm else (conv, nn.ReLU(inplace=True))))


def _separable_conv(channels: int) -> nn.Sequential:
    depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
    pointwise = nn.Conv2d(channels, channels, 1, bias=False)
    return nn.Sequential(depthwise, nn.ELU(inplace=True), pointwise, nn.ELU(inplace=True))


def _head(cin: int, inner: int, cout: int) -> nn.Sequential:
    return nn.Sequential(_conv(cin, inner, 1), nn.Sequential(nn.Conv2d(inner, cout, 1)))


def lightweight_openpose(skeleton: Skeleton = OPENPOSE_18, refinements: int = 1) -> PoseNetwork:
    """Build the network with a number of refinement stages. The paper has one."""
    return LightweightOpenPose(skeleton, refinements)


NETWORKS = {f"lightweight_openpose_{count}": partial(lightweight_openpose, refinements=count) for count in (1, 3)}
