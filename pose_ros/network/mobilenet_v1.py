"""MobileNet V1: alternating depthwise and pointwise convolutions, as a backbone.

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


def layer_rows(width: float = 1.0, output_stride: int = 32) -> tuple[LayerRow, ...]:
    """Return the paper's 13 pairs, channels times ``width``. Beyond the output stride, dilation replaces stride."""
    table, total_stride, dilation = [], 2, 1
    for channels, stride in ROWS:
        step = stride if total_stride * stride <= output_stride else 1
        table.append((int(channels * width), step, dilation))
        total_stride, dilation = total_stride * step, dilation * stride // step
    return tuple(table)


class MobileNetV1(nn.Module):
    """MobileNet V1 without its classifier.

    Args:
        pairs: Channels, stride and dilation of each pair. ``layer_rows`` returns those of the paper.
        stem: Channels of the first convolution, which has stride 2.
        norm: Whether to normalise batches. Without it, the convolutions have biases.
        taps: Indices of the pairs to return the output of, -1 = last. Default: the last of each stride 8, 16, ….

    Attributes:
        channels: Channels of each feature map.
        strides: Stride of each feature map, px.
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
        self.taps = tuple(tap % len(pairs) for tap in (taps or _last_pair_of_each_stride(strides)))
        self.channels = tuple(pairs[tap][0] for tap in self.taps)
        self.strides = tuple(strides[tap] for tap in self.taps)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Map (B, 3, H, W) to the feature maps, fine to coarse."""
        features, maps = images, []
        for index, layer in enumerate(self.layers):
            features = layer(features)
            if index and index % 2 == 0 and index // 2 - 1 in self.taps:
                maps.append(features)
        return tuple(maps)


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


def _last_pair_of_each_stride(strides: Sequence[int]) -> list[int]:
    last = {stride: index for index, stride in enumerate(strides)}
    return [index for stride, index in last.items() if stride >= 8]
