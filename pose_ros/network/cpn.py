"""Cascaded Pyramid Network: a feature pyramid for the easy keypoints of a crop, a second network for the hard ones.

References:
    Chen et al., Cascaded Pyramid Network for Multi-Person Pose Estimation, arXiv:1711.07319, section 3.2, fig. 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from pose_ros.network.hrnet import upsample, upsample_to_finest
from pose_ros.network.model import FieldTensors, PoseNetwork, crop_spec, with_heads
from pose_ros.network.resnet import Bottleneck, ResNet
from pose_ros.skeleton import COCO_17, Skeleton

CHANNELS = 256
ORIGIN = 1.5  # the cells tile the image, so a mirrored image has mirrored fields


class CPN(PoseNetwork):
    """GlobalNet and RefineNet on a ResNet.

    Args:
        skeleton: Keypoints to predict.
        depth: Depth of the ResNet.
    """

    def __init__(self, skeleton: Skeleton, depth: int) -> None:
        super().__init__()
        spec = crop_spec(f"cpn_resnet{depth}", skeleton, origin=ORIGIN)
        self.spec = with_heads(spec, ("heatmaps",))
        self.backbone = ResNet(depth)
        self.coarse = GlobalNet(self.backbone.channels, len(skeleton))
        self.fine = RefineNet(len(self.backbone.channels), len(skeleton))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute the heatmaps of GlobalNet's four levels, coarse to fine, then of RefineNet. All at stride 4."""
        pyramid, heatmaps = self.coarse(self.backbone(images))
        return [{"heatmaps": level} for level in (*heatmaps, self.fine(pyramid))]


class GlobalNet(nn.Module):
    """Feature pyramid that predicts heatmaps at every level.

    Args:
        channels: Channels of the feature maps, fine to coarse.
        cout: Channels of the heatmaps.
    """

    def __init__(self, channels: Sequence[int], cout: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(*conv_norm(cin, CHANNELS), nn.ReLU(inplace=True)) for cin in channels
        )
        self.downward = nn.ModuleList(nn.Sequential(*conv_norm(CHANNELS, CHANNELS)) for _ in channels[1:])
        self.predict = nn.ModuleList(
            nn.Sequential(
                *conv_norm(CHANNELS, CHANNELS), nn.ReLU(inplace=True), nn.Conv2d(CHANNELS, cout, 3, padding=1)
            )
            for _ in channels
        )

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Compute the pyramid, fine to coarse, and the heatmaps of its levels on the finest grid, coarse to fine."""
        pyramid = [lateral(features) for lateral, features in zip(self.lateral, maps, strict=True)]
        for level in reversed(range(len(pyramid) - 1)):
            pyramid[level] = pyramid[level] + self.downward[level](upsample(pyramid[level + 1], 2))
        heatmaps = [predict(level) for predict, level in zip(self.predict, pyramid, strict=True)]
        return pyramid, upsample_to_finest(heatmaps)[::-1]


class RefineNet(nn.Module):
    """Prediction from all levels together. Coarser levels pass through more residual blocks first.

    Args:
        levels: Number of levels of the pyramid.
        cout: Channels of the heatmaps.
    """

    def __init__(self, levels: int, cout: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Sequential(*(_block(CHANNELS) for _ in range(count))) for count in range(levels))
        self.together = _block(levels * CHANNELS)
        self.predict = nn.Conv2d(CHANNELS, cout, 3, padding=1)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Map the pyramid, fine to coarse, to heatmaps on its finest grid."""
        levels = [blocks(level) for blocks, level in zip(self.levels, pyramid, strict=True)]
        return self.predict(self.together(torch.cat(upsample_to_finest(levels), dim=1)))


def conv_norm(cin: int, cout: int) -> list[nn.Module]:
    """Make a 1 × 1 convolution and its normalisation."""
    return [nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout)]


def _block(cin: int) -> Bottleneck:
    return Bottleneck(cin, CHANNELS // Bottleneck.expansion)


def cpn(skeleton: Skeleton = COCO_17, depth: int = 50) -> PoseNetwork:
    """Build CPN on a ResNet of 50 or more layers."""
    return CPN(skeleton, depth)


NETWORKS = {f"cpn_resnet{depth}": partial(cpn, depth=depth) for depth in (50, 101)}
