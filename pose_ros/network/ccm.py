"""Cascaded context mixers: blocks on a backbone that mix spatial and channel context and refine the heatmaps.

There is no published code, so the layers follow descriptions of the papers and may differ. The number of mixers and
their channels are ours.

References:
    Zhang et al., Towards High Performance Human Keypoint Detection, arXiv:2002.00537: cascaded context mixer.
    Zhang et al., Human Keypoint Detection by Progressive Context Refinement, arXiv:1910.12223: context-aware module.
    Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507, section 3 (channel context).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from pose_ros.network.cpn import ORIGIN, conv_norm
from pose_ros.network.hrnet import HRNet
from pose_ros.network.model import FieldTensors, PoseNetwork, crop_spec, with_heads
from pose_ros.network.resnet import ResNet
from pose_ros.network.simple_baseline import Deconvolutions
from pose_ros.skeleton import COCO_17, Skeleton

MIXERS, CHANNELS, SQUEEZE = 3, 256, 4
DILATIONS = (1, 2, 3, 4)


class CascadedContextMixer(PoseNetwork):
    """Backbone and context mixers. The heatmaps of mixer i are those of mixer i - 1 and a correction.

    Args:
        name: Name of the network.
        skeleton: Keypoints to predict.
        backbone: Module from images to a tuple of feature maps.
        neck: Module from these maps to (B, 256, H / 4, W / 4).
        mixers: Number of context mixers.
    """

    def __init__(
        self, name: str, skeleton: Skeleton, backbone: nn.Module, neck: nn.Module, mixers: int = MIXERS
    ) -> None:
        super().__init__()
        spec = crop_spec(name, skeleton, origin=ORIGIN, licence="no published weights")
        self.spec = with_heads(spec, ("heatmaps",))
        self.backbone = backbone
        self.neck = neck
        self.mixers = nn.ModuleList(ContextMixer() for _ in range(mixers))
        self.predictions = nn.ModuleList(nn.Conv2d(CHANNELS, len(skeleton), 1) for _ in range(mixers + 1))
        for predict in self.predictions:  # heatmaps start near 0, since corrections add up
            nn.init.normal_(predict.weight, std=0.001)
            nn.init.zeros_(predict.bias)

    def forward(self, images: Tensor) -> list[FieldTensors]:
        """Compute the heatmaps of the backbone alone, which are auxiliary, and then of each mixer. All at stride 4."""
        features = self.neck(self.backbone(images))
        heatmaps = [self.predictions[0](features)]
        for mixer, predict in zip(self.mixers, self.predictions[1:], strict=True):
            features = mixer(features)
            heatmaps.append(heatmaps[-1] + predict(features))
        return [{"heatmaps": stage} for stage in heatmaps]


class ContextMixer(nn.Module):
    """Residual block of spatial context, weighted by channel context.

        y = ReLU(x + s(x) d(x))

    with the dilated convolutions d, joined by a 1 × 1 convolution, and the weight s of each channel, which depends on
    the means of all channels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dilated = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(CHANNELS, CHANNELS // len(DILATIONS), 3, padding=rate, dilation=rate, bias=False),
                nn.BatchNorm2d(CHANNELS // len(DILATIONS)),
                nn.ReLU(inplace=True),
            )
            for rate in DILATIONS
        )
        self.join = nn.Sequential(*conv_norm(CHANNELS, CHANNELS))
        self.channels = nn.Sequential(
            *(nn.Conv2d(CHANNELS, CHANNELS // SQUEEZE, 1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(CHANNELS // SQUEEZE, CHANNELS, 1), nn.Sigmoid()),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, 256, H, W) to the same shape."""
        spatial = self.join(torch.cat([conv(features) for conv in self.dilated], dim=1))
        weights = self.channels(features.mean(dim=(2, 3), keepdim=True))
        return (features + weights * spatial).relu()


class _FinestMap(nn.Sequential):
    """Convolution of the finest map of a backbone to the channels of the mixers."""

    def __init__(self, cin: int) -> None:
        super().__init__(*conv_norm(cin, CHANNELS), nn.ReLU(inplace=True))

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Map feature maps, the first of stride 4, to (B, 256, H / 4, W / 4)."""
        return super().forward(maps[0])


def ccm_hrnet(skeleton: Skeleton = COCO_17, width: int = 48) -> PoseNetwork:
    """Build the network on an HRNet."""
    return CascadedContextMixer(f"ccm_hrnet_w{width}", skeleton, HRNet(width), _FinestMap(width))


def ccm_resnet(skeleton: Skeleton = COCO_17, depth: int = 50) -> PoseNetwork:
    """Build the network on a ResNet and the transposed convolutions of Simple Baselines."""
    backbone = ResNet(depth)
    return CascadedContextMixer(f"ccm_resnet{depth}", skeleton, backbone, Deconvolutions(backbone.channels[-1]))


NETWORKS = {
    "ccm_resnet50": ccm_resnet,
    **{f"ccm_hrnet_w{width}": partial(ccm_hrnet, width=width) for width in (32, 48)},
}
