"""MSPN: pyramid networks in a row; each stage is told, at every resolution, what the stage before it knew.

References:
    Li et al., Rethinking on Multi-Stage Networks for Human Pose Estimation, arXiv:1901.00148, section 3: single-stage
    module (3.1), cross-stage feature aggregation (3.2, fig. 3), heatmaps of every level (3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from pose_ros.network.cpn import CHANNELS, ORIGIN, GlobalNet, normed
from pose_ros.network.model import FieldTensors, PoseNetwork, crop_spec, with_heads
from pose_ros.network.resnet import ResNet
from pose_ros.skeleton import COCO_17, Skeleton

DEPTH, STEM = 50, 64


class MSPN(PoseNetwork):
    """Stages, each a ResNet-50 without its stem and a pyramid.

    Args:
        skeleton: The keypoints.
        stages: How many.
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
        """Four heatmaps of each stage, coarse to fine, all at stride 4."""
        features, known = self.stem(images), None
        said = []
        for index, stage in enumerate(self.stages):
            maps, pyramid, heatmaps = stage(features, known)
            said += [{"heatmaps": level} for level in heatmaps]
            if index < len(self.bridges):
                features, known = self.bridges[index](maps, pyramid)
        return said


class MspnStage(nn.Module):
    """Down as a ResNet, up as a pyramid.

    Args:
        cout: Of the heatmaps.
    """

    def __init__(self, cout: int) -> None:
        super().__init__()
        resnet = ResNet(DEPTH)
        self.down = nn.ModuleList([resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4])
        self.up = GlobalNet(resnet.channels, cout)

    def forward(
        self, features: Tensor, known: Sequence[Tensor] | None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """The maps of the way down, the pyramid, both fine to coarse, and the heatmaps, coarse to fine.

        Args:
            features: (B, 64, H, W).
            known: What the stage before adds to each map of the way down; None in the first.
        """
        maps = []
        for level, layer in enumerate(self.down):
            features = layer(features)
            if known is not None:
                features = features + known[level]
            maps.append(features)
        return maps, *self.up(maps)


class Bridge(nn.Module):
    """What one stage hands to the next: its finest features, and both of its ways at each resolution.

    Args:
        channels: Of the maps of the way down.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.features = _conv(CHANNELS, STEM)
        self.down = nn.ModuleList(_conv(cin, cin) for cin in channels)
        self.up = nn.ModuleList(_conv(CHANNELS, cin) for cin in channels)

    def forward(self, maps: Sequence[Tensor], pyramid: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The next stage's features, and what it adds to each of its maps."""
        levels = zip(self.down, self.up, maps, pyramid, strict=True)
        return self.features(pyramid[0]), [down(fallen) + up(risen) for down, up, fallen, risen in levels]


def _conv(cin: int, cout: int) -> nn.Sequential:
    return nn.Sequential(*normed(cin, cout), nn.ReLU(inplace=True))


def mspn(skeleton: Skeleton = COCO_17, stages: int = 2) -> PoseNetwork:
    """MSPN of so many stages."""
    return MSPN(skeleton, stages)


NETWORKS = {f"mspn_{stages}": partial(mspn, stages=stages) for stages in (2, 3, 4)}
