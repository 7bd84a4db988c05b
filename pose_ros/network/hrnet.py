"""HRNet: four resolutions side by side, which exchange what they know again and again; the finest is never left.

Attributes bear the publisher's names (``stage3.0.fuse_layers.1.2``), so that its weights fit.

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
"""Features of several resolutions, fine to coarse, each half as fine as the one before."""


class HRNet(nn.Module):
    """The trunk.

    Args:
        width: Channels of the finest resolution; each coarser one has twice as many.
        scales: How many resolutions come out, 1 to 4, the finest first.

    Attributes:
        channels: Of each map that comes out.
        strides: Of each map that comes out, px.
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
        """(B, 3, H, W), H and W multiples of 32, to maps of the strides 4, 8, …."""
        stem = self.bn2(self.conv2(self.bn1(self.conv1(images)).relu())).relu()
        maps = self.stage2(self.transition1([self.layer1(stem)]))
        maps = self.stage3(self.transition2(maps))
        return tuple(self.stage4(self.transition3(maps)))


class BranchTransition(nn.ModuleList):
    """A new resolution, made from the coarsest one; the others stay, but for their channels."""

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        kept = (nn.Identity() if b == a else _conv(b, a) for b, a in zip(before, after[:-1], strict=True))
        super().__init__([*kept, nn.Sequential(_conv(before[-1], after[-1], stride=2))])

    def forward(self, maps: Maps) -> Maps:
        """One map more."""
        return [layer(features) for layer, features in zip(self, [*maps, maps[-1]], strict=True)]


class Exchange(nn.Module):
    """Each resolution by itself, and then all into all (fig. 3).

    Args:
        widths: Channels of each resolution.
        outputs: How many resolutions are made, the finest first.
    """

    def __init__(self, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(basic_blocks(width) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resampled(widths, source, target) for source in range(len(widths)))
            for target in range(outputs)
        )

    def forward(self, maps: Maps) -> Maps:
        """The first ``outputs`` resolutions, each the sum of all."""
        maps = [branch(features) for branch, features in zip(self.branches, maps, strict=True)]
        return [
            reduce(torch.add, [layer(features) for layer, features in zip(layers, maps, strict=True)]).relu()
            for layers in self.fuse_layers
        ]


class Concatenated(nn.Module):
    """All feature maps on the finest grid, one after the other; a single one as it is."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of halving resolutions to (B, sum of channels, H, W) of the first."""
        return torch.cat(on_finest(maps), dim=1)


def basic_blocks(width: int) -> nn.Sequential:
    """The four residual blocks that HRNet has everywhere."""
    return nn.Sequential(*(BasicBlock(width, width) for _ in range(4)))


def on_finest(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps of halving resolutions, all on the grid of the first."""
    return [maps[0], *(finer(coarse, 2**scale) for scale, coarse in enumerate(maps[1:], start=1))]


def finer(features: Tensor, times: int) -> Tensor:
    """On a grid so many times as fine that covers the same image, edge to edge."""
    return functional.interpolate(features, scale_factor=float(times), mode="bilinear", align_corners=False)


def _stage(widths: Sequence[int], exchanges: int, outputs: int | None = None) -> nn.Sequential:
    made = [len(widths)] * (exchanges - 1) + [outputs or len(widths)]
    return nn.Sequential(*(Exchange(widths, count) for count in made))


def _resampled(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """From one resolution to another: 1 × 1 and nearest cell upwards, strided 3 × 3 downwards."""
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
    """The single-person network: one 1 × 1 on the finest resolution.

    Args:
        skeleton: Its keypoints.
        width: Of the trunk.
        size_wh: Of the crops, px.
    """
    backbone = HRNet(width)
    heads = {"heatmaps": nn.Conv2d(width, len(skeleton), 1)}
    spec = crop_spec(f"hrnet_w{width}", skeleton, size_wh)  # origin 0: trained on keypoints rounded to the nearest cell
    return HeadedNetwork(spec, backbone, Concatenated(), heads)


def whole_image_input(width: int) -> InputSpec:
    """Whole images on a trunk of this width, of the publisher's size: shorter side 512 px of width 32, else 640 px."""
    return replace(IMAGENET_INPUT, multiple=64, short_side=512 if width == 32 else 640)


NETWORKS = {f"hrnet_w{width}": partial(hrnet, width=width) for width in (32, 48)}
