"""PoseNet: the fields of PersonLab, by 1 × 1 heads, from a MobileNet V1 without normalisation.

References:
    Papandreou et al., PersonLab, arXiv:1803.08225, section 3.1 (heatmaps, short-range and mid-range offsets).
    Howard et al., MobileNets, arXiv:1704.04861.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.mobilenet_v1 import LayerRow, MobileNetV1, layer_rows
from pose_ros.network.model import CoarsestMap, HeadedNetwork
from pose_ros.skeleton import COCO_17, Limb, Skeleton

STRIDE = 16
INPUT = InputSpec("image", "NCHW", "float32", "rgb", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5), STRIDE, 480)

_TREE = (
    "nose left_eye, left_eye left_ear, nose right_eye, right_eye right_ear, "
    "nose left_shoulder, left_shoulder left_elbow, left_elbow left_wrist, "
    "left_shoulder left_hip, left_hip left_knee, left_knee left_ankle, "
    "nose right_shoulder, right_shoulder right_elbow, right_elbow right_wrist, "
    "right_shoulder right_hip, right_hip right_knee, right_knee right_ankle"
)


def tree(skeleton: Skeleton) -> tuple[Limb, ...]:
    """Return the edges to follow: PoseNet's 16 edges, in order, for COCO's keypoints, else the skeleton's limbs."""
    if skeleton != COCO_17:
        return skeleton.limbs
    edges = [edge.split() for edge in _TREE.split(", ")]
    return tuple((skeleton.index(first), skeleton.index(second)) for first, second in edges)


def posenet(skeleton: Skeleton = COCO_17, width: float = 1.0, input_spec: InputSpec = INPUT) -> HeadedNetwork:
    """Build PoseNet on MobileNet V1, at stride 16.

    Args:
        skeleton: Keypoints to predict. The edges are those of ``tree``.
        width: Factor on the channels of MobileNet.
        input_spec: Input of the network, with the normalisation of pixels.
    """
    backbone = MobileNetV1(pairs(width), stem=int(32 * width), norm=False, taps=[-1])
    sizes = {"heatmaps": len(skeleton), "short_offsets": 2 * len(skeleton), "mid_offsets": 4 * len(tree(skeleton))}
    heads = {name: nn.Conv2d(backbone.channels[-1], size, 1) for name, size in sizes.items()}
    spec = ModelSpec(
        name_of(width),
        skeleton,
        STRIDE,
        limbs=tree(skeleton),
        input=input_spec,
        grouping="personlab",
        licence="Apache-2.0",
    )
    return HeadedNetwork(spec, backbone, CoarsestMap(), heads, logits=("heatmaps",))


def pairs(width: float) -> tuple[LayerRow, ...]:
    """Return MobileNet's pairs. Below width 1, the publisher neither widens nor dilates the last two."""
    table = layer_rows(width, STRIDE)
    if width == 1:
        return table
    return tuple((min(channels, int(512 * width)), stride, 1) for channels, stride, _ in table)


def name_of(width: float) -> str:
    """Return the network's name in the zoo."""
    return f"posenet_mobilenet_v1_{round(100 * width):03d}"


NETWORKS = {name_of(width): partial(posenet, width=width) for width in (0.5, 0.75, 1.0)}
