"""MSPN: pyramid networks in sequence. Each stage reads the features of the previous stage at every resolution.

References:
    Li et al., Rethinking on Multi-Stage Networks for Human Pose Estimation, arXiv:1901.00148, section 3: single-stage
    module (3.1), cross-stage feature aggregation (3.2, fig. 3), heatmaps of every level (3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from pose_ros.network.cpn import CHANNELS, ORIGIN, GlobalNet, conv_norm
from pose_ros.network.model import FieldTensors, PoseNetwork, crop_spec, with_heads
from pose_ros.network.resnet import ResNet
from pose_ros.skeleton import COCO_17, Skeleton

DEPTH, STEM = 50, 64


class MSPN(PoseNetwork):
    """Stages in sequence. Each is a ResNet-50 without its stem, and a pyramid.

    Args:
        skeleton: Keypoints to predict.
        stages: Number of stages.
    """

    def __init__(self, skeleton: Skeleton, stages: int) -> None:
        super().__init__()
        spec = crop_spec(f"mspn_{stages}", skeleton, origin=ORIGIN, licence="no published licence")
        self.spec = with_heads(spec, ("heatmaps",))
        resnet = ResNet(DEPTH)
        self.stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
        self.stages = nn.ModuleList(MspnStage(len(skeleton)) for _ in range(stages))
        self.bridges = nn.ModuleList(Bridge(resnet.channels) for _ in range(stages - 1))

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute four heatmaps of each stage, coarse to fine, all at stride 4."""
        features, previous = self.stem(images), None
        outputs = []
        for index, stage in enumerate(self.stages):
            maps, pyramid, heatmaps = stage(features, previous)
            outputs += [{"heatmaps": level} for level in heatmaps]
            if index < len(self.bridges):
                features, previous = self.bridges[index](maps, pyramid)
        return outputs


class MspnStage(nn.Module):
    """One stage: down through a ResNet, up through a pyramid.

    Args:
        cout: Channels of the heatmaps.
    """

    def __init__(self, cout: int) -> None:
        super().__init__()
        resnet = ResNet(DEPTH)
        self.down = nn.ModuleList([resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4])
        self.up = GlobalNet(resnet.channels, cout)

    def forward(
        self, features: Tensor, previous: Sequence[Tensor] | None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Compute the downward maps and the pyramid, both fine to coarse, and the heatmaps, coarse to fine.

        Args:
            features: (B, 64, H, W).
            previous: Maps of the previous stage to add to each downward map. None in the first stage.
        """
        maps = []
        for level, layer in enumerate(self.down):
            features = layer(features)
            if previous is not None:
                features = features + previous[level]
            maps.append(features)
        return maps, *self.up(maps)


class Bridge(nn.Module):
    """Connection from one stage to the next: the finest features, and the maps of each resolution.

    Args:
        channels: Channels of the downward maps.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.features = _conv(CHANNELS, STEM)
        self.down = nn.ModuleList(_conv(cin, cin) for cin in channels)
        self.up = nn.ModuleList(_conv(CHANNELS, cin) for cin in channels)

    def forward(self, maps: Sequence[Tensor], pyramid: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Compute the features of the next stage, and the maps that it adds to its downward maps."""
        levels = zip(self.down, self.up, maps, pyramid, strict=True)
        return self.features(pyramid[0]), [down(down_map) + up(up_map) for down, up, down_map, up_map in levels]


def _conv(cin: int, cout: int) -> nn.Sequential:
    return nn.Sequential(*conv_norm(cin, cout), nn.ReLU(inplace=True))


def mspn(skeleton: Skeleton = COCO_17, stages: int = 2) -> PoseNetwork:
    """Build MSPN with a number of stages."""
    return MSPN(skeleton, stages)


NETWORKS = {f"mspn_{stages}": partial(mspn, stages=stages) for stages in (2, 3, 4)}
