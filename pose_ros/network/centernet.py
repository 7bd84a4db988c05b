"""CenterNet: each person is a centre point, with keypoints as offsets from it and as peaks of heatmaps.

The small network is for a CPU: a MobileNet V1 of a quarter of the width, with a feature pyramid to stride 4.

References:
    Zhou et al., Objects as Points, arXiv:1904.07850, section 3 and 4.2 (heads), section 5 and appendix A (networks).
    Howard et al., MobileNets, arXiv:1704.04861.
    Lin et al., Focal Loss for Dense Object Detection, arXiv:1708.02002, section 4.1 (first bias of the heatmaps).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.centernet_hourglass import HourglassBackbone
from pose_ros.network.dla import DLA34, AggregationNeck
from pose_ros.network.mobilenet_v1 import MobileNetV1, layer_rows
from pose_ros.network.model import FieldTensors, HeadedNetwork, PoseNetwork, with_heads, with_probabilities
from pose_ros.network.pyramid import TopDownPyramid
from pose_ros.network.resnet import ResNet
from pose_ros.network.simple_baseline import CHANNELS, Deconvolutions
from pose_ros.skeleton import COCO_17, Skeleton

STRIDE = 4
LOGITS = ("centres", "heatmaps")
SMALL_WIDTH, SMALL_CHANNELS, SMALL_SHORT_SIDE = 0.25, 24, 192
SMALL_TAPS = (2, 4, 10, 12)
"""Last pair of MobileNet V1 at the strides 4, 8, 16 and 32."""
PRIOR = 0.1
"""Probability that a cell is a peak, before training."""


class CenterNetHourglass(PoseNetwork):
    """CenterNet on stacked hourglasses, each with its own heads.

    Args:
        skeleton: Keypoints to predict.
        stacks: Number of hourglasses.
    """

    def __init__(self, skeleton: Skeleton, stacks: int = 2) -> None:
        super().__init__()
        self.backbone = HourglassBackbone(stacks)
        self.heads = nn.ModuleList(make_heads(channels, 256, skeleton) for channels in self.backbone.channels)
        self.spec = with_heads(spec_of("centernet_hourglass", skeleton, multiple=128), tuple(self.heads[-1]))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: one dictionary per hourglass."""
        stages = zip(self.backbone(images), self.heads, strict=True)
        return [{name: head(features) for name, head in heads.items()} for features, heads in stages]

    def fields(self, images: Tensor) -> FieldTensors:
        """Compute the fields of the last hourglass, for inference."""
        features = self.backbone(images)[-1]
        return with_probabilities({name: head(features) for name, head in self.heads[-1].items()}, LOGITS)


def centernet_hourglass(skeleton: Skeleton = COCO_17) -> PoseNetwork:
    """Build CenterNet on two large hourglasses."""
    return CenterNetHourglass(skeleton)


def centernet_dla34(skeleton: Skeleton = COCO_17) -> HeadedNetwork:
    """Build CenterNet on DLA-34 with deformable convolutions."""
    backbone = DLA34()
    neck = AggregationNeck(backbone.channels)
    spec = spec_of("centernet_dla34", skeleton)
    return HeadedNetwork(spec, backbone, neck, make_heads(backbone.channels[0], 256, skeleton), LOGITS)


def centernet_resnet(skeleton: Skeleton = COCO_17, depth: int = 18) -> HeadedNetwork:
    """Build CenterNet on a ResNet and three transposed convolutions."""
    backbone = ResNet(depth)
    neck = Deconvolutions(backbone.channels[-1])
    spec = spec_of(f"centernet_resnet{depth}", skeleton)
    return HeadedNetwork(spec, backbone, neck, make_heads(CHANNELS, 64, skeleton), LOGITS)


def centernet_small(skeleton: Skeleton = COCO_17) -> HeadedNetwork:
    """Build the small CenterNet on MobileNet V1."""
    rows = layer_rows(SMALL_WIDTH)
    backbone = MobileNetV1(rows, stem=int(32 * SMALL_WIDTH), taps=SMALL_TAPS)
    neck = TopDownPyramid(backbone.channels, SMALL_CHANNELS)
    spec = replace(spec_of("centernet_mobilenet_v1_025", skeleton), licence="Apache-2.0")
    spec = replace(spec, input=replace(spec.input, short_side=SMALL_SHORT_SIDE))
    heads = make_heads(SMALL_CHANNELS, hidden=32, skeleton=skeleton)
    return HeadedNetwork(spec, backbone, neck, heads, LOGITS)


def make_heads(cin: int, hidden: int, skeleton: Skeleton) -> nn.ModuleDict:
    """Make a head of one 3 × 3 and one 1 × 1 convolution for each field. Sizes and offsets are in cells."""
    keypoints = len(skeleton)
    sizes = {
        "centres": 1,
        "sizes": 2,
        "keypoint_offsets": 2 * keypoints,
        "centre_offsets": 2,
        "heatmaps": keypoints,
        "heatmap_offsets": 2,
    }
    return nn.ModuleDict({name: _head(cin, hidden, size, name in LOGITS) for name, size in sizes.items()})


def spec_of(name: str, skeleton: Skeleton, multiple: int = 32) -> ModelSpec:
    """Make the description of a CenterNet. A cell's index times the stride is its pixel, as in the publisher's code."""
    mean, std = (0.408 * 255, 0.447 * 255, 0.470 * 255), (0.289 * 255, 0.274 * 255, 0.278 * 255)
    pixels = InputSpec("image", "NCHW", "float32", "bgr", mean, std, multiple, short_side=512)
    return ModelSpec(name, skeleton, STRIDE, input=pixels, grouping="centernet", licence="MIT")


def _head(cin: int, hidden: int, cout: int, has_prior: bool) -> nn.Sequential:
    last = nn.Conv2d(hidden, cout, 1)
    if has_prior:
        nn.init.constant_(last.bias, math.log(PRIOR / (1 - PRIOR)))
    return nn.Sequential(nn.Conv2d(cin, hidden, 3, padding=1), nn.ReLU(inplace=True), last)


NETWORKS = {
    "centernet_dla34": centernet_dla34,
    "centernet_hourglass": centernet_hourglass,
    "centernet_mobilenet_v1_025": centernet_small,
    "centernet_resnet18": partial(centernet_resnet, depth=18),
    "centernet_resnet50": partial(centernet_resnet, depth=50),
}
