"""Densely connected networks 121, 161, 169 and 201, as backbones.

The keys are those of torchvision, so its ImageNet weights load. There is no classifier.

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
"""Depth to growth rate, channels of the first convolution, and number of layers of each of the four blocks."""


class DenseLayer(nn.Module):
    """Normalised 1 × 1 and 3 × 3 convolutions. Their output is concatenated with their input."""

    def __init__(self, cin: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(cin)
        self.conv1 = nn.Conv2d(cin, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cin + growth, H, W)."""
        inner = self.conv1(self.relu(self.norm1(features)))
        return torch.cat([features, self.conv2(self.relu(self.norm2(inner)))], dim=1)


class DenseBlock(nn.Sequential):
    """Dense layers. Each reads the output of all previous layers."""

    def __init__(self, cin: int, growth: int, count: int) -> None:
        super().__init__()
        for index in range(count):
            self.add_module(f"denselayer{index + 1}", DenseLayer(cin + index * growth, growth))


class DenseTransition(nn.Sequential):
    """Transition to half the channels and half the resolution."""

    def __init__(self, cin: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(cin)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(cin, cin // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2)


class DenseNet(nn.Module):
    """Densely connected network without its classifier.

    Args:
        depth: 121, 161, 169 or 201.

    Attributes:
        channels: Channels of each feature map.
        strides: Stride of each feature map, px.

    Raises:
        ValueError: If the depth is another one.
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
        """Map (B, 3, H, W) to the outputs of the four blocks, fine to coarse. The last is normalised, without ReLU."""
        outputs, features = [], images
        for name, layer in self.features.named_children():
            features = layer(features)
            if name.startswith("denseblock"):
                outputs.append(features)
        return (*outputs[:3], features)
