"""Our own network: heatmaps, part affinity fields and tags from one small trunk, in refining stages at stride 8.

A MobileNet's strides 8 and 16 are merged as in a feature pyramid; each stage sees what the stage before said, and looks
around further than it (5 × 5 after 3 × 3), which tells left from right and one person from the next.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050, section 2.2
    (stages that refine).
    Newell et al., Associative Embedding, arXiv:1611.05424 (tags).
    Lin et al., Feature Pyramid Networks, arXiv:1612.03144, section 3 (lateral connections).
    Osokin, Lightweight OpenPose, arXiv:1811.12004 (one trunk for all heads).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.mobilenet_v1 import MobileNetV1, rows
from pose_ros.network.mobilenet_v2 import MobileNetV2
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.skeleton import OPENPOSE_18, Skeleton

STRIDE = 8
INPUT = InputSpec("image", "NCHW", "float32", "rgb", (128.0, 128.0, 128.0), (128.0, 128.0, 128.0), 16, 432)


class MultiHeadNetwork(PoseNetwork):
    """A trunk with feature maps of strides 8 and 16, and stages that each give all fields.

    Args:
        name: Name of the model.
        backbone: The trunk; its last two feature maps have the strides 8 and 16.
        skeleton: Keypoints, and limbs of the part affinity fields.
        channels: Of all feature maps after the trunk.
        stages: How often the fields are said, each time with a view of what was said before.
        corrections: Further stages, each of which says what to add to the fields. They begin with nothing to add, so
            that a trained network may be given more of them.
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
        total, taught = sum(self.sizes.values()), self.sizes["heatmaps"] + self.sizes["pafs"]
        later = [
            MultiHeadStage(2 * channels + taught, channels, total, size=5) for _ in range(stages - 1 + corrections)
        ]
        for stage in later[stages - 1 :]:
            nn.init.zeros_(stage.leave.weight)
            nn.init.zeros_(stage.leave.bias)
        self._said_anew = stages
        self.stages = nn.ModuleList([MultiHeadStage(0, channels, total, size=3), *later])

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: one dictionary per stage."""
        features = self.neck(self.backbone(images)[-2:])
        inner, said = self.stages[0](features)
        results = [said]
        for number, stage in enumerate(self.stages[1:], start=1):
            seen = said[:, : self.sizes["heatmaps"] + self.sizes["pafs"]]
            inner, says = stage(torch.cat([features, inner, seen], dim=1))
            said = says if number < self._said_anew else said + says
            results.append(said)
        return [dict(zip(self.sizes, said.split(list(self.sizes.values()), dim=1), strict=True)) for said in results]


class PyramidNeck(nn.Module):
    """Two feature maps, fine and half as fine, made one on the finer grid."""

    def __init__(self, channels: tuple[int, int], cout: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(channels[0], cout, 1, bias=False)
        self.coarse = nn.Conv2d(channels[1], cout, 1, bias=False)
        self.norm = nn.BatchNorm2d(cout)

    def forward(self, features: tuple[Tensor, Tensor]) -> Tensor:
        """(fine, coarse) to (B, C, H, W) of the fine one."""
        fine, coarse = features
        coarse = functional.interpolate(self.coarse(coarse), scale_factor=2, mode="bilinear", align_corners=False)
        return (self.norm(self.fine(fine) + coarse)).relu()


class MultiHeadStage(nn.Module):
    """Three residual separable convolutions, and all fields by one 1 × 1; gives its features and the fields.

    Args:
        cin: Channels of the input, which are first made ``channels``; 0 where it has that many already.
        channels: Of the features.
        cout: Of the fields.
        size: Of the depthwise convolutions.
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
        """The features of this stage, and what they say."""
        features = self.enter(features)
        for block in self.blocks:
            features = features + block(features)
        return features, self.leave(features)


def _conv(cin: int, cout: int, size: int, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(cin, cout, size, padding=size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(cout), nn.ReLU(inplace=True)]


def mobilenet_v1(skeleton: Skeleton = OPENPOSE_18, corrections: int = 0) -> PoseNetwork:
    """On MobileNet V1 of width 0.75, as PoseNet has it: no normalisation, the last pairs as narrow as those before."""
    name = "pose_ros_mobilenet_v1_075" + (f"_{2 + corrections}" if corrections else "")
    pairs = [(min(channels, 384), stride, 1) for channels, stride, _ in rows(0.75, output_stride=16)]
    backbone = MobileNetV1(pairs, stem=24, norm=False)
    return MultiHeadNetwork(name, backbone, skeleton, corrections=corrections)


def mobilenet_v2(skeleton: Skeleton = OPENPOSE_18, width: float = 1.0) -> PoseNetwork:
    """On MobileNet V2 to stride 16, its normalisation folded."""
    backbone = MobileNetV2(width, norm=False, coarsest=16)
    return MultiHeadNetwork("pose_ros_mobilenet_v2", backbone, skeleton)


NETWORKS = {
    "pose_ros_mobilenet_v1_075": mobilenet_v1,
    "pose_ros_mobilenet_v1_075_4": partial(mobilenet_v1, corrections=2),
    "pose_ros_mobilenet_v2": partial(mobilenet_v2, width=1.0),
}
