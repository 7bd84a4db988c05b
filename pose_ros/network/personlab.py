"""PersonLab: heatmaps, offsets of three ranges, and a segmentation of people.

The networks of the paper are ResNets at stride 16. The small one is for a CPU: a MobileNet V1 of a quarter of the
width, with a feature pyramid to stride 8.

References:
    Papandreou et al., PersonLab: Person Pose Estimation and Instance Segmentation with a Bottom-Up, Part-Based,
    Geometric Embedding Model, arXiv:1803.08225, sections 3 and 4 (a ResNet with dilation, and a 1 × 1 for each head).
    Howard et al., MobileNets, arXiv:1704.04861.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import nn

from pose_ros.fields import ModelSpec
from pose_ros.network.mobilenet_v1 import MobileNetV1, layer_rows
from pose_ros.network.model import IMAGENET_INPUT, CoarsestMap, HeadedNetwork
from pose_ros.network.posenet import tree
from pose_ros.network.pyramid import TopDownPyramid
from pose_ros.network.resnet import ResNet
from pose_ros.skeleton import COCO_17, Skeleton

STRIDE, SMALL_STRIDE = 16, 8
INPUT = replace(IMAGENET_INPUT, multiple=STRIDE, short_side=800)
SMALL_INPUT = replace(IMAGENET_INPUT, multiple=32, short_side=192)
SMALL_WIDTH, SMALL_CHANNELS = 0.25, 96
LOGITS = ("heatmaps", "segmentation")


def personlab(skeleton: Skeleton = COCO_17, depth: int = 101) -> HeadedNetwork:
    """Build PersonLab on a ResNet.

    Args:
        skeleton: Keypoints to predict. The edges of the mid-range offsets are those of ``posenet.tree``.
        depth: Depth of the ResNet.
    """
    backbone = ResNet(depth, output_stride=STRIDE)
    spec = ModelSpec(
        f"personlab_resnet{depth}", skeleton, STRIDE, limbs=tree(skeleton), input=INPUT, grouping="personlab"
    )
    return HeadedNetwork(spec, backbone, CoarsestMap(), make_heads(backbone.channels[-1], skeleton), LOGITS)


def personlab_small(skeleton: Skeleton = COCO_17) -> HeadedNetwork:
    """Build the small PersonLab on MobileNet V1, with the edges of ``posenet.tree``."""
    backbone = MobileNetV1(layer_rows(SMALL_WIDTH), stem=int(32 * SMALL_WIDTH))
    spec = ModelSpec(
        "personlab_mobilenet_v1_025",
        skeleton,
        SMALL_STRIDE,
        limbs=tree(skeleton),
        input=SMALL_INPUT,
        grouping="personlab",
        licence="Apache-2.0",
    )
    neck = TopDownPyramid(backbone.channels, SMALL_CHANNELS)
    return HeadedNetwork(spec, backbone, neck, make_heads(SMALL_CHANNELS, skeleton), LOGITS)


def make_heads(cin: int, skeleton: Skeleton) -> dict[str, nn.Module]:
    """Make a 1 × 1 convolution for each field. Offsets are in px."""
    keypoints = len(skeleton)
    sizes = {
        "heatmaps": keypoints,
        "short_offsets": 2 * keypoints,
        "mid_offsets": 4 * len(tree(skeleton)),
        "long_offsets": 2 * keypoints,
        "segmentation": 1,
    }
    return {name: nn.Conv2d(cin, size, 1) for name, size in sizes.items()}


NETWORKS = {
    **{f"personlab_resnet{depth}": partial(personlab, depth=depth) for depth in (50, 101, 152)},
    "personlab_mobilenet_v1_025": personlab_small,
}
