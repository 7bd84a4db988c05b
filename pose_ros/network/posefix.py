"""PoseFix: Simple Baselines that also see a known pose, and repair it.

The input is a crop of one person and the heatmaps of the pose that another network has found. The output is a
distribution over the cells for each keypoint. Its loss is ``softmax`` in ``training.losses``.

References:
    Moon et al., PoseFix: Model-agnostic General Human Pose Refinement Network, arXiv:1812.03595, section 4.
    Xiao et al., Simple Baselines for Human Pose Estimation and Tracking, arXiv:1804.06208, section 2 (the network).
    Sun et al., Integral Human Pose Regression, arXiv:1711.08229, eq. 2 and 3 (the mean as the position).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.fields import ModelSpec
from pose_ros.network.model import FieldTensors, HeadedNetwork, crop_spec, with_heads
from pose_ros.network.resnet import ResNet
from pose_ros.network.simple_baseline import CHANNELS, Deconvolutions
from pose_ros.skeleton import COCO_17, Skeleton

REACH = 2
"""Half the side of the window around a cell whose probability is its score, cells."""
SIGMA = 7.0
"""Standard deviation of the Gaussians of the known pose, px."""


class PoseFix(HeadedNetwork):
    """Network that refines a known pose. ``forward`` returns logits, ``fields`` returns scores and offsets.

    The paper takes the mean position over the whole map. Here it is the mean over the window around the best cell,
    so that two possible places are not averaged.

    Args:
        spec: Model description, without heads.
        backbone: See ``HeadedNetwork``.
        neck: See ``HeadedNetwork``.
        heatmaps: Module from the output of the neck to the logits.
    """

    def __init__(self, spec: ModelSpec, backbone: nn.Module, neck: nn.Module, heatmaps: nn.Module) -> None:
        super().__init__(spec, backbone, neck, {"heatmaps": heatmaps})
        self.spec = with_heads(self.spec, ("heatmaps", "heatmap_offsets"))

    def fields(self, images: Tensor) -> FieldTensors:
        """Run the network for inference.

        Args:
            images: (B, 3 + K, H, W): normalised colours, then heatmaps of the known pose, 0 to 1.

        Returns:
            ``heatmaps``: probability of each keypoint in the window around each cell. ``heatmap_offsets``: mean
            position in that window, relative to its cell.
        """
        logits = self(images)[-1]["heatmaps"]
        probabilities = logits.flatten(2).softmax(dim=2).unflatten(2, logits.shape[2:])
        return window_means(probabilities, REACH)


class PoseConvolution(nn.Conv2d):
    """Convolution of colours and of the heatmaps that follow them.

    It is the sum of two convolutions. ``weight`` belongs to the colours, so weights of other networks fit it.

    Args:
        convolution: Convolution of the colours, which this one replaces.
        heatmaps: Number of heatmaps.
    """

    def __init__(self, convolution: nn.Conv2d, heatmaps: int) -> None:
        shape = convolution.in_channels, convolution.out_channels, convolution.kernel_size
        geometry = convolution.stride, convolution.padding, convolution.dilation
        super().__init__(*shape, *geometry, bias=convolution.bias is not None)
        self.pose_weight = nn.Parameter(torch.empty(shape[1], heatmaps, *convolution.kernel_size))
        nn.init.kaiming_uniform_(self.pose_weight, a=5**0.5)

    def forward(self, images: Tensor) -> Tensor:
        """Convolve colours and heatmaps, (B, 3 + K, H, W)."""
        weight = torch.cat([self.weight, self.pose_weight], dim=1)
        return functional.conv2d(images, weight, self.bias, self.stride, self.padding, self.dilation)


def window_means(probabilities: Tensor, reach: int) -> FieldTensors:
    """Sum a distribution in the window around each cell, and find the mean position there.

    Args:
        probabilities: (B, K, H, W).
        reach: Half the side of the window, cells.

    Returns:
        ``heatmaps`` (B, K, H, W), the sums. ``heatmap_offsets`` (B, 2 K, H, W), x and y from each cell to the mean.
    """
    count, size = probabilities.shape[1], 2 * reach + 1
    steps = torch.arange(-reach, reach + 1, dtype=probabilities.dtype, device=probabilities.device)
    x, y = steps.expand(size, size), steps[:, None].expand(size, size)
    kernels = torch.stack([torch.ones_like(x), x, y])[:, None].repeat(count, 1, 1, 1)
    moments = functional.conv2d(probabilities, kernels, padding=reach, groups=count).unflatten(1, (count, 3))
    sums = moments[:, :, :1].clamp(min=torch.finfo(probabilities.dtype).tiny)
    return {"heatmaps": moments[:, :, 0], "heatmap_offsets": (moments[:, :, 1:] / sums).flatten(1, 2)}


def posefix(skeleton: Skeleton = COCO_17, depth: int = 152, size_wh: tuple[int, int] = (192, 256)) -> PoseFix:
    """Build PoseFix as published.

    Args:
        skeleton: Keypoints to refine.
        depth: Depth of the ResNet.
        size_wh: Size of the crops, px.
    """
    backbone = ResNet(depth)
    backbone.conv1 = PoseConvolution(backbone.conv1, len(skeleton))
    spec = with_pose(crop_spec(f"posefix_resnet{depth}", skeleton, size_wh), SIGMA)
    heatmaps = nn.Conv2d(CHANNELS, len(skeleton), 1)
    return PoseFix(spec, backbone, Deconvolutions(backbone.channels[-1]), heatmaps)


def with_pose(spec: ModelSpec, sigma: float) -> ModelSpec:
    """Return a description whose input also has the heatmaps of a known pose, with Gaussians of ``sigma`` px."""
    return replace(spec, input=replace(spec.input, pose_channels=len(spec.skeleton), pose_sigma=sigma))


NETWORKS = {f"posefix_resnet{depth}": partial(posefix, depth=depth) for depth in (50, 101, 152)}
