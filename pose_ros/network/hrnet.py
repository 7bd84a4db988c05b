"""HRNet: four parallel resolutions that exchange features repeatedly. The finest is kept through the whole network.

Attributes have the publisher's names (``stage3.0.fuse_layers.1.2``), so its weights load.

References:
    Sun et al., Deep High-Resolution Representation Learning for Human Pose Estimation, arXiv:1902.09212, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import InputSpec
from pose_ros.network.model import IMAGENET_INPUT, HeadedNetwork, crop_spec
from pose_ros.network.resnet import BasicBlock, Bottleneck
from pose_ros.skeleton import COCO_17, Skeleton

Maps = list[Tensor]
"""Features of several resolutions, fine to coarse. Each has half the resolution of the previous one."""


class HRNet(nn.Module):
    """The backbone.

    Args:
        width: Channels of the finest resolution. Each coarser resolution has twice as many.
        scales: Number of resolutions to return, finest first, 1 to 4.

    Attributes:
        channels: Channels of each returned map.
        strides: Stride of each returned map, px.
    """

    def __init__(self, width: int, scales: int = 1) -> None:
        super().__init__()
        widths = [width << scale for scale in range(4)]
        self.channels, self.strides = tuple(widths[:scales]), (4, 8, 16, 32)[:scales]
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(*(Bottleneck(cin, 64) for cin in (64, 256, 256, 256)))
        self.transition1 = BranchTransition([256], widths[:2])
        self.stage2 = _stage(widths[:2], 1)
        self.transition2 = BranchTransition(widths[:2], widths[:3])
        self.stage3 = _stage(widths[:3], 4)
        self.transition3 = BranchTransition(widths[:3], widths)
        self.stage4 = _stage(widths, 3, scales)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (B, 3, H, W), H and W multiples of 32, to maps of the strides 4, 8, …."""
        stem = self.bn2(self.conv2(self.bn1(self.conv1(images)).relu())).relu()
        maps = self.stage2(self.transition1([self.layer1(stem)]))
        maps = self.stage3(self.transition2(maps))
        return tuple(self.stage4(self.transition3(maps)))


class BranchTransition(nn.ModuleList):
    """Transition that makes one more resolution from the coarsest one. The others only change their channels."""

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        existing = (nn.Identity() if b == a else _conv(b, a) for b, a in zip(before, after[:-1], strict=True))
        super().__init__([*existing, nn.Sequential(_conv(before[-1], after[-1], stride=2))])

    def forward(self, maps: Maps) -> Maps:
        """Return the maps and one coarser map."""
        return [layer(features) for layer, features in zip(self, [*maps, maps[-1]], strict=True)]


class ExchangeUnit(nn.Module):
    """One branch per resolution, then a fusion of all resolutions into each (fig. 3).

    Args:
        widths: Channels of each resolution.
        outputs: Number of resolutions to return, finest first.
    """

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(basic_blocks(width) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resample_layer(widths, source, target) for source in range(len(widths)))
            for target in range(outputs)
        )

    def forward(self, maps: Maps) -> Maps:
        """Return the first ``outputs`` resolutions. Each is the sum of all resolutions."""
        maps = [branch(features) for branch, features in zip(self.branches, maps, strict=True)]
        return [
            reduce(torch.add, [layer(features) for layer, features in zip(layers, maps, strict=True)]).relu()
            for layers in self.fuse_layers
        ]


class Concatenate(nn.Module):
    """Concatenation of all feature maps on the finest grid. A single map stays unchanged."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Concatenate maps of halving resolutions to (B, sum of channels, H, W) of the first."""
        return torch.cat(upsample_to_finest(maps), dim=1)


def basic_blocks(width: int) -> nn.Sequential:
    """Make the four residual blocks of which all branches of HRNet consist."""
    return nn.Sequential(*(BasicBlock(width, width) for _ in range(4)))


def upsample_to_finest(maps: Sequence[Tensor]) -> list[Tensor]:
    """Upsample maps of halving resolutions to the grid of the first."""
    return [maps[0], *(upsample(coarse, 2**scale) for scale, coarse in enumerate(maps[1:], start=1))]


def upsample(features: Tensor, times: int) -> Tensor:
    """Upsample by a factor, bilinear. Both grids cover the same image from edge to edge."""
    return functional.interpolate(features, scale_factor=float(times), mode="bilinear", align_corners=False)


def _stage(widths: Sequence[int], exchanges: int, outputs: int | None = None) -> nn.Sequential:
    counts = [len(widths)] * (exchanges - 1) + [outputs or len(widths)]
    return nn.Sequential(*(ExchangeUnit(widths, count) for count in counts))


def _resample_layer(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """Make a layer between two resolutions: 1 × 1 and nearest cell to a finer one, strided 3 × 3 to a coarser one."""
    cin, cout = widths[source], widths[target]
    if source == target:
        return nn.Identity()
    if source > target:
        up = nn.Upsample(scale_factor=float(2 ** (source - target)), mode="nearest")
        return nn.Sequential(nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout), up)
    steps = [_conv(cin, cin, stride=2) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _conv(cin, cout, stride=2)[:2])


def _conv(cin: int, cout: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True))


def hrnet(skeleton: Skeleton = COCO_17, width: int = 32, size_wh: tuple[int, int] = (192, 256)) -> HeadedNetwork:
    """Build the single-person network: one 1 × 1 convolution on the finest resolution.

    Args:
        skeleton: Keypoints to predict.
        width: Channels of HRNet's finest resolution.
        size_wh: Size of the crops, px.
    """
    backbone = HRNet(width)
    heads = {"heatmaps": nn.Conv2d(width, len(skeleton), 1)}
    spec = crop_spec(f"hrnet_w{width}", skeleton, size_wh)  # origin 0: training rounds keypoints to the nearest cell
    return HeadedNetwork(spec, backbone, Concatenate(), heads)


def whole_image_input(width: int) -> InputSpec:
    """Describe the publisher's input of whole images: shorter side 512 px for HRNet of width 32, else 640 px."""
    return replace(IMAGENET_INPUT, multiple=64, short_side=512 if width == 32 else 640)


NETWORKS = {f"hrnet_w{width}": partial(hrnet, width=width) for width in (32, 48)}
