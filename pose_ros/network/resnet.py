"""Residual networks 18, 34, 50, 101 and 152, as backbones.

The keys are those of torchvision, so its ImageNet weights load. There is no classifier.

References:
    He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385, table 1.
    Goyal et al., Accurate, Large Minibatch SGD, arXiv:1706.02677, section 5.1 (the stride on the 3 × 3 convolution).
    Yu and Koltun, Multi-Scale Context Aggregation by Dilated Convolutions, arXiv:1511.07122 (dilation).
"""

from __future__ import annotations

from torch import Tensor, nn

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Depth to the number of residual blocks in each of the four layers."""
WIDTHS = (64, 128, 256, 512)
STRIDES = (4, 8, 16, 32)


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions and a shortcut.

    Args:
        cin: Channels of the input.
        width: Channels of the output.
        stride: Stride of the first convolution.
        dilations: Dilation of the input grid and of the output grid.
    """

    expansion = 1

    def __init__(self, cin: int, width: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, width, 3, stride, dilations[0], dilations[0], bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilations[1], dilations[1], bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(cin, width * self.expansion, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, width, H / stride, W / stride)."""
        inner = self.relu(self.bn1(self.conv1(features)))
        inner = self.bn2(self.conv2(inner))
        return self.relu(inner + self.downsample(features))


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions and a shortcut. The arguments are those of BasicBlock."""

    expansion = 4

    def __init__(self, cin: int, width: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        cout = width * self.expansion
        self.conv1 = nn.Conv2d(cin, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilations[0], dilations[0], bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, cout, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(cin, cout, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, 4 width, H / stride, W / stride)."""
        inner = self.relu(self.bn1(self.conv1(features)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        return self.relu(inner + self.downsample(features))


ResidualBlock = type[BasicBlock] | type[Bottleneck]


class ResNet(nn.Module):
    """Residual network without its classifier.

    Args:
        depth: 18, 34, 50, 101 or 152.
        output_stride: Stride of the last feature map, 8, 16 or 32. Below 32, dilation replaces stride.

    Attributes:
        channels: Channels of each feature map.
        strides: Stride of each feature map, px.

    Raises:
        ValueError: If the depth or the output stride is another one.
    """

    def __init__(self, depth: int, output_stride: int = 32) -> None:
        super().__init__()
        if depth not in BLOCKS or output_stride not in (8, 16, 32):
            raise ValueError(
                f"ResNet: expected depth {', '.join(map(str, BLOCKS))} and output stride 8, 16 or 32, "
                f"got {depth} and {output_stride}"
            )
        block: ResidualBlock = BasicBlock if depth < 50 else Bottleneck
        self.channels = tuple(width * block.expansion for width in WIDTHS)
        self.strides = tuple(min(stride, output_stride) for stride in STRIDES)
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        cin, stride, dilation = 64, 4, 1
        for index, count in enumerate(BLOCKS[depth]):
            step, next_dilation = self.strides[index] // stride, STRIDES[index] // self.strides[index]
            layer = _layer(block, cin, WIDTHS[index], count, step, (dilation, next_dilation))
            self.add_module(f"layer{index + 1}", layer)
            cin, stride, dilation = self.channels[index], self.strides[index], next_dilation

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map (B, 3, H, W) to the feature maps C2 to C5 of the four layers, fine to coarse."""
        stem = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        c2 = self.layer1(stem)
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return c2, c3, c4, self.layer4(c4)


def _layer(
    block: ResidualBlock, cin: int, width: int, count: int, stride: int, dilations: tuple[int, int]
) -> nn.Sequential:
    later = (dilations[1], dilations[1])
    first = block(cin, width, stride, dilations)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1, later) for _ in range(count - 1)))


def _shortcut(cin: int, cout: int, stride: int) -> nn.Module:
    if stride == 1 and cin == cout:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))
