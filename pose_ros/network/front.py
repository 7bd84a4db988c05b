"""The decode front: peaks and limb scores found inside the network's graph, so that no field need leave the device.

It does what `pose_ros.decoder.peaks`, `subpixel` (quadratic) and `limbs` do, but for three things: the peak of a
plateau of more than two cells lies beside its first cell and not in its middle; long limbs have fewer samples; there is
no quick test before the line integral. All is float32 and integers: half precision cannot tell one cell from the next.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050:
    eq. 10 and 11 (line integral).
    Cao et al., OpenPose, arXiv:1812.08008, section 3.2 (non-maximum suppression), section 5 (short limbs).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pose_ros.config import DecoderConfig
from pose_ros.skeleton import Limb

MAX_PEAKS = 32
MIN_SAMPLES, MAX_SAMPLES = 5, 10
RESCUE_CELLS = 1.0
"""Peaks closer than this have no direction to test: their limb gets the threshold as its value."""


class DecodeFront(nn.Module):
    """Heatmaps and part affinity fields to peaks and limb scores, with the thresholds of ``DecoderConfig()``.

    Args:
        keypoint_count: K.
        limbs: L pairs of keypoints.
        max_peaks: M, the peaks of each keypoint; the strongest are kept.
        max_samples: Samples of a long limb; a short one has one more than it has cells, and no fewer than 5.
    """

    def __init__(
        self, keypoint_count: int, limbs: Sequence[Limb], max_peaks: int = MAX_PEAKS, max_samples: int = MAX_SAMPLES
    ) -> None:
        super().__init__()
        self.keypoint_count, self.max_peaks, self.max_samples = keypoint_count, max_peaks, max_samples
        self.pairs_shape = (-1, len(limbs), max_samples, max_peaks, max_peaks)
        self.register_buffer("ends", torch.tensor(limbs).T.contiguous(), persistent=False)
        self.register_buffer("order", torch.arange(max_samples).float().reshape(-1, 1, 1), persistent=False)

    def forward(self, heatmaps: Tensor, pafs: Tensor) -> tuple[Tensor, Tensor]:
        """Find peaks, and value the limbs between them.

        Args:
            heatmaps: (B, K or more, H, W) of any float type.
            pafs: (B, 2 L, H, W).

        Returns:
            ``peaks`` (B, K, M, 3) float32 and ``limb_scores`` (B, L, M, M) float16 of ``pose_ros.fields.Fields``. The
            latter are computed in float32, and halved only for the way to the host.
        """
        peaks = find_peaks(heatmaps[:, : self.keypoint_count].float(), self.max_peaks)
        x, y, scores = peaks.unbind(3)
        first, second = self.ends[0], self.ends[1]
        a = x[:, first, :, None], y[:, first, :, None]
        b = x[:, second, None], y[:, second, None]
        values = self.line_integrals(pafs.float(), a, b)
        both = (scores[:, first, :, None] > 0) & (scores[:, second, None] > 0)
        return peaks, values.masked_fill(~both, -1).half()

    def line_integrals(self, pafs: Tensor, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
        """How well each limb's field joins pairs of points, eq. 10 and 11.

        Args:
            pafs: (B, 2 L, H, W) float32.
            a: x and y (B, L, M, 1) of the limbs' first ends.
            b: x and y (B, L, 1, M) of their second ends.

        Returns:
            (B, L, M, M), at most 1; -1 if too few samples agree.
        """
        config = DecoderConfig()
        dx, dy = b[0] - a[0], b[1] - a[1]
        length = (dx * dx + dy * dy).sqrt()
        safe = length.clamp(min=RESCUE_CELLS)
        samples = (safe.ceil() + 1).clamp(MIN_SAMPLES, self.max_samples)
        parts = (self.order / (samples - 1)[:, :, None]).clamp(max=1)  # beyond the last sample: counted out below
        x, y = (start[:, :, None] + parts * step[:, :, None] for start, step in zip(a, (dx, dy), strict=True))
        padded = functional.pad(pafs, (0, 1, 0, 1))
        u, v = (interpolated(padded[:, axis::2], x, y).reshape(self.pairs_shape) for axis in (0, 1))
        along = u * (dx / safe)[:, :, None] + v * (dy / safe)[:, :, None]
        agrees = (along > config.paf_threshold) & (along < math.inf) & (self.order < samples[:, :, None])
        mean = along.masked_fill(~agrees, 0).sum(dim=2) / samples
        enough = agrees.float().sum(dim=2) >= (config.paf_fraction * samples - 1e-4).ceil()
        # A limb longer than half the image is unlikely: the prior of the authors' code.
        values = mean.clamp(max=1) + (0.5 * _longer_side(pafs) / safe - 1).clamp(max=0)
        return values.masked_fill(~enough, -1).masked_fill(length < RESCUE_CELLS, _at_most(config.paf_threshold))


def find_peaks(heatmaps: Tensor, count: int) -> Tensor:
    """The strongest peaks of each heatmap, refined below a cell.

    Args:
        heatmaps: (B, K, H, W) float32; NaN and Inf count as missing.
        count: M, at most H W.

    Returns:
        (B, K, M, 3) column, row and score, the strongest first; 0 where there are no more.
    """
    positive = heatmaps.masked_fill(~((heatmaps > 0) & (heatmaps < math.inf)), 0)
    scores, cells = positive.masked_fill(~_is_peak(positive), 0).flatten(2).topk(count)
    rows = torch.div(cells, heatmaps.shape[3], rounding_mode="trunc")
    cols = cells - rows * heatmaps.shape[3]
    x, y = _refined(heatmaps, rows, cols)
    found = (scores > 0).float()
    return torch.stack([x * found, y * found, scores.clamp(max=1)], dim=3)


def _is_peak(positive: Tensor) -> Tensor:
    """Which cells no neighbour exceeds; of equal neighbours the first, and none where one of them is exceeded."""
    in_row = functional.max_pool2d(positive, (1, 3), 1, (0, 1))
    highest = positive >= functional.max_pool2d(in_row, (3, 1), 1, (1, 0))
    above = functional.pad(in_row, (0, 0, 1, 0))[:, :, :-1]
    before = functional.pad(positive, (1, 0))[..., :-1]
    beside_exceeded = functional.max_pool2d(positive.masked_fill(highest, 0), 3, 1, 1)
    return highest & (positive > torch.maximum(torch.maximum(above, before), beside_exceeded))


def _refined(heatmaps: Tensor, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    """Columns and rows (B, K, M) of the tops of the parabolas through cells and their neighbours."""
    padded = functional.pad(heatmaps, (1, 1, 1, 1), value=-math.inf)
    across = heatmaps.shape[3] + 2
    middle = (rows + 1) * across + cols + 1
    around = torch.cat([middle, middle - 1, middle + 1, middle - across, middle + across], dim=2)
    value, left, right, up, down = padded.flatten(2).gather(2, around).chunk(5, dim=2)
    return cols + _vertex(left, value, right), rows + _vertex(up, value, down)


def _vertex(low: Tensor, middle: Tensor, high: Tensor) -> Tensor:
    """Top of the parabola through three values, from -0.5 to 0.5; 0 where a value is missing."""
    bend = low - 2 * middle + high
    top = (0.5 * (low - high) / bend).clamp(-0.5, 0.5)
    return top.masked_fill(~((bend < 0) & (bend > -math.inf)), 0)


def interpolated(field: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A field at points (B, L, ...), bilinear: (B, L, number of points).

    Args:
        field: (B, L, H + 1, W + 1), with one row and one column after its last, of no matter.
        x: From 0 to W - 1.
        y: From 0 to H - 1.
    """
    x, y = x.flatten(2), y.flatten(2)
    cols, rows = x.long(), y.long()
    fx, fy = x - cols, y - rows
    flat, across = field.flatten(2), field.shape[3]
    cells = rows * across + cols
    top = (1 - fx) * flat.gather(2, cells) + fx * flat.gather(2, cells + 1)
    bottom = (1 - fx) * flat.gather(2, cells + across) + fx * flat.gather(2, cells + across + 1)
    return (1 - fy) * top + fy * bottom


def _longer_side(field: Tensor) -> int:
    """max(H, W), without a comparison: in a graph, that would be settled for good when it is traced."""
    height, width = field.shape[2:]
    return (height + width + abs(height - width)) // 2


def _at_most(value: float) -> float:
    """The largest float32 that is not above a number."""
    nearest = np.float32(value)
    return float(nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-1)))
