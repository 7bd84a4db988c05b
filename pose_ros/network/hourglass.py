"""Stacked hourglasses: down to a coarse grid and up again, several times in sequence, with a prediction each time.

The caller chooses the layers. Associative Embedding uses plain convolutions, the single-person network residual blocks.

References:
    Newell et al., Stacked Hourglass Networks for Human Pose Estimation, arXiv:1603.06937, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional

HourglassBlock = Callable[[int, int], nn.Module]
"""Function from the numbers of input and output channels to a layer that keeps the grid."""


class Hourglass(nn.Module):
    """One hourglass (fig. 3), with a skip connection at each resolution.

    Args:
        channels: Channels of each resolution, fine to coarse. Two or more.
        block: Factory of each layer.
    """

    def __init__(self, channels: Sequence[int], block: HourglassBlock) -> None:
        super().__init__()
        fine, coarse = channels[:2]
        self.around = block(fine, fine)
        self.down = block(fine, coarse)
        self.inner = Hourglass(channels[1:], block) if len(channels) > 2 else block(coarse, coarse)
        self.up = block(coarse, fine)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape. H and W are multiples of 2^(resolutions - 1)."""
        coarse = self.up(self.inner(self.down(functional.max_pool2d(features, 2))))
        return self.around(features) + functional.interpolate(coarse, scale_factor=2.0, mode="nearest")


class HourglassStack(nn.Module):
    """Hourglasses in sequence. Each is supervised, and each reads the previous prediction (section 3.3, fig. 4).

        x_(s+1) = x_s + W_s f_s + V_s p_s

    with the features f_s of hourglass s and its prediction p_s.

    Args:
        stem: Module from images to features x_1.
        towers: Modules from features to features f_s: an hourglass and the layers after it.
        channels: Channels of the features.
        cout: Channels of each prediction.
    """

    def __init__(self, stem: nn.Module, towers: Sequence[nn.Module], channels: int, cout: int) -> None:
        super().__init__()
        self.stem = stem
        self.towers = nn.ModuleList(towers)
        self.predictions = nn.ModuleList(nn.Conv2d(channels, cout, 1) for _ in towers)
        self.merge_features = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in towers[1:])
        self.merge_predictions = nn.ModuleList(nn.Conv2d(cout, channels, 1) for _ in towers[1:])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to the prediction (B, cout, H / 4, W / 4) of each hourglass."""
        features = self.stem(images)
        outputs = []
        for stage, (tower, predict) in enumerate(zip(self.towers, self.predictions, strict=True)):
            inner = tower(features)
            outputs.append(predict(inner))
            if stage < len(self.merge_features):
                features = features + self.merge_features[stage](inner) + self.merge_predictions[stage](outputs[-1])
        return outputs
