"""MobileNet V1: depthwise and pointwise convolutions in turn.

References:
    Howard et al., MobileNets, arXiv:1704.04861, table 1.
    Chen et al., DeepLab, arXiv:1606.00915, section 3.1 (dilation in place of stride).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

LayerRow = tuple[int, int, int]
"""Channels, stride and dilation of a depthwise and pointwise pair."""

ROWS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *5 * ((512, 1),), (1024, 2), (1024, 1))


def rows(width: float = 1.0, output_stride: int = 32) -> tuple[LayerRow, ...]:
    """The 13 pairs of the paper, thinned to a width; beyond the output stride, dilation takes the place of stride."""
    table, reached, dilation = [], 2, 1
    for channels, stride in ROWS:
        kept = stride if reached * stride <= output_stride else 1
        table.append((int(channels * width), kept, dilation))
        reached, dilation = reached * kept, dilation * stride // kept
    return tuple(table)


class MobileNetV1(nn.Module):
    """The trunk of MobileNet V1, as a backbone.

    Args:
        pairs: Channels, stride and dilation of each pair; ``rows`` gives those of the paper.
        stem: Channels of the first convolution, of stride 2.
        norm: Batch normalisation; without it the convolutions have biases.
        taps: The pairs whose output is returned, -1 for the last; by default the last ones of strides 8, 16, ….

    Attributes:
        channels: Of each feature map.
        strides: Of each feature map, px.
    """

    def __init__(
        self, pairs: Sequence[LayerRow], stem: int = 32, norm: bool = True, taps: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList([MobileNetV1Layer(3, stem, 3, stride=2, norm=norm)])
        cin, stride, strides = stem, 2, []
        for cout, step, dilation in pairs:
            self.layers.append(MobileNetV1Layer(cin, cin, 3, stride=step, dilation=dilation, groups=cin, norm=norm))
            self.layers.append(MobileNetV1Layer(cin, cout, 1, norm=norm))
            cin, stride = cout, stride * step
            strides.append(stride)
        self.taps = tuple(tap % len(pairs) for tap in (taps or _last_of_each_stride(strides)))
        self.channels = tuple(pairs[tap][0] for tap in self.taps)
        self.strides = tuple(strides[tap] for tap in self.taps)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to the feature maps, fine to coarse."""
        features, found = images, []
        for index, layer in enumerate(self.layers):
            features = layer(features)
            if index and index % 2 == 0 and index // 2 - 1 in self.taps:
                found.append(features)
        return tuple(found)


class MobileNetV1Layer(nn.Sequential):
    """Convolution, normalisation (or bias) and ReLU6."""

    def __init__(
        self, cin: int, cout: int, size: int, stride: int = 1, dilation: int = 1, groups: int = 1, norm: bool = True
    ) -> None:
        super().__init__()
        padding = dilation * (size // 2)
        self.conv = nn.Conv2d(cin, cout, size, stride, padding, dilation, groups, bias=not norm)
        if norm:
            self.norm = nn.BatchNorm2d(cout)
        self.act = nn.ReLU6(inplace=True)


def _last_of_each_stride(strides: Sequence[int]) -> list[int]:
    last = {stride: index for index, stride in enumerate(strides)}
    return [index for stride, index in last.items() if stride >= 8]
