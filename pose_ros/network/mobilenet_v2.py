"""MobileNet V2: inverted residuals with linear bottlenecks; torchvision's keys.

References:
    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381, table 2 and figure 4.
"""

from __future__ import annotations

from torch import Tensor, nn

ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repetitions and stride: table 2 of the paper."""


class MobileNetV2(nn.Module):
    """The trunk of MobileNet V2, as a backbone.

    Args:
        width: Multiplies all channels, rounded to multiples of 8.
        norm: Batch normalisation; without it the convolutions have biases, into which it has been folded.
        coarsest: The trunk ends with the last block of this stride, px.

    Attributes:
        channels: Of each feature map.
        strides: Of each feature map, px: 4, 8, 16 and 32, as far as the trunk goes.
    """

    def __init__(self, width: float = 1.0, norm: bool = True, coarsest: int = 32) -> None:
        super().__init__()
        cin, stride, ends = _rounded(32 * width), 2, {}
        layers: list[nn.Module] = [_conv(3, cin, 3, stride=2, norm=norm)]
        for expansion, channels, count, step in ROWS:
            if stride * step > coarsest:
                break
            stride *= step
            for repetition in range(count):
                cout = _rounded(channels * width)
                layers.append(InvertedResidual(cin, cout, step if repetition == 0 else 1, expansion, norm))
                cin = cout
            ends[stride] = (len(layers) - 1, cin)
        self.features = nn.ModuleList(layers)
        taps = {stride: end for stride, end in ends.items() if stride >= 4}
        self.taps = tuple(index for index, _ in taps.values())
        self.channels = tuple(channels for _, channels in taps.values())
        self.strides = tuple(taps)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to the feature maps, fine to coarse."""
        features, found = images, []
        for index, layer in enumerate(self.features):
            features = layer(features)
            if index in self.taps:
                found.append(features)
        return tuple(found)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; the input is added where the shapes allow it (figure 4 d)."""

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


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, not more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
