"""The large hourglass of CornerNet and CenterNet: residual layers, strides instead of pooling, two stacks.

References:
    Law and Deng, CornerNet: Detecting Objects as Paired Keypoints, arXiv:1808.01244, section 3.5.
    Newell et al., Stacked Hourglass Networks for Human Pose Estimation, arXiv:1603.06937.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from pose_ros.network.resnet import BasicBlock

CHANNELS = (256, 256, 384, 384, 384, 512)
"""Channels of the resolutions from 1/4 to 1/128."""
MIDDLE_BLOCKS = 4


class HourglassBackbone(nn.Module):
    """Backbone with one feature map of stride 4 per stack.

    Args:
        stacks: Number of hourglasses in sequence.

    Attributes:
        channels: Channels of each feature map.
        strides: Stride of each feature map, px.
    """

    def __init__(self, stacks: int = 2) -> None:
        super().__init__()
        channels = CHANNELS[0]
        self.channels, self.strides = (channels,) * stacks, (4,) * stacks
        self.stem = nn.Sequential(_convolution(3, 128, 7, stride=2), nn.ReLU(inplace=True), _block(128, channels, 2))
        self.hourglasses = nn.ModuleList(CenterNetHourglassModule(CHANNELS) for _ in range(stacks))
        self.ends = nn.ModuleList(_convolution(channels, channels, 3) for _ in range(stacks))
        self.past = nn.ModuleList(_convolution(channels, channels, 1) for _ in range(stacks - 1))
        self.back = nn.ModuleList(_convolution(channels, channels, 1) for _ in range(stacks - 1))
        self.between = nn.ModuleList(_block(channels, channels) for _ in range(stacks - 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (B, 3, H, W) to (B, C, H / 4, W / 4) of each stack. H and W are multiples of 128."""
        features, maps = self.stem(images), []
        for index, hourglass in enumerate(self.hourglasses):
            maps.append(self.ends[index](hourglass(features)).relu())
            if index < len(self.between):
                features = (self.past[index](features) + self.back[index](maps[-1])).relu()
                features = self.between[index](features)
        return tuple(maps)


class CenterNetHourglassModule(nn.Module):
    """One hourglass: down to the coarsest grid and up again, with a skip connection at each resolution.

    Args:
        channels: Channels of each resolution, fine to coarse. Two or more.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        fine, coarse = channels[:2]
        self.around = nn.Sequential(_block(fine, fine), _block(fine, fine))
        self.down = nn.Sequential(_block(fine, coarse, 2), _block(coarse, coarse))
        middle = nn.Sequential(*(_block(coarse, coarse) for _ in range(MIDDLE_BLOCKS)))
        self.inner = CenterNetHourglassModule(channels[1:]) if len(channels) > 2 else middle
        self.up = nn.Sequential(_block(coarse, coarse), _block(coarse, fine))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        coarse = self.up(self.inner(self.down(features)))
        return self.around(features) + functional.interpolate(coarse, scale_factor=2.0, mode="nearest")


def _block(cin: int, cout: int, stride: int = 1) -> BasicBlock:
    return BasicBlock(cin, cout, stride, (1, 1))


def _convolution(cin: int, cout: int, size: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(cin, cout, size, stride, size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(cout))
