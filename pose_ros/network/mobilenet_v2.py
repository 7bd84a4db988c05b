"""MobileNet V2 as a backbone: inverted residuals with linear bottlenecks, and the keys of torchvision.

References:
    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381, table 2 and figure 4.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repetitions and stride of each row of table 2 of the paper."""


class MobileNetV2(nn.Module):
    """MobileNet V2 without its classifier.

    Args:
        width: Factor on all channels. The results are rounded to multiples of 8.
        norm: Whether to normalise batches. Without it, the convolutions have biases, into which it has been folded.
        coarsest: Stride of the last block to keep, px.
        last: Channels of a 1 × 1 convolution after the last block. 0 = none.
        taps: Indices of the layers whose outputs are returned. None = the last layer of each stride from 4 on.
        pads_after: Whether layers of stride 2 pad only the bottom and the right, as TensorFlow does.

    Attributes:
        channels: Channels of each feature map.
        strides: Stride of each feature map, px.
    """

    def __init__(
        self,
        width: float = 1.0,
        norm: bool = True,
        coarsest: int = 32,
        last: int = 0,
        taps: tuple[int, ...] | None = None,
        pads_after: bool = False,
    ) -> None:
        super().__init__()
        cin = _round_channels(32 * width)
        layers: list[nn.Module] = [_conv(3, cin, 3, stride=2, norm=norm, pads_after=pads_after)]
        channels, strides = [cin], [2]
        for expansion, count, step, cout in ((t, n, s, _round_channels(c * width)) for t, c, n, s in ROWS):
            if strides[-1] * step > coarsest:
                break
            for stride in (step, *(count - 1) * [1]):
                layers.append(InvertedResidual(channels[-1], cout, stride, expansion, norm, pads_after))
                channels.append(cout)
                strides.append(strides[-1] * stride)
        if last:
            layers.append(_conv(channels[-1], last, 1, norm=norm))
            channels.append(last)
            strides.append(strides[-1])
        self.features = nn.ModuleList(layers)
        ends = [i for i in range(len(layers)) if i + 1 == len(layers) or strides[i + 1] > strides[i]]
        self.taps = tuple(i for i in ends if strides[i] >= 4) if taps is None else taps
        self.channels = tuple(channels[i] for i in self.taps)
        self.strides = tuple(strides[i] for i in self.taps)

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

    def __init__(self, cin: int, cout: int, stride: int, expansion: int, norm: bool, pads_after: bool = False) -> None:
        super().__init__()
        hidden = cin * expansion
        expand = [_conv(cin, hidden, 1, norm=norm)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            _conv(hidden, hidden, 3, stride, hidden, norm, pads_after),
            nn.Conv2d(hidden, cout, 1, bias=not norm),
            nn.BatchNorm2d(cout) if norm else nn.Identity(),
        )
        self.adds = stride == 1 and cin == cout

    def forward(self, features: Tensor) -> Tensor:
        """Run the block."""
        return features + self.conv(features) if self.adds else self.conv(features)


class PadAfterConv(nn.Conv2d):
    """Convolution of stride 2 and size 3 that pads the bottom and the right: TensorFlow's SAME for even sizes."""

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to half of H and W."""
        if torch.onnx.is_in_onnx_export():
            return _PadAfterConvOnnx.apply(features, self.weight, self.bias, self.groups)
        return super().forward(functional.pad(features, (0, 1, 0, 1)))


class _PadAfterConvOnnx(torch.autograd.Function):
    """The same as one node of ONNX. A separate Pad node costs a fifth of the time of a network in ONNX Runtime."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        return functional.conv2d(functional.pad(features, (0, 1, 0, 1)), weight, bias, stride=2, groups=groups)

    @staticmethod
    def symbolic(graph: Any, features: Any, weight: Any, bias: Any, groups: int) -> Any:
        inputs = (features, weight) if bias is None else (features, weight, bias)
        return graph.op("Conv", *inputs, kernel_shape_i=[3, 3], strides_i=[2, 2], pads_i=[0, 0, 1, 1], group_i=groups)


def _conv(
    cin: int, cout: int, size: int, stride: int = 1, groups: int = 1, norm: bool = True, pads_after: bool = False
) -> nn.Sequential:
    kind, padding = (PadAfterConv, 0) if pads_after and stride == 2 else (nn.Conv2d, size // 2)
    return nn.Sequential(
        kind(cin, cout, size, stride, padding, groups=groups, bias=not norm),
        nn.BatchNorm2d(cout) if norm else nn.Identity(),
        nn.ReLU6(inplace=True),
    )


def _round_channels(channels: float) -> int:
    """Round to the nearest multiple of 8, but not more than a tenth below the input."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
