"""PyraNet: stacked hourglasses of pyramid residual modules, which see their input at several scales.

The layers are those of the publisher's code: module PRM-B, pyramids of four scales.

References:
    Yang et al., Learning Feature Pyramids for Human Pose Estimation, arXiv:1708.01101: pyramid residual modules,
    output variance accumulation.
    Graham, Fractional Max-Pooling, arXiv:1412.6071.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import ModelSpec
from pose_ros.network.hourglass import Hourglass, HourglassStack
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.network.stacked_hourglass import INPUT, ORIGIN, conv_norm_relu, norm_relu_conv
from pose_ros.skeleton import MPII_16, Skeleton

LEVELS, CHANNELS = 4, 256
SCALES = 4
"""Number of scales C. The coarsest has half the resolution."""
NARROW = 9
"""Output channels of a module, divided by the channels of its pyramid."""


class PyraNet(PoseNetwork):
    """Stacked hourglasses of pyramid residual modules.

    Args:
        skeleton: Keypoints to predict.
        stacks: Number of hourglasses.
        channels: Channels of the features, a multiple of 4.
    """

    def __init__(self, skeleton: Skeleton, stacks: int, channels: int = CHANNELS) -> None:
        super().__init__()
        spec = ModelSpec(
            *(f"pyranet_{stacks}", skeleton, 4, ORIGIN), input=INPUT, grouping="single", licence="Apache-2.0"
        )
        self.spec = with_heads(spec, ("heatmaps",))
        towers = [
            nn.Sequential(
                PyramidHourglass(LEVELS, channels),
                *norm_relu_conv(channels, channels),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
            for _ in range(stacks)
        ]
        self.stack = HourglassStack(_stem(channels), towers, channels, len(skeleton))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute the heatmaps of each hourglass."""
        return [{"heatmaps": heatmaps} for heatmaps in self.stack(images)]


class PyramidHourglass(Hourglass):
    """Hourglass with pyramids on the finer resolutions. The coarsest grids have too few cells for a pyramid.

    Args:
        levels: Number of times that the resolution is halved.
        channels: Channels of the features.
    """

    def __init__(self, levels: int, channels: int) -> None:
        nn.Module.__init__(self)  # the connections are those of an hourglass, the layers are not
        block = partial(PyramidResidual, channels, channels)
        self.around = block(has_pyramid=levels > 1)
        self.down = block(has_pyramid=levels > 2)
        self.inner = PyramidHourglass(levels - 1, channels) if levels > 1 else block(has_pyramid=False)
        self.up = block(has_pyramid=levels > 2, is_summed=True)


class PyramidResidual(nn.Module):
    """Pyramid residual module : one branch at the resolution of its input, and one with a pyramid.

    Args:
        cin: Channels of the input.
        cout: Channels of the output.
        has_pyramid: Whether there is a pyramid. Without it, this is the residual block of the hourglass.
        is_normalised: Whether the branches start with a normalisation and a ReLU.
        is_summed: Whether the output is added to that of another module. Its skip connection then has a convolution
            in place of the identity, so that variances do not accumulate.
    """

    def __init__(
        self, cin: int, cout: int, has_pyramid: bool = True, is_normalised: bool = True, is_summed: bool = False
    ) -> None:
        super().__init__()
        half, narrow = cout // 2, cout // NARROW
        start = 0 if is_normalised else 2  # first layer of the branches
        self.plain = nn.Sequential(*norm_relu_conv(cin, half)[start:], *norm_relu_conv(half, half, size=3))
        self.pyramid = (
            nn.Sequential(
                *norm_relu_conv(cin, narrow)[start:],
                nn.BatchNorm2d(narrow),
                nn.ReLU(inplace=True),
                ScalePyramid(narrow),
                *norm_relu_conv(narrow, half),
            )
            if has_pyramid
            else None
        )
        self.widen = nn.Sequential(*norm_relu_conv(half, cout))
        self.keep = nn.Sequential(*norm_relu_conv(cin, cout)) if is_summed or cin != cout else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H, W)."""
        change = self.plain(features)
        if self.pyramid is not None:
            change = change + self.pyramid(features)
        return self.keep(features) + self.widen(change)


class ScalePyramid(nn.Module):
    """Sum of convolutions at the scales 2^(-c / C), c = 1 to C.

    Args:
        channels: Channels of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(SCALES))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        height, width = features.shape[2:]
        resized = []
        for number, conv in enumerate(self.convs, start=1):
            coarse = conv(fractional_max_pool(features, 2 ** (-number / SCALES)))
            resized.append(functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True))
        return torch.stack(resized).sum(dim=0)


def fractional_max_pool(features: Tensor, scale: float) -> Tensor:
    """Reduce the resolution by a factor between 1 and 2. Each cell is the maximum of 2 x 2 cells.

    The first and the last window touch the border and the others lie evenly between them. The publisher draws their
    positions at random, in inference too.

    Args:
        features: (B, C, H, W), H and W at least 2.
        scale: New resolution, relative to the old one.
    """
    windows = functional.max_pool2d(features, 2, stride=1)
    for axis in (2, 3):
        positions = _window_positions(int(features.shape[axis]), scale)
        windows = windows.index_select(axis, torch.tensor(positions, device=features.device))
    return windows


def _window_positions(cells: int, scale: float) -> list[int]:
    """Return the first cell of each window of two cells."""
    count = int(cells * scale + 1e-6)
    return [round(index * (cells - 2) / max(count - 1, 1)) for index in range(count)]


def _stem(channels: int) -> nn.Sequential:
    return nn.Sequential(
        *conv_norm_relu(3, channels // 4, size=7, stride=2),
        PyramidResidual(channels // 4, channels // 2, is_normalised=False),
        nn.MaxPool2d(2),
        PyramidResidual(channels // 2, channels // 2),
        PyramidResidual(channels // 2, channels),
    )


def pyranet(skeleton: Skeleton = MPII_16, stacks: int = 8) -> PoseNetwork:
    """Build the publisher's network."""
    return PyraNet(skeleton, stacks)


NETWORKS = {f"pyranet_{stacks}": partial(pyranet, stacks=stacks) for stacks in (2, 8)}
