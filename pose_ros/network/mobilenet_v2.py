"""MobileNet V2 as a backbone: inverted residuals with linear bottlenecks, and the keys of torchvision.

References:
    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381, table 2 and figure 4.
"""

from __future__ import annotations

from torch import Tensor, nn

ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repetitions and stride of each row of table 2 of the paper."""


class MobileNetV2(nn.Module):
    """MobileNet V2 without its classifier.

    Args:
        width: Factor on all channels. The results are rounded to multiples of 8.
        norm: Whether to normalise batches. Without it, the convolutions have biases, into which it has been folded.
        coarsest: Stride of the last block to keep, px.

    Attributes:
        channels: Channels of each feature map.
        strides: Stride of each feature map, px: 4, 8, 16 and 32, up to ``coarsest``.
    """

    def __init__(self, width: float = 1.0, norm: bool = True, coarsest: int = 32) -> None:
        super().__init__()
        cin, stride, ends = _round_channels(32 * width), 2, {}
        layers: list[nn.Module] = [_conv(3, cin, 3, stride=2, norm=norm)]
        for expansion, channels, count, step in ROWS:
            if stride * step > coarsest:
                break
            stride *= step
            for repetition in range(count):
                cout = _round_channels(channels * width)
                layers.append(InvertedResidual(cin, cout, step if repetition == 0 else 1, expansion, norm))
                cin = cout
            ends[stride] = (len(layers) - 1, cin)
        self.features = nn.ModuleList(layers)
        taps = {stride: end for stride, end in ends.items() if stride >= 4}
        self.taps = tuple(index for index, _ in taps.values())
        self.channels = tuple(channels for _, channels in taps.values())
        self.strides = tuple(taps)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (B, 3, H, W) to the feature maps, fine to coarse."""
        features, maps = images, []
        for index, layer in enumerate(self.features):
            features = layer(features)
            if index in self.taps:
                maps.append(features)
        return tuple(maps)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, and project. The input is added if the shapes allow it (figure 4 d)."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int, norm: bool) -> None:
        super().__init__()
        hidden = cin * expansion
        expand = [_conv(cin, hidden, 1, norm=norm)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            _conv(hidden, hidden, 3, stride, groups=hidden, norm=norm),
            nn.Conv2d(hidden, cout, 1, bias=not norm),
            nn.BatchNorm2d(cout) if norm else nn.Identity(),
        )
        self.adds = stride == 1 and cin == cout

    def forward(self, features: Tensor) -> Tensor:
        """Run the block."""
        return features + self.conv(features) if self.adds else self.conv(features)


def _conv(cin: int, cout: int, size: int, stride: int = 1, groups: int = 1, norm: bool = True) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(cin, cout, size, stride, size // 2, groups=groups, bias=not norm),
        nn.BatchNorm2d(cout) if norm else nn.Identity(),
        nn.ReLU6(inplace=True),
    )


def _round_channels(channels: float) -> int:
    """Round to the nearest multiple of 8, but not more than a tenth below the input."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
