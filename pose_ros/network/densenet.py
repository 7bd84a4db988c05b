"""Densely connected networks 121, 161, 169 and 201, as backbones.

The keys are torchvision's, so that its ImageNet weights load; the classifier is left out.

References:
    Huang et al., Densely Connected Convolutional Networks, arXiv:1608.06993, table 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

VARIANTS = {
    121: (32, 64, (6, 12, 24, 16)),
    161: (48, 96, (6, 12, 36, 24)),
    169: (32, 64, (6, 12, 32, 32)),
    201: (32, 64, (6, 12, 48, 32)),
}
"""Depth to the growth rate, the channels of the first convolution and the layers of each of the four blocks."""


class DenseLayer(nn.Module):
    """Normalised 1 × 1 and 3 × 3 convolutions, whose output is put beside their input."""

    def __init__(self, cin: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(cin)
        self.conv1 = nn.Conv2d(cin, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """(B, cin, H, W) to (B, cin + growth, H, W)."""
        inner = self.conv1(self.relu(self.norm1(features)))
        return torch.cat([features, self.conv2(self.relu(self.norm2(inner)))], dim=1)


class DenseBlock(nn.Sequential):
    """Layers each of which sees the output of all before."""

    def __init__(self, cin: int, growth: int, count: int) -> None:
        super().__init__()
        for index in range(count):
            self.add_module(f"denselayer{index + 1}", DenseLayer(cin + index * growth, growth))


class DenseTransition(nn.Sequential):
    """Half the channels, on a grid half as fine."""

    def __init__(self, cin: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(cin)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(cin, cin // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2)


class DenseNet(nn.Module):
    """A densely connected network without its classifier.

    Args:
        depth: 121, 161, 169 or 201.

    Attributes:
        channels: Of each feature map.
        strides: Of each feature map, px.

    Raises:
        ValueError: If there is no such depth.
    """

    strides = (4, 8, 16, 32)

    def __init__(self, depth: int) -> None:
        super().__init__()
        if depth not in VARIANTS:
            raise ValueError(f"DenseNet: expected depth {', '.join(map(str, VARIANTS))}, got {depth}")
        growth, cin, counts = VARIANTS[depth]
        self.features = nn.Sequential()
        self.features.conv0 = nn.Conv2d(3, cin, 7, stride=2, padding=3, bias=False)
        self.features.norm0 = nn.BatchNorm2d(cin)
        self.features.relu0 = nn.ReLU(inplace=True)
        self.features.pool0 = nn.MaxPool2d(3, stride=2, padding=1)
        channels = []
        for index, count in enumerate(counts):
            if index:
                self.features.add_module(f"transition{index}", DenseTransition(cin))
                cin //= 2
            self.features.add_module(f"denseblock{index + 1}", DenseBlock(cin, growth, count))
            cin += count * growth
            channels.append(cin)
        self.features.norm5 = nn.BatchNorm2d(cin)
        self.channels = tuple(channels)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to the output of the four blocks, fine to coarse; the last is normalised but not rectified."""
        found, features = [], images
        for name, layer in self.features.named_children():
            features = layer(features)
            if name.startswith("denseblock"):
                found.append(features)
        return (*found[:3], features)
