"""Deep Layer Aggregation: DLA-34, and the upsampling of its levels by deformable convolutions that CenterNet has.

The trunk merges its blocks as a tree does its leaves; the neck merges resolutions step by step, each step with the
result of the one before.

References:
    Yu et al., Deep Layer Aggregation, arXiv:1707.06484, sections 3.1 (iterative) and 3.2 (hierarchical), fig. 3 and 4.
    Zhou et al., Objects as Points, arXiv:1904.07850, appendix A, fig. 6 d (deformable convolutions in the neck).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pose_ros.network.deformable import DeformableConv2d

CHANNELS = (16, 32, 64, 128, 256, 512)
"""Of the levels 0 to 5, whose strides are 1, 2, 4, 8, 16 and 32."""


class DLA34(nn.Module):
    """The trunk.

    Attributes:
        channels: Of each feature map.
        strides: Of each feature map, px.
    """

    def __init__(self) -> None:
        super().__init__()
        self.channels = CHANNELS[2:]
        self.strides = (4, 8, 16, 32)
        self.base_layer = _layer(3, CHANNELS[0], 7)
        self.level0 = _layer(CHANNELS[0], CHANNELS[0], 3)
        self.level1 = _layer(CHANNELS[0], CHANNELS[1], 3, stride=2)
        self.level2 = Tree(1, CHANNELS[1], CHANNELS[2], stride=2)
        self.level3 = Tree(2, CHANNELS[2], CHANNELS[3], stride=2, keeps_input=True)
        self.level4 = Tree(2, CHANNELS[3], CHANNELS[4], stride=2, keeps_input=True)
        self.level5 = Tree(1, CHANNELS[4], CHANNELS[5], stride=2, keeps_input=True)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to the feature maps of levels 2 to 5, fine to coarse."""
        features = self.level1(self.level0(self.base_layer(images)))
        found = []
        for level in (self.level2, self.level3, self.level4, self.level5):
            features = level(features)
            found.append(features)
        return tuple(found)


class Tree(nn.Module):
    """Blocks merged hierarchically (eq. 2): two halves, the second of which ends in the root of the tree.

    Args:
        levels: The tree has 2^levels blocks.
        cin: Channels of the input.
        cout: Channels of the output.
        stride: Of the first block.
        keeps_input: The root also sees the tree's input, pooled.
        cmore: Channels of what else the root sees.
    """

    def __init__(
        self, levels: int, cin: int, cout: int, stride: int = 1, keeps_input: bool = False, cmore: int = 0
    ) -> None:
        super().__init__()
        self.levels = levels
        self.keeps_input = keeps_input
        self.pool = nn.MaxPool2d(stride, stride) if stride > 1 else nn.Identity()
        cmore += cin if keeps_input else 0
        if levels > 1:
            self.tree1 = Tree(levels - 1, cin, cout, stride)
            self.tree2 = Tree(levels - 1, cout, cout, cmore=cmore + cout)
        else:
            self.tree1 = Block(cin, cout, stride)
            self.tree2 = Block(cout, cout)
            self.project = _convolution(cin, cout, 1) if cin != cout else nn.Identity()
            self.root = Root(2 * cout + cmore, cout)

    def forward(self, features: Tensor, more: Sequence[Tensor] = ()) -> Tensor:
        """(B, cin, H, W) and more maps for the root to (B, cout, H / stride, W / stride)."""
        below = self.pool(features)
        if self.keeps_input:
            more = (*more, below)
        if self.levels > 1:
            first = self.tree1(features)
            return self.tree2(first, (*more, first))
        first = self.tree1(features, self.project(below))
        return self.root((self.tree2(first, first), first, *more))


class Block(nn.Module):
    """Two 3 × 3 convolutions, added to what is given beside their input."""

    def __init__(self, cin: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)

    def forward(self, features: Tensor, shortcut: Tensor) -> Tensor:
        """(B, cin, H, W) and the shortcut of the output's shape to (B, cout, H / stride, W / stride)."""
        return (self.bn2(self.conv2(self.bn1(self.conv1(features)).relu())) + shortcut).relu()


class Root(nn.Module):
    """All its maps merged by one 1 × 1 convolution."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 1, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of one size to one map."""
        return self.bn(self.conv(torch.cat(list(maps), dim=1))).relu()


class AggregationNeck(nn.Module):
    """All levels made one map on the grid of the finest: each coarser level is merged into all finer ones in turn.

    Args:
        channels: Of each level, fine to coarse; each has half the resolution of the one before.
    """

    def __init__(self, channels: Sequence[int] = CHANNELS[2:]) -> None:
        super().__init__()
        finer = channels[:-1]
        self.steps = nn.ModuleList()
        seen = [channels[-1]]
        for channel in reversed(finer):
            self.steps.append(IterativeAggregation(channel, seen, [2] * len(seen)))
            seen = [channel] * (len(seen) + 1)
        self.last = IterativeAggregation(finer[0], finer[1:], [2**level for level in range(1, len(finer))])

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Feature maps, fine to coarse, to one of the finest's shape."""
        *finer, coarsest = levels
        merged, results = [coarsest], []
        for step, level in zip(self.steps, reversed(finer), strict=True):
            merged = step([level, *merged])
            results.append(merged[-1])
        return self.last(results[::-1])[-1]


class IterativeAggregation(nn.Module):
    """Maps merged one after the other into the first (eq. 1).

    Args:
        cout: Channels of the first map, and of all results.
        channels: Of the other maps.
        scales: How much coarser than the first each other map is.
    """

    def __init__(self, cout: int, channels: Sequence[int], scales: Sequence[int]) -> None:
        super().__init__()
        self.projections = nn.ModuleList(DeformableLayer(channel, cout) for channel in channels)
        self.upsamplings = nn.ModuleList(_upsampling(cout, scale) for scale in scales)
        self.nodes = nn.ModuleList(DeformableLayer(cout, cout) for _ in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The first map, and after each other map what is merged so far."""
        merged = [maps[0]]
        for features, project, up, node in zip(maps[1:], self.projections, self.upsamplings, self.nodes, strict=True):
            merged.append(node(up(project(features)) + merged[-1]))
        return merged


class DeformableLayer(nn.Module):
    """Deformable convolution, normalisation and ReLU."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = DeformableConv2d(cin, cout)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, features: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cout, H, W)."""
        return self.norm(self.conv(features)).relu()


def _upsampling(channels: int, scale: int) -> nn.ConvTranspose2d:
    """A transposed convolution of each channel that begins as bilinear interpolation."""
    layer = nn.ConvTranspose2d(channels, channels, 2 * scale, scale, scale // 2, groups=channels, bias=False)
    distance = (torch.arange(2 * scale, device=layer.weight.device) - (scale - 0.5)).abs()
    tent = (1 - distance / scale).clamp(min=0)
    with torch.no_grad():
        layer.weight.copy_(tent[:, None] * tent)
    return layer


def _convolution(cin: int, cout: int, size: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(cin, cout, size, stride, size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout))


def _layer(cin: int, cout: int, size: int, stride: int = 1) -> nn.Sequential:
    return _convolution(cin, cout, size, stride).append(nn.ReLU(inplace=True))
