"""The network of this package: heatmaps, part affinity fields and tags from a small backbone, refined at stride 8.

The feature maps of strides 8 and 16 of a MobileNet are merged as in a feature pyramid. Each later stage reads the
fields of the previous stage, with a larger receptive field (5 × 5 after 3 × 3). This helps to separate left from right,
and one person from another.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050, section 2.2
    (stages that refine).
    Newell et al., Associative Embedding, arXiv:1611.05424 (tags).
    Lin et al., Feature Pyramid Networks, arXiv:1612.03144, section 3 (lateral connections).
    Osokin, Lightweight OpenPose, arXiv:1811.12004 (shared layers for all heads).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.mobilenet_v1 import MobileNetV1, layer_rows
from pose_ros.network.mobilenet_v2 import MobileNetV2
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.skeleton import OPENPOSE_18, Skeleton

STRIDE = 8
INPUT = InputSpec("image", "NCHW", "float32", "rgb", (128.0, 128.0, 128.0), (128.0, 128.0, 128.0), 16, 432)


class MultiHeadNetwork(PoseNetwork):
    """Backbone with feature maps of strides 8 and 16, and stages that each predict all fields.

    Args:
        name: Name of the model.
        backbone: Backbone. Its last two feature maps have the strides 8 and 16.
        skeleton: Keypoints, and limbs of the part affinity fields.
        channels: Channels of all feature maps after the backbone.
        stages: Number of stages that predict the fields. Each later stage reads the previous fields.
        corrections: Number of additional stages that predict a correction to add to the fields. They start with a
            correction of 0, so they can be added to a trained network.
    """

    def __init__(
        self,
        name: str,
        backbone: nn.Module,
        skeleton: Skeleton,
        channels: int = 128,
        stages: int = 2,
        corrections: int = 0,
    ) -> None:
        super().__init__()
        self.sizes = {"heatmaps": len(skeleton), "pafs": 2 * len(skeleton.limbs), "tags": len(skeleton)}
        spec = ModelSpec(name, skeleton, STRIDE, input=INPUT, grouping="paf", licence="Apache-2.0")
        self.spec = with_heads(spec, self.sizes)
        self.backbone = backbone
        self.neck = PyramidNeck(backbone.channels[-2:], channels)
        total, visible = sum(self.sizes.values()), self.sizes["heatmaps"] + self.sizes["pafs"]
        later = [
            MultiHeadStage(2 * channels + visible, channels, total, size=5) for _ in range(stages - 1 + corrections)
        ]
        for stage in later[stages - 1 :]:
            nn.init.zeros_(stage.leave.weight)
            nn.init.zeros_(stage.leave.bias)
        self._full_stages = stages  # later stages add to the previous fields
        self.stages = nn.ModuleList([MultiHeadStage(0, channels, total, size=3), *later])

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: one dictionary per stage."""
        features = self.neck(self.backbone(images)[-2:])
        inner, fields = self.stages[0](features)
        results = [fields]
        for number, stage in enumerate(self.stages[1:], start=1):
            visible = fields[:, : self.sizes["heatmaps"] + self.sizes["pafs"]]
            inner, output = stage(torch.cat([features, inner, visible], dim=1))
            fields = output if number < self._full_stages else fields + output
            results.append(fields)
        sizes = list(self.sizes.values())
        return [dict(zip(self.sizes, fields.split(sizes, dim=1), strict=True)) for fields in results]


class PyramidNeck(nn.Module):
    """Neck that merges two feature maps, fine and half as fine, into one on the finer grid."""

    def __init__(self, channels: tuple[int, int], cout: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(channels[0], cout, 1, bias=False)
        self.coarse = nn.Conv2d(channels[1], cout, 1, bias=False)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, features: tuple[Tensor, Tensor]) -> Tensor:
        """Merge (fine, coarse) into (B, C, H, W) on the grid of the fine map."""
        fine, coarse = features
        coarse = functional.interpolate(self.coarse(coarse), scale_factor=2, mode="bilinear", align_corners=False)
        return (self.norm(self.fine(fine) + coarse)).relu()


class MultiHeadStage(nn.Module):
    """One stage: three residual separable convolutions, and one 1 × 1 for all fields. Returns features and fields.

    Args:
        cin: Channels of the input, which a 1 × 1 first changes to ``channels``. 0 = the input has ``channels`` already.
        channels: Channels of the features.
        cout: Channels of the fields.
        size: Kernel size of the depthwise convolutions.
    """

    def __init__(self, cin: int, channels: int, cout: int, size: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(*_conv(cin, channels, 1)) if cin else nn.Identity()
        self.blocks = nn.ModuleList(
            nn.Sequential(*_conv(channels, channels, size, groups=channels), *_conv(channels, channels, 1))
            for _ in range(3)
        )
        self.leave = nn.Conv2d(channels, cout, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features and the fields of this stage."""
        features = self.enter(features)
        for block in self.blocks:
            features = features + block(features)
        return features, self.leave(features)


def _conv(cin: int, cout: int, size: int, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(cin, cout, size, padding=size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(cout), nn.ReLU(inplace=True)]


def mobilenet_v1(skeleton: Skeleton = OPENPOSE_18, corrections: int = 0) -> PoseNetwork:
    """Build the network on PoseNet's MobileNet V1 of width 0.75: no normalisation, and no wider last pairs."""
    name = "pose_ros_mobilenet_v1_075" + (f"_{2 + corrections}" if corrections else "")
    pairs = [(min(channels, 384), stride, 1) for channels, stride, _ in layer_rows(0.75, output_stride=16)]
    backbone = MobileNetV1(pairs, stem=24, norm=False)
    return MultiHeadNetwork(name, backbone, skeleton, corrections=corrections)


def mobilenet_v2(skeleton: Skeleton = OPENPOSE_18, width: float = 1.0) -> PoseNetwork:
    """Build the network on MobileNet V2 to stride 16, with folded normalisation."""
    backbone = MobileNetV2(width, norm=False, coarsest=16)
    return MultiHeadNetwork("pose_ros_mobilenet_v2", backbone, skeleton)


NETWORKS = {
    "pose_ros_mobilenet_v1_075": mobilenet_v1,
    "pose_ros_mobilenet_v1_075_4": partial(mobilenet_v1, corrections=2),
    "pose_ros_mobilenet_v2": partial(mobilenet_v2, width=1.0),
}
