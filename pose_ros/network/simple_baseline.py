"""Simple Baselines: a ResNet and three transposed convolutions predict the heatmaps of the one person in a crop.

References:
    Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, arXiv:1804.06208, section 2.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from pose_ros.network.model import HeadedNetwork, crop_spec
from pose_ros.network.resnet import ResNet
from pose_ros.skeleton import COCO_17, Skeleton

CHANNELS = 256


class Deconvolutions(nn.Sequential):
    """Three transposed convolutions on the coarsest feature map. Each doubles the resolution."""

    def __init__(self, cin: int) -> None:
        layers = ((cin, CHANNELS), (CHANNELS, CHANNELS), (CHANNELS, CHANNELS))
        super().__init__(*(module for layer in layers for module in _deconvolution(*layer)))

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Map feature maps, the last of stride 32, to (B, 256, H / 4, W / 4)."""
        return super().forward(maps[-1])


def _deconvolution(cin: int, cout: int) -> list[nn.Module]:
    deconvolution = nn.ConvTranspose2d(cin, cout, 4, stride=2, padding=1, bias=False)
    return [deconvolution, nn.BatchNorm2d(cout), nn.ReLU(inplace=True)]


def simple_baseline(
    skeleton: Skeleton = COCO_17, depth: int = 50, size_wh: tuple[int, int] = (192, 256)
) -> HeadedNetwork:
    """Build Simple Baselines.

    Args:
        skeleton: Keypoints to predict.
        depth: Depth of the ResNet.
        size_wh: Size of the crops, px.
    """
    backbone = ResNet(depth)
    heads = {"heatmaps": nn.Conv2d(CHANNELS, len(skeleton), 1)}
    name = f"simple_baseline_resnet{depth}"
    spec = crop_spec(name, skeleton, size_wh)  # origin 0: training rounds keypoints to the nearest cell
    return HeadedNetwork(spec, backbone, Deconvolutions(backbone.channels[-1]), heads)


NETWORKS = {f"simple_baseline_resnet{depth}": partial(simple_baseline, depth=depth) for depth in (50, 101, 152)}
