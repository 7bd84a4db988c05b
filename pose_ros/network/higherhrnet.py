"""HigherHRNet: HRNet with one more resolution, heatmaps on its two finest resolutions, and tags on the coarser of them.

References:
    Cheng et al., HigherHRNet: Scale-Aware Representation Learning for Bottom-Up Human Pose Estimation,
    arXiv:1908.10357, section 3.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from pose_ros.fields import ModelSpec
from pose_ros.network.hrnet import HRNet, basic_blocks, upsample, whole_image_input
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.skeleton import COCO_17, Skeleton

ORIGIN = 1.0  # training rounds keypoints down to whole cells: those drawn at cell c lie within 2 c … 2 c + 2


class HigherHRNet(PoseNetwork):
    """HRNet with heatmaps and tags at 1/4, and heatmaps at 1/2 (fig. 2).

    Args:
        spec: Model description, for the grid at 1/2.
        width: Channels of HRNet's finest resolution.
    """

    def __init__(self, spec: ModelSpec, width: int) -> None:
        super().__init__()
        self.spec = with_heads(spec, ("heatmaps", "tags"))
        keypoints = len(spec.skeleton)
        self.backbone = HRNet(width)
        self.coarse = nn.Conv2d(width, 2 * keypoints, 1)
        self.doubled = nn.Sequential(
            nn.ConvTranspose2d(width + 2 * keypoints, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            *basic_blocks(width),
        )
        self.fine = nn.Conv2d(width, keypoints, 1)

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute heatmaps and tags at 1/4, then heatmaps at 1/2."""
        (features,) = self.backbone(images)
        coarse = self.coarse(features)
        fine = self.fine(self.doubled(torch.cat([features, coarse], dim=1)))
        heatmaps, tags = coarse.chunk(2, dim=1)
        return [{"heatmaps": heatmaps, "tags": tags}, {"heatmaps": fine}]

    def fields(self, images: Tensor) -> FieldTensors:
        """Compute the mean of both heatmaps (section 3.4) and the tags, all at 1/2."""
        coarse, fine = self(images)
        doubled = {name: upsample(field, 2) for name, field in coarse.items()}
        return {"heatmaps": (doubled["heatmaps"] + fine["heatmaps"]) / 2, "tags": doubled["tags"]}


def higherhrnet(skeleton: Skeleton = COCO_17, width: int = 32) -> PoseNetwork:
    """Build HigherHRNet for the publisher's input size: shorter side 512 px for width 32, else 640 px."""
    spec = ModelSpec(
        *(f"higherhrnet_w{width}", skeleton, 2, ORIGIN),
        input=whole_image_input(width),
        grouping="tag",
        licence="MIT",
    )
    return HigherHRNet(spec, width)


NETWORKS = {f"higherhrnet_w{width}": partial(higherhrnet, width=width) for width in (32, 48)}
