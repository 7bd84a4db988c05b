"""Deformable convolution: each point of the kernel reads the features at its own displaced position.

    y(p) = sum_k w_k x(p + p_k + offset_k(p)) mask_k(p)

x is sampled bilinearly and is 0 outside the map. Sampling is one ``grid_sample`` (GridSample of ONNX opset 16), so the
layer needs no compiled extension and exports like any other network.

References:
    Zhu et al., Deformable ConvNets v2: More Deformable, Better Results, arXiv:1811.11168, eq. 1.
    Geng et al., Bottom-Up Human Pose Estimation Via Disentangled Keypoint Regression (DEKR), arXiv:2104.02300, sec. 3.1
    (offsets that are an affine map of the kernel).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def deformable_conv2d(
    features: Tensor,
    offsets: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    stride: int = 1,
    padding: int = 1,
    dilation: int = 1,
) -> Tensor:
    """Convolve with displaced kernel points.

    Args:
        features: (B, C, H, W).
        offsets: (B, 2 P, H', W') cells, for the P points of the kernel, row by row. Channel 2 k is the displacement of
            point k in y, channel 2 k + 1 in x.
        weight: (O, C, rows, columns), rows x columns = P.
        bias: (O,).
        mask: (B, P, H', W') weight of each point. None = 1.
        stride: Cells from one output to the next.
        padding: Cells by which the kernel starts before the first cell.
        dilation: Cells from one point of the kernel to the next.

    Returns:
        (B, O, H', W').
    """
    rows, columns = weight.shape[2:]
    points = rows * columns
    height, width = offsets.shape[2:]
    kernel_yx = kernel_points(int(rows), int(columns), offsets).reshape(2, points, 1, 1) * dilation - padding
    y = offsets[:, 0::2] + kernel_yx[0] + torch.arange(height, device=offsets.device)[:, None] * stride
    x = offsets[:, 1::2] + kernel_yx[1] + torch.arange(width, device=offsets.device) * stride
    sampled = sample(features, x.flatten(1, 2), y.flatten(1, 2))  # (B, C, P H', W')
    sampled = sampled.reshape(features.shape[0], weight.shape[1], points, height, width)
    if mask is not None:
        sampled = sampled * mask[:, None]
    return F.conv2d(sampled.flatten(1, 2), weight.reshape(weight.shape[0], -1, 1, 1), bias)


def kernel_points(rows: int, columns: int, like: Tensor) -> Tensor:
    """Compute (2, P) y and x of a kernel's points, relative to the first, row by row. The type is that of ``like``."""
    y = torch.arange(rows, dtype=like.dtype, device=like.device).repeat_interleave(columns)
    return torch.stack([y, torch.arange(columns, dtype=like.dtype, device=like.device).repeat(rows)])


def sample(features: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample features (B, C, H, W) at cells x, y (B, H', W'), bilinear, 0 outside. Returns (B, C, H', W')."""
    height, width = features.shape[2:]
    # Coordinates relative to the cells' outer edges (align_corners=False) also work for maps of one row or column.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    return F.grid_sample(features, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def affine_offsets(matrices: Tensor, translations: Tensor) -> Tensor:
    """Compute the offsets of a 3 x 3 kernel with one affine map per cell: A G + t - G (DEKR, sec. 3.1).

    Args:
        matrices: (B, 4, H, W) A of each cell, row by row. It acts on (y, x).
        translations: (B, 2, H, W) t of each cell: y, x.

    Returns:
        (B, 18, H, W), in the order of ``deformable_conv2d``.
    """
    kernel_yx = kernel_points(3, 3, matrices) - 1  # G, around its middle
    height, width = matrices.shape[2:]
    change = matrices - torch.eye(2, dtype=matrices.dtype, device=matrices.device).reshape(4, 1, 1)
    moved = torch.einsum("bijhw,jk->bkihw", change.reshape(-1, 2, 2, height, width), kernel_yx)
    return (moved + translations[:, None]).flatten(1, 2)


class DeformableConv2d(nn.Module):
    """Deformable convolution that computes its offsets and mask from the features by a convolution.

    Args:
        in_channels: Input channels C.
        out_channels: Output channels O.
        kernel: Rows and columns of the kernel.
        stride: Cells from one output to the next.
        dilation: Cells from one point of the kernel to the next.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        plain = nn.Conv2d(in_channels, out_channels, kernel)
        self.weight, self.bias = plain.weight, plain.bias
        self.points = kernel**2
        self.stride, self.padding, self.dilation = stride, dilation * (kernel // 2), dilation
        self.conv_offset_mask = nn.Conv2d(in_channels, 3 * self.points, kernel, stride, self.padding, dilation)
        nn.init.zeros_(self.conv_offset_mask.weight)  # before training, it is half of a plain convolution
        nn.init.zeros_(self.conv_offset_mask.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, O, H', W')."""
        offsets, mask = self.conv_offset_mask(features).split([2 * self.points, self.points], dim=1)
        return deformable_conv2d(
            features, offsets, self.weight, self.bias, mask.sigmoid(), self.stride, self.padding, self.dilation
        )
