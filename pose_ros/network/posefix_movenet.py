"""A small PoseFix on MoveNet Thunder, for CPUs and little data.

MoveNet finds each keypoint in the crop, and stays frozen. The known pose joins its features at stride 4, not in the
first convolution as in the paper. So only the fusion is trained, which takes minutes.

References:
    Moon et al., PoseFix, arXiv:1812.03595 (the task, the data and the losses).
    Votel and Li, Next-Generation Pose Detection with MoveNet and TensorFlow.js, 2021 (backbone, pyramid and heatmaps).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.network.model import FieldTensors
from pose_ros.network.movenet import PYRAMID, FeaturePyramid, SeparableConv, make_heads, movenet_thunder
from pose_ros.network.posefix import PoseFix, with_pose
from pose_ros.skeleton import COCO_17, Skeleton

CHANNELS = 64
SIGMA = 5.0
"""Standard deviation of the Gaussians of the known pose, px."""
IMAGE_SCALE, POSE_SCALE = 8.0, 4.0
"""Logits of a certain keypoint of the image and of the known pose, at the start of training.

With equal scales, the known pose outweighs the image, and inversions stay.
"""


class Fusion(nn.Module):
    """Fusion of features, heatmaps of the image and heatmaps of the known pose to logits.

    The logits are a weighted sum of both heatmaps, and a correction by three separable convolutions.

    Args:
        features: Channels of the features.
        keypoints: Number of keypoints.
    """

    def __init__(self, features: int, keypoints: int) -> None:
        super().__init__()
        layers = (features + 2 * keypoints, CHANNELS), (CHANNELS, CHANNELS), (CHANNELS, CHANNELS)
        self.layers = nn.Sequential(*(SeparableConv(*layer) for layer in layers))
        self.correction = nn.Conv2d(CHANNELS, keypoints, 1)
        self.image_scale = nn.Parameter(torch.full((keypoints, 1, 1), IMAGE_SCALE))
        self.pose_scale = nn.Parameter(torch.full((keypoints, 1, 1), POSE_SCALE))

    def forward(self, features: Tensor, found: Tensor, known: Tensor) -> Tensor:
        """Compute the logits (B, K, H, W) of features (B, C, H, W) and two heatmaps (B, K, H, W), 0 to 1."""
        correction = self.correction(self.layers(torch.cat([features, found, known], dim=1)))
        return correction + self.image_scale * found + self.pose_scale * known


class PoseFixOnMoveNet(PoseFix):
    """MoveNet whose heatmaps are fused with those of a known pose.

    Args:
        skeleton: Keypoints to refine.
        size_wh: Size of the crops, px.
    """

    def __init__(self, skeleton: Skeleton = COCO_17, size_wh: tuple[int, int] = (192, 192)) -> None:
        source = movenet_thunder(skeleton)
        pixels = replace(source.spec.input, short_side=min(size_wh), size_wh=size_wh)
        spec = replace(source.spec, name="posefix_movenet_thunder", input=pixels, score_threshold=0.07)
        heatmaps = make_heads(skeleton, with_boxes=False)["heatmaps"]
        super().__init__(with_pose(spec, SIGMA), source.backbone, FeaturePyramid(source.backbone.channels), heatmaps)
        self.fusion = Fusion(PYRAMID[-1][1], len(skeleton))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: logits of the distribution of each keypoint over the cells."""
        features = self.neck(self.backbone(images[:, :3]))
        found = self.heads["heatmaps"](features).sigmoid()
        # A cell lies between two pixels: 4 c - 1/2.
        known = functional.avg_pool2d(images[:, 3:], 2, stride=4, padding=1, count_include_pad=False)[
            :, :, : found.shape[2], : found.shape[3]
        ]
        return [{"heatmaps": self.fusion(features, found, known)}]


NETWORKS = {"posefix_movenet_thunder": PoseFixOnMoveNet}
