"""Convolutional Pose Machines: one person, in six stages that each read the image and the previous stage.

The person is in the centre of the image. The later stages also read a map of that centre, which separates the person
from people nearby. Cell c lies at x = 8 c + 3.5, the middle of the 8 pixels that three poolings merge into it.

References:
    Wei et al., Convolutional Pose Machines, arXiv:1602.00134, figure 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pose_ros.fields import ModelSpec
from pose_ros.network.model import FieldTensors, PoseNetwork, with_heads
from pose_ros.network.openpose import INPUT
from pose_ros.skeleton import Skeleton

STRIDE = 8
CENTRE_SIGMA_PX = 21

MPII_14 = Skeleton(
    "mpii_14",
    (
        *("head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow"),
        *("left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    ),
    (
        *((1, 0), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7)),
        *((1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    ),
)
"""The keypoints that MPII and LSP share."""


class ConvolutionalPoseMachine(PoseNetwork):
    """Convolutional Pose Machine. The last channel of its heatmaps is the background.

    Args:
        skeleton: Keypoints to predict.
        stages: Number of stages, including the first.
    """

    def __init__(self, skeleton: Skeleton, stages: int = 6) -> None:
        super().__init__()
        spec = ModelSpec("cpm_mpii", skeleton, STRIDE, origin=3.5, input=INPUT, grouping="single")
        self.spec = with_heads(spec, ("heatmaps",))
        beliefs, features = len(skeleton) + 1, 32
        self.first = nn.Sequential(
            _features(features), *_convs(features, (9, 512), (1, 512)), nn.Conv2d(512, beliefs, 1)
        )
        self.features = _features(features)
        self.stages = nn.ModuleList(_stage(features + beliefs + 1, beliefs) for _ in range(stages - 1))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Run the network for training: one dictionary per stage."""
        beliefs = [self.first(images)]
        features = self.features(images)
        context = torch.cat([features, centre_map(features, CENTRE_SIGMA_PX / STRIDE)], dim=1)
        for stage in self.stages:
            beliefs.append(stage(torch.cat([context, beliefs[-1]], dim=1)))
        return [{"heatmaps": belief} for belief in beliefs]


def centre_map(features: Tensor, sigma: float) -> Tensor:
    """Make a Gaussian around the middle of a grid.

    Args:
        features: (B, C, H, W). The result has its size, type and device.
        sigma: Standard deviation, cells.

    Returns:
        (B, 1, H, W) in [0, 1].
    """
    height, width = features.shape[-2:]
    y = torch.arange(height, dtype=features.dtype, device=features.device) - (height - 1) / 2
    x = torch.arange(width, dtype=features.dtype, device=features.device) - (width - 1) / 2
    gaussian = torch.exp(-(x[None, :] ** 2 + y[:, None] ** 2) / (2 * sigma**2))
    return gaussian.expand(features.shape[0], 1, -1, -1)


def _features(cout: int) -> nn.Sequential:
    """Make the image layers. The first stage and the later stages use the same layers with separate weights."""
    layers, cin = [], 3
    for _ in range(3):
        layers += [*_convs(cin, (9, 128)), nn.MaxPool2d(2)]
        cin = 128
    return nn.Sequential(*layers, *_convs(cin, (5, cout)))


def _stage(cin: int, beliefs: int) -> nn.Sequential:
    return nn.Sequential(*_convs(cin, (11, 128), (11, 128), (11, 128), (1, 128)), nn.Conv2d(128, beliefs, 1))


def _convs(cin: int, *rows: tuple[int, int]) -> list[nn.Module]:
    """Make convolutions with ReLU. Each row is a kernel size and a number of channels."""
    layers: list[nn.Module] = []
    for size, cout in rows:
        layers += [nn.Conv2d(cin, cout, size, padding=size // 2), nn.ReLU(inplace=True)]
        cin = cout
    return layers


def cpm(skeleton: Skeleton = MPII_14) -> PoseNetwork:
    """Build the network of six stages."""
    return ConvolutionalPoseMachine(skeleton)


NETWORKS = {"cpm_mpii": cpm}
