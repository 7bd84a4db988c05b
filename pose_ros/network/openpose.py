"""OpenPose of 2017: six stages of two branches. Each stage reads the fields of the previous stage.

Cell c lies at x = 8 c + 3.5: OpenPose's targets use the middle of the 8 pixels of a cell.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050, figure 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.network.vgg import OpenPoseBackbone
from pose_ros.skeleton import OPENPOSE_18, Skeleton

INPUT = InputSpec("image", "NCHW", "float32", "bgr", (128.0, 128.0, 128.0), (256.0, 256.0, 256.0), 8, 368)
LICENCE = "CMU academic, non-commercial"

FIRST = ((3, 128), (3, 128), (3, 128), (1, 512))
LATER = ((7, 128), (7, 128), (7, 128), (7, 128), (7, 128), (1, 128))
"""Kernel size and channels of the convolutions of a branch, without the last."""


class OpenPose(PoseNetwork):
    """The network. The last channel of its heatmaps is the background.

    Args:
        skeleton: Keypoints, and limbs of the part affinity fields.
        stages: Number of stages, including the first.
    """

    def __init__(self, skeleton: Skeleton, stages: int = 6) -> None:
        super().__init__()
        self.spec = with_heads(
            ModelSpec("openpose_coco", skeleton, 8, origin=3.5, input=INPUT, licence=LICENCE), ("heatmaps", "pafs")
        )
        self.backbone = OpenPoseBackbone()
        features, pafs, heatmaps = 128, 2 * len(skeleton.limbs), len(skeleton) + 1
        self.stages = nn.ModuleList()
        for index in range(stages):
            rows, cin = (LATER, pafs + heatmaps + features) if index else (FIRST, features)
            self.stages.append(
                nn.ModuleDict(
                    {"heatmaps": OpenPoseBranch(cin, rows, heatmaps), "pafs": OpenPoseBranch(cin, rows, pafs)}
                )
            )

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: one dictionary per stage."""
        features = inputs = self.backbone(images)
        results = []
        for stage in self.stages:
            fields = {name: branch(inputs) for name, branch in stage.items()}
            results.append(fields)
            inputs = torch.cat([fields["pafs"], fields["heatmaps"], features], dim=1)
        return results


class OpenPoseBranch(nn.Sequential):
    """Convolutions with ReLU, and a 1 × 1 that predicts the field.

    Args:
        cin: Channels of the input.
        rows: Kernel size and channels of each convolution with ReLU.
        cout: Channels of the field.
    """

    def __init__(self, cin: int, rows: tuple[tuple[int, int], ...], cout: int) -> None:
        super().__init__()
        for number, (size, channels) in enumerate(rows, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(cin, channels, size, padding=size // 2))
            self.add_module(f"relu{number}", nn.ReLU(inplace=True))
            cin = channels
        self.add_module(f"conv{len(rows) + 1}", nn.Conv2d(cin, cout, 1))


def openpose(skeleton: Skeleton = OPENPOSE_18) -> PoseNetwork:
    """Build the network of six stages."""
    return OpenPose(skeleton)


NETWORKS = {"openpose_coco": openpose}
