"""Cascade Feature Aggregation: hourglasses with ResNets as encoders, which pass features of three levels to the next.

There is no published code, so the layers follow descriptions of the paper and may differ. The connections have the
channels of the ResNet's stem, and the decoders those of Simple Baselines.

References:
    Su et al., Cascade Feature Aggregation for Human Pose Estimation, arXiv:1902.07837: hourglass on a ResNet,
    aggregation of features, fusion of predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from pose_ros.network.cpn import CHANNELS, ORIGIN, conv_norm
from pose_ros.network.model import FieldTensors, PoseNetwork, crop_spec, with_heads
from pose_ros.network.resnet import ResNet
from pose_ros.skeleton import MPII_16, Skeleton

STAGES, FUSED, STEM = 3, 2, 64
SIZE_WH = (256, 256)


class CascadeFeatureAggregation(PoseNetwork):
    """Stages in sequence. The input of a stage is aggregated from that of the previous stage and its features.

        x_(s+1) = x_s + M_s m_s + H_s h_s + P_s p_s

    with the low-level features x_s, the mid-level features m_s of the encoder, the high-level features h_s of the
    decoder and the prediction p_s, all of stride 4.

    Args:
        skeleton: Keypoints to predict.
        depth: Depth of the ResNets.
        stages: Number of stages.
    """

    def __init__(self, skeleton: Skeleton, depth: int, stages: int) -> None:
        super().__init__()
        spec = crop_spec(f"cfa_resnet{depth}", skeleton, SIZE_WH, ORIGIN, licence="no published weights")
        self.spec = with_heads(spec, ("heatmaps",))
        self.backbone = ResNet(depth)  # the first stage, which starts from ImageNet in the paper
        self.encoders = nn.ModuleList(nn.ModuleList(_layers(ResNet(depth))) for _ in range(stages - 1))
        channels, cout = self.backbone.channels, len(skeleton)
        self.decoders = nn.ModuleList(HighwayDecoder(channels) for _ in range(stages))
        self.predictions = nn.ModuleList(nn.Conv2d(CHANNELS, cout, 1) for _ in range(stages))
        self.merges = nn.ModuleList(Aggregation((channels[0], CHANNELS, cout)) for _ in range(stages - 1))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute the heatmaps of each stage, (B, K, H / 4, W / 4)."""
        resnet = self.backbone
        low = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(images))))
        outputs = []
        for stage, layers in enumerate((_layers(resnet), *self.encoders)):
            maps = _encode(layers, low)
            high = self.decoders[stage](maps)
            heatmaps = self.predictions[stage](high)
            outputs.append({"heatmaps": heatmaps})
            if stage < len(self.merges):
                low = self.merges[stage](low, (maps[0], high, heatmaps))
        return outputs

    def fields(self, images: Tensor) -> FieldTensors:
        """Compute the mean heatmaps of the last two stages (fusion of predictions)."""
        last = [stage["heatmaps"] for stage in self(images)[-FUSED:]]
        return {"heatmaps": torch.stack(last).mean(dim=0)}


class HighwayDecoder(nn.Module):
    """Decoder of 4 × 4 transposed convolutions. Each adds the encoder's map of its resolution.

    Args:
        channels: Channels of the encoder's maps, fine to coarse.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        sources = (channels[-1], *(CHANNELS for _ in channels[2:]))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(cin, CHANNELS, 4, 2, 1, bias=False), nn.BatchNorm2d(CHANNELS))
            for cin in sources
        )
        self.highways = nn.ModuleList(nn.Sequential(*conv_norm(cin, CHANNELS)) for cin in channels[-2::-1])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map the encoder's maps, fine to coarse, to (B, 256, H, W) on the finest grid."""
        features = maps[-1]
        for up, highway, finer in zip(self.up, self.highways, maps[-2::-1], strict=True):
            features = (up(features) + highway(finer)).relu()
        return features


class Aggregation(nn.Module):
    """Sum of low-level features and others, each after a 1 × 1 convolution.

    Args:
        channels: Channels of the others.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(cin, STEM, 1) for cin in channels)

    def forward(self, low: Tensor, others: Sequence[Tensor]) -> Tensor:
        """Add the others (B, C, H, W) to the low-level features (B, 64, H, W)."""
        for conv, features in zip(self.convs, others, strict=True):
            low = low + conv(features)
        return low


def _layers(resnet: ResNet) -> list[nn.Module]:
    return [resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4]


def _encode(layers: Sequence[nn.Module], features: Tensor) -> list[Tensor]:
    maps = []
    for layer in layers:
        features = layer(features)
        maps.append(features)
    return maps


def cfa(skeleton: Skeleton = MPII_16, depth: int = 101, stages: int = STAGES) -> PoseNetwork:
    """Build the network on ResNets of a depth."""
    return CascadeFeatureAggregation(skeleton, depth, stages)


NETWORKS = {f"cfa_resnet{depth}": partial(cfa, depth=depth) for depth in (50, 101)}
