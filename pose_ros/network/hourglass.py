"""Hourglasses: down to a coarse grid and up again, several times in a row, each time with an answer.

The layers between are free: Associative Embedding has plain convolutions, the single-person network residual ones.

References:
    Newell et al., Stacked Hourglass Networks for Human Pose Estimation, arXiv:1603.06937, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional

HourglassBlock = Callable[[int, int], nn.Module]
"""Makes a layer that keeps the grid, of so many channels in and out."""


class Hourglass(nn.Module):
    """One hourglass (fig. 3): each resolution has a way around the coarser ones.

    Args:
        channels: Of each resolution, fine to coarse; two or more.
        block: Makes each layer.
    """

    def __init__(self, channels: Sequence[int], block: HourglassBlock) -> None:
        super().__init__()
        here, below = channels[:2]
        self.around = block(here, here)
        self.down = block(here, below)
        self.inner = Hourglass(channels[1:], block) if len(channels) > 2 else block(below, below)
        self.up = block(below, here)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape; H and W are multiples of 2^(resolutions - 1)."""
        coarse = self.up(self.inner(self.down(functional.max_pool2d(features, 2))))
        return self.around(features) + functional.interpolate(coarse, scale_factor=2.0, mode="nearest")


class HourglassStack(nn.Module):
    """Hourglasses in a row, each supervised and each seeing what the one before said (section 3.3, fig. 4).

        x_(s+1) = x_s + W_s f_s + V_s p_s

    with the features f_s of hourglass s and its prediction p_s.

    Args:
        stem: Images to features x_1.
        towers: Features to features f_s, an hourglass and what follows it.
        channels: Of the features.
        cout: Of each prediction.
    """

    def __init__(self, stem: nn.Module, towers: Sequence[nn.Module], channels: int, cout: int) -> None:
        super().__init__()
        self.stem = stem
        self.towers = nn.ModuleList(towers)
        self.predictions = nn.ModuleList(nn.Conv2d(channels, cout, 1) for _ in towers)
        self.merge_features = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in towers[1:])
        self.merge_predictions = nn.ModuleList(nn.Conv2d(cout, channels, 1) for _ in towers[1:])

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to the prediction (B, cout, H / 4, W / 4) of each hourglass."""
        features = self.stem(images)
        said = []
        for stage, (tower, predict) in enumerate(zip(self.towers, self.predictions, strict=True)):
            inner = tower(features)
            said.append(predict(inner))
            if stage < len(self.merge_features):
                features = features + self.merge_features[stage](inner) + self.merge_predictions[stage](said[-1])
        return said
