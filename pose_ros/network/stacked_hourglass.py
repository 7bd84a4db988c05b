"""Stacked hourglasses: the one person in a crop, refined by each hourglass.

References:
    Newell et al., Stacked Hourglass Networks for Human Pose Estimation, arXiv:1603.06937, section 3.2.
    He et al., Identity Mappings in Deep Residual Networks, arXiv:1603.05027 (normalisation before convolution).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.hourglass import Hourglass, HourglassStack
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.skeleton import MPII_16, Skeleton

RESOLUTIONS, CHANNELS = 5, 256
ORIGIN = 1.5  # the cells tile the image, so a mirrored image has mirrored fields
INPUT = InputSpec(
    *("image", "NCHW", "float32", "rgb"),
    std=(255.0, 255.0, 255.0),
    multiple=64,
    short_side=256,
    size_wh=(256, 256),
)


class StackedHourglass(PoseNetwork):
    """Stacked hourglasses of residual blocks.

    Args:
        skeleton: Keypoints to predict.
        stacks: Number of hourglasses.
    """

    def __init__(self, skeleton: Skeleton, stacks: int) -> None:
        super().__init__()
        spec = ModelSpec(
            *(f"stacked_hourglass_{stacks}", skeleton, 4, ORIGIN),
            input=INPUT,
            grouping="single",
            licence="BSD-3-Clause",
        )
        self.spec = with_heads(spec, ("heatmaps",))
        towers = [
            nn.Sequential(
                Hourglass([CHANNELS] * RESOLUTIONS, Residual),
                Residual(CHANNELS, CHANNELS),
                *conv_norm_relu(CHANNELS, CHANNELS),
            )
            for _ in range(stacks)
        ]
        self.stack = HourglassStack(_stem(), towers, CHANNELS, len(skeleton))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute the heatmaps of each hourglass."""
        return [{"heatmaps": heatmaps} for heatmaps in self.stack(images)]


class Residual(nn.Module):
    """Bottleneck with normalisation before each convolution."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        narrow = cout // 2
        self.change = nn.Sequential(
            *norm_relu_conv(cin, narrow, size=1),
            *norm_relu_conv(narrow, narrow, size=3),
            *norm_relu_conv(narrow, cout, size=1),
        )
        self.keep = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H, W)."""
        return self.keep(features) + self.change(features)


def norm_relu_conv(cin: int, cout: int, size: int = 1, bias: bool = True) -> list[nn.Module]:
    """Make a normalisation, a ReLU and a convolution that keeps the grid."""
    return [nn.BatchNorm2d(cin), nn.ReLU(inplace=True), nn.Conv2d(cin, cout, size, padding=size // 2, bias=bias)]


def conv_norm_relu(cin: int, cout: int, size: int = 1, stride: int = 1, bias: bool = True) -> list[nn.Module]:
    """Make a convolution, a normalisation and a ReLU."""
    return [nn.Conv2d(cin, cout, size, stride, size // 2, bias=bias), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)]


def _stem() -> nn.Sequential:
    return nn.Sequential(
        *conv_norm_relu(3, 64, size=7, stride=2),
        Residual(64, 128),
        nn.MaxPool2d(2),
        Residual(128, 128),
        Residual(128, CHANNELS),
    )


def stacked_hourglass(skeleton: Skeleton = MPII_16, stacks: int = 8) -> PoseNetwork:
    """Build the publisher's network."""
    return StackedHourglass(skeleton, stacks)


NETWORKS = {f"stacked_hourglass_{stacks}": partial(stacked_hourglass, stacks=stacks) for stacks in (2, 8)}
