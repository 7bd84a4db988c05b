"""PersonLab: heatmaps, offsets of three ranges, and a segmentation of people, from a ResNet at stride 16.

References:
    Papandreou et al., PersonLab: Person Pose Estimation and Instance Segmentation with a Bottom-Up, Part-Based,
    Geometric Embedding Model, arXiv:1803.08225, sections 3 and 4 (a ResNet with dilation, and a 1 × 1 for each head).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import nn

from pose_ros.fields import ModelSpec
from pose_ros.network.model import IMAGENET_INPUT, CoarsestMap, HeadedNetwork
from pose_ros.network.posenet import tree
from pose_ros.network.resnet import ResNet
from pose_ros.skeleton import COCO_17, Skeleton

STRIDE = 16
INPUT = replace(IMAGENET_INPUT, multiple=STRIDE, short_side=800)


def personlab(skeleton: Skeleton = COCO_17, depth: int = 101) -> HeadedNetwork:
    """Build PersonLab on a ResNet.

    Args:
        skeleton: Keypoints to predict. The edges of the mid-range offsets are those of ``posenet.tree``.
        depth: Depth of the ResNet.
    """
    backbone = ResNet(depth, output_stride=STRIDE)
    keypoints, limbs = len(skeleton), tree(skeleton)
    sizes = {
        "heatmaps": keypoints,
        "short_offsets": 2 * keypoints,
        "mid_offsets": 4 * len(limbs),
        "long_offsets": 2 * keypoints,
        "segmentation": 1,
    }
    heads = {name: nn.Conv2d(backbone.channels[-1], size, 1) for name, size in sizes.items()}
    spec = ModelSpec(f"personlab_resnet{depth}", skeleton, STRIDE, limbs=limbs, input=INPUT, grouping="personlab")
    return HeadedNetwork(spec, backbone, CoarsestMap(), heads, logits=("heatmaps", "segmentation"))


NETWORKS = {f"personlab_resnet{depth}": partial(personlab, depth=depth) for depth in (50, 101, 152)}
