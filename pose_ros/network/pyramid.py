"""Feature pyramid: merges the feature maps of a backbone from coarse to fine, for heads that read one map.

References:
    Lin et al., Feature Pyramid Networks for Object Detection, arXiv:1612.03144, section 3 (top-down, lateral).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class TopDownPyramid(nn.Module):
    """Neck from several feature maps to one on the grid of the finest.

    Args:
        cins: Channels of the feature maps that are merged, fine to coarse. Each map is half as fine as the one before.
        channels: Channels of the result.
    """

    def __init__(self, cins: Sequence[int], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(cin, channels, 1) for cin in cins)
        self.smooth = nn.ModuleList(_separable(channels) for _ in cins[1:])

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map (B, C, H, W) maps, fine to coarse, to one (B, C, H, W). Finer maps than those merged are skipped."""
        merged_maps = features[-len(self.laterals) :]
        *finer, merged = [lateral(each) for lateral, each in zip(self.laterals, merged_maps, strict=True)]
        for fine, smooth in zip(reversed(finer), self.smooth, strict=True):
            merged = smooth(functional.interpolate(merged, scale_factor=2.0, mode="nearest") + fine)
        return merged


def _separable(channels: int) -> nn.Sequential:
    """Make a depthwise 5 × 5 and a pointwise convolution, each normalised."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
