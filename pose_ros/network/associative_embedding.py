"""Associative Embedding: four stacked hourglasses that predict heatmaps and tags.

Half of the channels of an hourglass have no target: the publisher's 68 channels are 17 heatmaps, 17 tags and 34 others.
These 34 are not part of the output. The network keeps them because the next hourglass reads them.

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
ORIGIN = 2.0  # training rounds keypoints down to whole cells: those drawn at cell c lie within 4 c … 4 c + 4


class AssociativeEmbedding(PoseNetwork):
    """Stacked hourglasses of plain convolutions, wider at coarser resolutions, without normalisation.

    Args:
        skeleton: Keypoints to predict.
        stacks: Number of hourglasses.
        channels: Channels at stride 4.
        growth: Additional channels at each coarser resolution.
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
        """Compute the heatmaps and tags of each hourglass."""
        return [self._split_channels(prediction) for prediction in self.stack(images)]

    def _split_channels(self, prediction: Tensor) -> FieldTensors:
        return {"heatmaps": prediction[:, : self.keypoints], "tags": prediction[:, self.keypoints : 2 * self.keypoints]}


def conv(cin: int, cout: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Make a convolution with same padding, followed by ReLU."""
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
    """Build the publisher's network: 4 hourglasses of 256 … 768 channels."""
    return AssociativeEmbedding(skeleton)


NETWORKS = {"associative_embedding_4hg": associative_embedding_4hg}
