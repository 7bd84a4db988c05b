"""Associative Embedding: four stacked hourglasses give heatmaps and tags.

Half of what an hourglass says has no target: the publisher's 68 channels are 17 heatmaps, 17 tags and 34 more. They are
no output, but the next hourglass reads them, so the network keeps them.

References:
    Newell et al., Associative Embedding: End-to-End Learning for Joint Detection and Grouping, arXiv:1611.05424.
"""

from __future__ import annotations

from torch import Tensor, nn

from pose_ros.fields import InputSpec, ModelSpec
from pose_ros.network.hourglass import Hourglass, HourglassStack
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.skeleton import COCO_17, Skeleton

RESOLUTIONS = 5
INPUT = InputSpec("image", "NCHW", "float32", "rgb", std=(255.0, 255.0, 255.0), multiple=64, short_side=512)
ORIGIN = 2.0  # trained on keypoints cut down to whole cells: those drawn at cell c lie within 4 c … 4 c + 4


class AssociativeEmbedding(PoseNetwork):
    """Hourglasses of plain convolutions that widen as they go down, without normalisation.

    Args:
        skeleton: The keypoints.
        stacks: Hourglasses.
        channels: At stride 4.
        growth: Channels more at each coarser resolution.
    """

    def __init__(self, skeleton: Skeleton, stacks: int = 4, channels: int = 256, growth: int = 128) -> None:
        super().__init__()
        spec = ModelSpec(
            *(f"associative_embedding_{stacks}hg", skeleton, 4, ORIGIN),
            input=INPUT,
            grouping="tag",
            licence="BSD-3-Clause",
        )
        self.spec = with_heads(spec, ("heatmaps", "tags"))
        widths = [channels + growth * level for level in range(RESOLUTIONS)]
        towers = [
            nn.Sequential(Hourglass(widths, conv), conv(channels, channels), conv(channels, channels))
            for _ in range(stacks)
        ]
        self.keypoints = len(skeleton)
        self.stack = HourglassStack(_stem(channels), towers, channels, 4 * self.keypoints)

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Heatmaps and tags of each hourglass."""
        return [self._named(said) for said in self.stack(images)]

    def _named(self, said: Tensor) -> FieldTensors:
        return {"heatmaps": said[:, : self.keypoints], "tags": said[:, self.keypoints : 2 * self.keypoints]}


def conv(cin: int, cout: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution and ReLU, same padding."""
    return nn.Sequential(nn.Conv2d(cin, cout, size, stride, size // 2), nn.ReLU(inplace=True))


def _stem(channels: int) -> nn.Sequential:
    return nn.Sequential(
        conv(3, 64, size=7, stride=2),
        conv(64, 128),
        nn.MaxPool2d(2),
        conv(128, 128),
        conv(128, channels),
    )


def associative_embedding_4hg(skeleton: Skeleton = COCO_17) -> PoseNetwork:
    """The publisher's network: 4 hourglasses of 256 … 768 channels."""
    return AssociativeEmbedding(skeleton)


NETWORKS = {"associative_embedding_4hg": associative_embedding_4hg}
