"""The decode front: find peaks and limb scores inside the network's graph, so that no field must leave the device.

It does the same as `pose_ros.decoder.peaks`, `subpixel` (offsets of the network, else quadratic) and `limbs`, with
three differences:

- The peak of a plateau of more than two cells lies next to its first cell, not in its middle.
- Long limbs have fewer samples.
- There is no quick test before the line integral.

All values are float32 or integers, because half precision cannot distinguish neighbouring cells.

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
"""Two peaks closer than this have no reliable direction. The score of their limb is then the threshold."""


class DecodeFront(nn.Module):
    """Layers from heatmaps and part affinity fields to peaks and limb scores. The thresholds are ``DecoderConfig()``'s.

    Args:
        keypoint_count: Number of keypoints K.
        limbs: L pairs of keypoints.
        max_peaks: Most peaks M of each keypoint. The strongest are kept.
        max_samples: Samples on a long limb. A short limb has one more than its length in cells, and at least 5.
    """

    def __init__(
        self, keypoint_count: int, limbs: Sequence[Limb], max_peaks: int = MAX_PEAKS, max_samples: int = MAX_SAMPLES
    ) -> None:
        super().__init__()
        self.keypoint_count, self.max_peaks, self.max_samples = keypoint_count, max_peaks, max_samples
        self.pairs_shape = (-1, len(limbs), max_samples, max_peaks, max_peaks)
        self.register_buffer("ends", torch.tensor(limbs).T.contiguous(), persistent=False)
        self.register_buffer("order", torch.arange(max_samples).float().reshape(-1, 1, 1), persistent=False)

    def forward(self, heatmaps: Tensor, pafs: Tensor, offsets: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Find peaks and score the limbs between them.

        Args:
            heatmaps: (B, K or more, H, W) of any float type.
            pafs: (B, 2 L, H, W).
            offsets: (B, 2 or 2 K, H, W) of ``heatmap_offsets``, cells. None = the network has none.

        Returns:
            ``peaks`` (B, K, M, 3) float32 and ``limb_scores`` (B, L, M, M) float16 of ``pose_ros.fields.Fields``. The
            limb scores are computed in float32. They become float16 only for the copy to the host.
        """
        peaks = find_peaks(heatmaps[:, : self.keypoint_count].float(), self.max_peaks, offsets)
        x, y, scores = peaks.unbind(3)
        first, second = self.ends[0], self.ends[1]
        a = x[:, first, :, None], y[:, first, :, None]
        b = x[:, second, None], y[:, second, None]
        values = self.line_integrals(pafs.float(), a, b)
        both_exist = (scores[:, first, :, None] > 0) & (scores[:, second, None] > 0)
        return peaks, values.masked_fill(~both_exist, -1).half()

    def line_integrals(self, pafs: Tensor, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
        """Compute the line integral of each limb's field between all pairs of points, eq. 10 and 11.

        Args:
            pafs: (B, 2 L, H, W) float32.
            a: x and y (B, L, M, 1) of the limbs' first ends.
            b: x and y (B, L, 1, M) of the limbs' second ends.

        Returns:
            (B, L, M, M), at most 1. -1 if too few samples agree.
        """
        config = DecoderConfig()
        dx, dy = b[0] - a[0], b[1] - a[1]
        length = (dx * dx + dy * dy).sqrt()
        safe_length = length.clamp(min=RESCUE_CELLS)
        samples = (safe_length.ceil() + 1).clamp(MIN_SAMPLES, self.max_samples)
        fractions = (self.order / (samples - 1)[:, :, None]).clamp(max=1)  # samples beyond the last are excluded below
        x, y = (start[:, :, None] + fractions * step[:, :, None] for start, step in zip(a, (dx, dy), strict=True))
        padded = functional.pad(pafs, (0, 1, 0, 1))
        u, v = (interpolate(padded[:, axis::2], x, y).reshape(self.pairs_shape) for axis in (0, 1))
        along = u * (dx / safe_length)[:, :, None] + v * (dy / safe_length)[:, :, None]
        agrees = (along > config.paf_threshold) & (along < math.inf) & (self.order < samples[:, :, None])
        mean = along.masked_fill(~agrees, 0).sum(dim=2) / samples
        enough = agrees.float().sum(dim=2) >= (config.paf_fraction * samples - 1e-4).ceil()
        # Limbs longer than half the image are unlikely. This prior comes from the authors' code.
        values = mean.clamp(max=1) + (0.5 * _longer_side(pafs) / safe_length - 1).clamp(max=0)
        rescue_score = _round_down_to_float32(config.paf_threshold)
        return values.masked_fill(~enough, -1).masked_fill(length < RESCUE_CELLS, rescue_score)


def find_peaks(heatmaps: Tensor, count: int, offsets: Tensor | None = None) -> Tensor:
    """Find the strongest peaks of each heatmap, with sub-cell positions.

    Args:
        heatmaps: (B, K, H, W) float32. NaN and Inf count as missing.
        count: Number of peaks M, at most H W.
        offsets: (B, 2 or 2 K, H, W) from a peak's cell to the keypoint, cells. None = vertices of parabolas.

    Returns:
        (B, K, M, 3) column, row and score, strongest first. Rows after the last peak are 0.
    """
    positive = heatmaps.masked_fill(~((heatmaps > 0) & (heatmaps < math.inf)), 0)
    scores, cells = positive.masked_fill(~_is_peak(positive), 0).flatten(2).topk(count)
    rows = torch.div(cells, heatmaps.shape[3], rounding_mode="trunc")
    cols = cells - rows * heatmaps.shape[3]
    moved = _refine_peaks(heatmaps, rows, cols) if offsets is None else _move_peaks(offsets.float(), cells, rows, cols)
    x, y = (axis.clamp(min=0) for axis in moved)
    x, y = x.clamp(max=heatmaps.shape[3] - 1), y.clamp(max=heatmaps.shape[2] - 1)
    exists = (scores > 0).float()
    return torch.stack([x * exists, y * exists, scores.clamp(max=1)], dim=3)


def _is_peak(positive: Tensor) -> Tensor:
    """Mark cells that no neighbour exceeds. Of equal neighbours, mark the first, or none if one of them is exceeded."""
    in_row = functional.max_pool2d(positive, (1, 3), 1, (0, 1))
    highest = positive >= functional.max_pool2d(in_row, (3, 1), 1, (1, 0))
    above = functional.pad(in_row, (0, 0, 1, 0))[:, :, :-1]
    before = functional.pad(positive, (1, 0))[..., :-1]
    exceeded_neighbour = functional.max_pool2d(positive.masked_fill(highest, 0), 3, 1, 1)
    return highest & (positive > torch.maximum(torch.maximum(above, before), exceeded_neighbour))


def _move_peaks(offsets: Tensor, cells: Tensor, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    """Compute columns and rows (B, K, M) of cells moved by their offsets. Offsets longer than the map are ignored."""
    vectors = offsets.unflatten(1, (-1, 2)).flatten(3)  # (B, 1 or K, 2, H W)
    moves = vectors.expand(-1, cells.shape[1], -1, -1).gather(3, cells[:, :, None].expand(-1, -1, 2, -1))
    usable = (moves.abs() <= _longer_side(offsets)).all(dim=2, keepdim=True)  # false for NaN
    moves = moves.masked_fill(~usable, 0)
    return cols + moves[:, :, 0], rows + moves[:, :, 1]


def _refine_peaks(heatmaps: Tensor, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    """Compute columns and rows (B, K, M) of the vertices of the parabolas through cells and their neighbours."""
    padded = functional.pad(heatmaps, (1, 1, 1, 1), value=-math.inf)
    row_length = heatmaps.shape[3] + 2
    middle = (rows + 1) * row_length + cols + 1
    cells = torch.cat([middle, middle - 1, middle + 1, middle - row_length, middle + row_length], dim=2)
    value, left, right, up, down = padded.flatten(2).gather(2, cells).chunk(5, dim=2)
    return cols + _vertex(left, value, right), rows + _vertex(up, value, down)


def _vertex(low: Tensor, middle: Tensor, high: Tensor) -> Tensor:
    """Compute the vertex of the parabola through three values, -0.5 to 0.5. 0 where a value is missing."""
    curvature = low - 2 * middle + high
    vertex = (0.5 * (low - high) / curvature).clamp(-0.5, 0.5)
    return vertex.masked_fill(~((curvature < 0) & (curvature > -math.inf)), 0)


def interpolate(field: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Interpolate a field bilinearly at points (B, L, ...). Returns (B, L, number of points).

    Args:
        field: (B, L, H + 1, W + 1). The last row and the last column are padding of any value.
        x: Columns of the points, 0 to W - 1.
        y: Rows of the points, 0 to H - 1.
    """
    x, y = x.flatten(2), y.flatten(2)
    cols, rows = x.long(), y.long()
    fx, fy = x - cols, y - rows
    flat, row_length = field.flatten(2), field.shape[3]
    cells = rows * row_length + cols
    top = (1 - fx) * flat.gather(2, cells) + fx * flat.gather(2, cells + 1)
    bottom = (1 - fx) * flat.gather(2, cells + row_length) + fx * flat.gather(2, cells + row_length + 1)
    return (1 - fy) * top + fy * bottom


def _longer_side(field: Tensor) -> int:
    """Compute max(H, W) without a comparison, because tracing would store the result of a comparison as a constant."""
    height, width = field.shape[2:]
    return (height + width + abs(height - width)) // 2


def _round_down_to_float32(value: float) -> float:
    """Return the largest float32 that is not above a number."""
    nearest = np.float32(value)
    return float(nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-1)))
