"""Deep Layer Aggregation: the backbone DLA-34, and CenterNet's neck, which upsamples by deformable convolutions.

The backbone merges its blocks in a tree. The neck merges resolutions step by step. Each step reads the result of the
previous one.

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
"""Channels of the levels 0 to 5. Their strides are 1, 2, 4, 8, 16 and 32."""


class DLA34(nn.Module):
    """The backbone.

    Attributes:
        channels: Channels of each feature map.
        strides: Stride of each feature map, px.
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
        """Map (B, 3, H, W) to the feature maps of levels 2 to 5, fine to coarse."""
        features = self.level1(self.level0(self.base_layer(images)))
        maps = []
        for level in (self.level2, self.level3, self.level4, self.level5):
            features = level(features)
            maps.append(features)
        return tuple(maps)


class Tree(nn.Module):
    """Blocks merged hierarchically (eq. 2). The tree has two halves, and the second half ends in the root.

    Args:
        levels: Depth of the tree, which has 2^levels blocks.
        cin: Channels of the input.
        cout: Channels of the output.
        stride: Stride of the first block.
        keeps_input: Whether the root also reads the tree's input, pooled.
        cextra: Channels of the additional maps that the root reads.
    """

    def __init__(
        self, levels: int, cin: int, cout: int, stride: int = 1, keeps_input: bool = False, cextra: int = 0
    ) -> None:
        super().__init__()
        self.levels = levels
        self.keeps_input = keeps_input
        self.pool = nn.MaxPool2d(stride, stride) if stride > 1 else nn.Identity()
        cextra += cin if keeps_input else 0
        if levels > 1:
            self.tree1 = Tree(levels - 1, cin, cout, stride)
            self.tree2 = Tree(levels - 1, cout, cout, cextra=cextra + cout)
        else:
            self.tree1 = Block(cin, cout, stride)
            self.tree2 = Block(cout, cout)
            self.project = _convolution(cin, cout, 1) if cin != cout else nn.Identity()
            self.root = Root(2 * cout + cextra, cout)

    def forward(self, features: Tensor, extra: Sequence[Tensor] = ()) -> Tensor:
        """Map (B, cin, H, W), with additional maps for the root, to (B, cout, H / stride, W / stride)."""
        pooled = self.pool(features)
        if self.keeps_input:
            extra = (*extra, pooled)
        if self.levels > 1:
            first = self.tree1(features)
            return self.tree2(first, (*extra, first))
        first = self.tree1(features, self.project(pooled))
        return self.root((self.tree2(first, first), first, *extra))


class Block(nn.Module):
    """Two 3 × 3 convolutions. The caller passes the shortcut that is added to their output."""

    def __init__(self, cin: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)

    def forward(self, features: Tensor, shortcut: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H / stride, W / stride). The shortcut has the shape of the output."""
        return (self.bn2(self.conv2(self.bn1(self.conv1(features)).relu())) + shortcut).relu()


class Root(nn.Module):
    """Root of a tree: one 1 × 1 convolution that merges all maps."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, 1, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Merge maps of the same size into one map."""
        return self.bn(self.conv(torch.cat(list(maps), dim=1))).relu()


class AggregationNeck(nn.Module):
    """Neck that merges all levels into one map on the finest grid. Each coarser level is merged into all finer ones.

    Args:
        channels: Channels of each level, fine to coarse. Each level has half the resolution of the previous one.
    """

    def __init__(self, channels: Sequence[int] = CHANNELS[2:]) -> None:
        super().__init__()
        finer = channels[:-1]
        self.steps = nn.ModuleList()
        widths = [channels[-1]]
        for channel in reversed(finer):
            self.steps.append(IterativeAggregation(channel, widths, [2] * len(widths)))
            widths = [channel] * (len(widths) + 1)
        self.last = IterativeAggregation(finer[0], finer[1:], [2**level for level in range(1, len(finer))])

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Merge feature maps, fine to coarse, into one of the finest's shape."""
        *finer, coarsest = levels
        merged, results = [coarsest], []
        for step, level in zip(self.steps, reversed(finer), strict=True):
            merged = step([level, *merged])
            results.append(merged[-1])
        return self.last(results[::-1])[-1]


class IterativeAggregation(nn.Module):
    """Merge of several maps into the first, one after the other (eq. 1).

    Args:
        cout: Channels of the first map and of all results.
        channels: Channels of the other maps.
        scales: Ratio of the resolution of the first map to that of each other map.
    """

    def __init__(self, cout: int, channels: Sequence[int], scales: Sequence[int]) -> None:
        super().__init__()
        self.projections = nn.ModuleList(DeformableLayer(channel, cout) for channel in channels)
        self.upsamplings = nn.ModuleList(_upsampling(cout, scale) for scale in scales)
        self.nodes = nn.ModuleList(DeformableLayer(cout, cout) for _ in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the first map, then the merged map after each other map."""
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
        """Map (B, cin, H, W) to (B, cout, H, W)."""
        return self.norm(self.conv(features)).relu()


def _upsampling(channels: int, scale: int) -> nn.ConvTranspose2d:
    """Make a transposed convolution per channel, initialised as bilinear interpolation."""
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
