"""CU-Net: U-Nets in sequence, coupled at each resolution. A U-Net reads the new features of the last K U-Nets.

References:
    Tang et al., CU-Net: Coupled U-Nets, arXiv:1808.06521 (coupling, order-K coupling).
    Tang et al., Quantized Densely Connected U-Nets for Efficient Landmark Localization, arXiv:1808.02194 (DU-Net):
    the same network, with the numbers of parameters.
    Huang et al., Densely Connected Convolutional Networks, arXiv:1608.06993 (dense layers).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import ModelSpec
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.network.stacked_hourglass import INPUT, ORIGIN, conv_norm_relu, norm_relu_conv
from pose_ros.skeleton import MPII_16, Skeleton

LEVELS, CHANNELS = 4, 128
GROWTH, BOTTLENECK = 32, 4
"""New features of each block, and channels of its bottleneck relative to them."""


class CUNet(PoseNetwork):
    """U-Nets in sequence. Each is supervised, and each reads features of the previous ones.

    Args:
        skeleton: Keypoints to predict.
        units: Number of U-Nets.
        order: Order K of the coupling: number of previous U-Nets that each U-Net reads. 1 or more.
        channels: Channels of the features between blocks.
        growth: New features of each block, which later U-Nets reuse.

    Raises:
        ValueError: If the order is less than 1.
    """

    def __init__(
        self, skeleton: Skeleton, units: int, order: int = 1, channels: int = CHANNELS, growth: int = GROWTH
    ) -> None:
        super().__init__()
        if order < 1:
            raise ValueError(f"order: expected 1 or more, got {order}; order 0 is a stack of plain U-Nets")
        name = f"cu_net_{units}" if order == 1 else f"cu_net_{units}_order_{order}"
        spec = ModelSpec(*(name, skeleton, 4, ORIGIN), input=INPUT, grouping="single", licence="Apache-2.0")
        self.spec = with_heads(spec, ("heatmaps",))
        self.order = order
        self.stem = nn.Sequential(*conv_norm_relu(3, channels, size=7, stride=2, bias=False), nn.MaxPool2d(2))
        coupled = [min(index, order) for index in range(units)]
        self.units = nn.ModuleList(CoupledUNet(channels, growth, number) for number in coupled)
        self.inputs = nn.ModuleList(_conv((1 + number) * channels, channels) for number in coupled[1:])
        self.predictions = nn.ModuleList(_conv(channels, len(skeleton)) for _ in range(units))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute the heatmaps of each U-Net."""
        features = self.stem(images)
        inputs: list[Tensor] = []
        shared: list[list[Tensor]] = []
        outputs: list[FieldTensors] = []
        for index, unit in enumerate(self.units):
            if index > 0:
                features = self.inputs[index - 1](torch.cat((features, *inputs[-self.order :]), dim=1))
            inputs.append(features)
            features, new = unit(features, shared[-self.order :])
            shared.append(new)
            outputs.append({"heatmaps": self.predictions[index](features)})
        return outputs


class CoupledUNet(nn.Module):
    """U-Net whose blocks also read the new features of the same blocks of previous U-Nets.

    Args:
        channels: Channels of the features between blocks.
        growth: New features of each block.
        coupled: Number of previous U-Nets to read.
    """

    def __init__(self, channels: int, growth: int, coupled: int) -> None:
        super().__init__()
        # Downward fine to coarse, then the coarsest, then upward coarse to fine.
        sizes = [channels + coupled * growth] * (LEVELS + 1) + [2 * channels + coupled * growth] * LEVELS
        self.blocks = nn.ModuleList(SemanticBlock(cin, growth) for cin in sizes)
        self.outputs = nn.ModuleList(_conv(cin + growth, channels) for cin in sizes)
        self.skips = nn.ModuleList(_conv(cin + growth, channels) for cin in sizes[:LEVELS])

    def forward(self, features: Tensor, previous: Sequence[Sequence[Tensor]]) -> tuple[Tensor, list[Tensor]]:
        """Compute the features of the finest resolution, and the new features of each block.

        Args:
            features: (B, C, H, W), H and W multiples of 2^levels.
            previous: New features of each block of the previous U-Nets, oldest first.
        """
        skips: list[Tensor] = []
        new: list[Tensor] = []
        for position, (block, output) in enumerate(zip(self.blocks, self.outputs, strict=True)):
            own = [features]
            if position > LEVELS:
                own = [functional.interpolate(features, scale_factor=2.0, mode="nearest"), skips.pop()]
            joined = block([*own, *(unit[position] for unit in previous)])
            new.append(joined[:, -block.growth :])
            features = output(joined)
            if position < LEVELS:
                skips.append(self.skips[position](joined))
                features = functional.max_pool2d(features, 2)
        return features, new


class SemanticBlock(nn.Module):
    """Dense layer: a bottleneck that appends new features to its input.

    Args:
        cin: Channels of the input.
        growth: Number of new features.
    """

    def __init__(self, cin: int, growth: int) -> None:
        super().__init__()
        self.growth = growth
        narrow = BOTTLENECK * growth
        self.layers = nn.Sequential(_conv(cin, narrow), _conv(narrow, growth, size=3))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Concatenate features to (B, cin, H, W), and append the new features."""
        joined = torch.cat(list(features), dim=1)
        return torch.cat((joined, self.layers(joined)), dim=1)


def _conv(cin: int, cout: int, size: int = 1) -> nn.Sequential:
    return nn.Sequential(*norm_relu_conv(cin, cout, size, bias=False))


def cu_net(skeleton: Skeleton = MPII_16, units: int = 8, order: int = 1) -> PoseNetwork:
    """Build CU-Net with a number of U-Nets and an order of the coupling."""
    return CUNet(skeleton, units, order)


NETWORKS = {f"cu_net_{units}": partial(cu_net, units=units) for units in (8, 16)}
