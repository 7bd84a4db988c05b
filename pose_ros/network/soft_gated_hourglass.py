"""Soft-gated hourglass: residual blocks with a learnt gate per channel, in a hybrid of hourglass and U-Net.

The blocks and connections are those of the paper's figures. No code was published. The details that figures do not
show follow from the size: a third of the parameters of eight stacked hourglasses, as the abstract states. This is 8.4
million with 1 x 1 convolutions on the skip connections and two groups in the convolutions that join them. One group
gives 11.4 million.

References:
    Bulat et al., Toward fast and accurate human pose estimation via soft-gated skip connections, arXiv:2002.11098:
    soft-gated skip connections (fig. 1), hybrid of hourglass and U-Net.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import ModelSpec
from pose_ros.network.hourglass import HourglassStack
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.network.stacked_hourglass import INPUT, ORIGIN, conv_norm_relu, norm_relu_conv
from pose_ros.skeleton import MPII_16, Skeleton

STACKS, LEVELS, CHANNELS = 4, 4, 144
GROUPS = 2
"""Groups of the convolution that joins a skip connection and the coarser features: one per source."""


class SoftGatedHourglass(PoseNetwork):
    """Hybrid networks in sequence. Each is supervised, and each reads the previous prediction.

    Args:
        skeleton: Keypoints to predict.
        stacks: Number of hybrid networks.
        channels: Channels of the features, a multiple of 4.
    """

    def __init__(self, skeleton: Skeleton, stacks: int = STACKS, channels: int = CHANNELS) -> None:
        super().__init__()
        name = f"soft_gated_hourglass_{stacks}"
        spec = ModelSpec(*(name, skeleton, 4, ORIGIN), input=INPUT, grouping="single", licence="no published licence")
        self.spec = with_heads(spec, ("heatmaps",))
        towers = [
            nn.Sequential(
                SoftGatedUNet(LEVELS, channels),
                SoftGatedResidual(channels, channels),
                *conv_norm_relu(channels, channels, bias=False),
            )
            for _ in range(stacks)
        ]
        self.stack = HourglassStack(_stem(channels), towers, channels, len(skeleton))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute the heatmaps of each hybrid network."""
        return [{"heatmaps": heatmaps} for heatmaps in self.stack(images)]


class SoftGatedUNet(nn.Module):
    """Hybrid of hourglass and U-Net.

    As in a U-Net, a skip connection starts after the block of its resolution, and is joined by concatenation and a
    convolution. As in an hourglass, all resolutions have the same number of channels.

    Args:
        levels: Number of resolutions with a skip connection.
        channels: Channels of the features.
    """

    def __init__(self, levels: int, channels: int) -> None:
        super().__init__()
        self.down = SoftGatedResidual(channels, channels)
        self.skip = nn.Conv2d(channels, channels, 1, bias=False)
        self.inner = SoftGatedUNet(levels - 1, channels) if levels > 1 else nn.Identity()
        self.join = nn.Conv2d(2 * channels, channels, 3, padding=1, groups=GROUPS, bias=False)
        self.up = SoftGatedResidual(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape. H and W are multiples of 2^levels."""
        fine = self.down(features)
        coarse = functional.interpolate(self.inner(functional.max_pool2d(fine, 2)), scale_factor=2.0, mode="nearest")
        return self.up(self.join(torch.cat((self.skip(fine), coarse), dim=1)))


class SoftGatedResidual(nn.Module):
    """Residual block of three scales with a soft gate (fig. 1).

        x_(l+1) = a * x_l + F(x_l)

    with a learnt gate a for each channel. F concatenates the results of three convolutions in sequence. A block that
    changes the number of channels has a convolution instead of the gate.

    Args:
        cin: Channels of the input.
        cout: Channels of the output, a multiple of 4.
    """

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        channels = (cin, cout // 2, cout // 4, cout // 4)
        self.convs = nn.ModuleList(
            nn.Sequential(*norm_relu_conv(before, after, size=3, bias=False)) for before, after in pairwise(channels)
        )
        self.keep = SoftGate(cin) if cin == cout else nn.Conv2d(cin, cout, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H, W)."""
        results = [features]
        for conv in self.convs:
            results.append(conv(results[-1]))
        return self.keep(features) + torch.cat(results[1:], dim=1)


class SoftGate(nn.Module):
    """Learnt factor of each channel. It is 0 at first: training opens the skip connections that help.

    Args:
        channels: Channels of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Scale each channel of (B, C, H, W)."""
        return self.gate * features


def _stem(channels: int) -> nn.Sequential:
    return nn.Sequential(
        *conv_norm_relu(3, 64, size=7, stride=2, bias=False),
        SoftGatedResidual(64, 128),
        nn.MaxPool2d(2),
        SoftGatedResidual(128, 128),
        SoftGatedResidual(128, channels),
    )


def soft_gated_hourglass(skeleton: Skeleton = MPII_16) -> PoseNetwork:
    """Build the network of the paper: four stacks of 144 channels."""
    return SoftGatedHourglass(skeleton)


NETWORKS = {f"soft_gated_hourglass_{STACKS}": soft_gated_hourglass}
