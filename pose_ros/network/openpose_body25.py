"""OpenPose's BODY_25: four stages for the part affinity fields, then two for the heatmaps.

Three 3 × 3 convolutions with concatenated outputs replace each 7 × 7 of the older network. As in that network, cell c
lies at x = 8 c + 3.5.

References:
    Cao et al., OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1812.08008,
    section 3.1 and figure 3.
    He et al., Delving Deep into Rectifiers, arXiv:1502.01852 (PReLU).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose_ros.fields import ModelSpec
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.network.openpose import INPUT, LICENCE
from pose_ros.network.vgg import OpenPoseBackbone
from pose_ros.skeleton import BODY_25, Skeleton

NARROW, WIDE = (96, 256), (128, 512)
"""Channels of each 3 × 3 convolution, and of the 1 × 1 before a field. The first stage of each field is narrow."""


class OpenPoseBody25(PoseNetwork):
    """The network. The last channel of its heatmaps is the background.

    Args:
        skeleton: Keypoints, and limbs of the part affinity fields.
        stages: Number of stages for the part affinity fields, and for the heatmaps.
    """

    def __init__(self, skeleton: Skeleton, stages: tuple[int, int] = (4, 2)) -> None:
        super().__init__()
        self.spec = with_heads(
            ModelSpec("openpose_body25", skeleton, 8, origin=3.5, input=INPUT, licence=LICENCE), ("heatmaps", "pafs")
        )
        self.backbone = OpenPoseBackbone(prelu=True)
        features, pafs, heatmaps = 128, 2 * len(skeleton.limbs), len(skeleton) + 1
        self.pafs = _stages(features, pafs, stages[0])
        self.heatmaps = _stages(features + pafs, heatmaps, stages[1])

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training.

        Returns:
            One field per stage, in the order of computation. Only the last part affinity fields are moved to the last
            heatmaps. So every stage appears once, and the last entry has both fields.
        """
        features = self.backbone(images)
        pafs: list[Tensor] = [self.pafs[0](features)]
        heatmaps: list[Tensor] = []
        for stage in self.pafs[1:]:
            pafs.append(stage(torch.cat([features, pafs[-1]], dim=1)))
        for stage in self.heatmaps:
            heatmaps.append(stage(torch.cat([features, *heatmaps[-1:], pafs[-1]], dim=1)))
        earlier = [*({"pafs": field} for field in pafs[:-1]), *({"heatmaps": field} for field in heatmaps[:-1])]
        return [*earlier, {"heatmaps": heatmaps[-1], "pafs": pafs[-1]}]


class Body25Stage(nn.Module):
    """One stage: five blocks, and two 1 × 1 convolutions that predict the field from the last block.

    Args:
        cin: Channels of the input.
        widths: ``NARROW`` or ``WIDE``.
        cout: Channels of the field.
    """

    def __init__(self, cin: int, widths: tuple[int, int], cout: int) -> None:
        super().__init__()
        width, inner = widths
        self.blocks = nn.Sequential(
            Body25DenseBlock(cin, width), *(Body25DenseBlock(3 * width, width) for _ in range(4))
        )
        self.leave = nn.Sequential()
        self.leave.conv6 = nn.Conv2d(3 * width, inner, 1)
        self.leave.prelu6 = nn.PReLU(inner)
        self.leave.conv7 = nn.Conv2d(inner, cout, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, cout, H, W)."""
        return self.leave(self.blocks(features))


class Body25DenseBlock(nn.ModuleList):
    """Three 3 × 3 convolutions in sequence. Their three outputs are concatenated."""

    def __init__(self, cin: int, width: int) -> None:
        super().__init__(_conv(cin if not index else width, width) for index in range(3))

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, cin, H, W) to (B, 3 width, H, W)."""
        outputs = [features]
        for conv in self:
            outputs.append(conv(outputs[-1]))
        return torch.cat(outputs[1:], dim=1)


def _conv(cin: int, cout: int) -> nn.Sequential:
    layer = nn.Sequential()
    layer.conv = nn.Conv2d(cin, cout, 3, padding=1)
    layer.prelu = nn.PReLU(cout)
    return layer


def _stages(cin: int, cout: int, count: int) -> nn.ModuleList:
    later = (Body25Stage(cin + cout, WIDE, cout) for _ in range(count - 1))
    return nn.ModuleList([Body25Stage(cin, NARROW, cout), *later])


def openpose_body25(skeleton: Skeleton = BODY_25) -> PoseNetwork:
    """Build the network of four and two stages."""
    return OpenPoseBody25(skeleton)


NETWORKS = {"openpose_body25": openpose_body25}
