"""Training targets: the fields that an ideal network would give for known people.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050:
    eq. 6 and 7 (confidence maps), eq. 8 and 9 (part affinity fields).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pose_ros.skeleton import Limb

FloatArray = npt.NDArray[np.float32]


def _window(centre: npt.NDArray[np.float64], radius: float, size: int, axis: int) -> npt.NDArray[np.int64]:
    low, high = centre[..., axis].min() - radius, centre[..., axis].max() + radius
    return np.arange(max(0, int(np.ceil(low))), min(size, int(np.floor(high)) + 1))


def confidence_maps(
    keypoints_xy: FloatArray, visible: npt.NDArray[np.bool_], shape_hw: tuple[int, int], sigma: float
) -> FloatArray:
    """Gaussians around keypoints, the maximum over people.

    Args:
        keypoints_xy: (N, K, 2), in cells.
        visible: (N, K).
        shape_hw: Rows and columns of the field.
        sigma: Standard deviation, in cells.

    Returns:
        (K, H, W) in [0, 1].
    """
    maps = np.zeros((visible.shape[1], *shape_hw), np.float32)
    for n, k in np.argwhere(visible):
        centre = keypoints_xy[n, k].astype(np.float64)
        rows, cols = _window(centre, 4 * sigma, shape_hw[0], 1), _window(centre, 4 * sigma, shape_hw[1], 0)
        squared = (rows[:, None] - centre[1]) ** 2 + (cols[None, :] - centre[0]) ** 2
        grid = np.ix_(rows, cols)
        maps[k][grid] = np.maximum(maps[k][grid], np.exp(-squared / (2 * sigma**2)))
    return maps


def part_affinity_fields(
    keypoints_xy: FloatArray,
    visible: npt.NDArray[np.bool_],
    limbs: tuple[Limb, ...],
    shape_hw: tuple[int, int],
    half_width: float,
) -> FloatArray:
    """Unit vectors along limbs, within a distance of each; the mean where limbs of several people cross.

    Args:
        keypoints_xy: (N, K, 2), in cells.
        visible: (N, K).
        limbs: L pairs of keypoints.
        shape_hw: Rows and columns of the field.
        half_width: Distance from the limb's line that still belongs to it, in cells.

    Returns:
        (2 L, H, W): x and y of each limb.
    """
    fields = np.zeros((2 * len(limbs), *shape_hw), np.float32)
    for index, (a, b) in enumerate(limbs):
        count = np.zeros(shape_hw, np.int32)
        for n in np.flatnonzero(visible[:, a] & visible[:, b]):
            ends = keypoints_xy[n, [a, b]].astype(np.float64)
            length = np.linalg.norm(ends[1] - ends[0])
            if length == 0:
                continue
            unit = (ends[1] - ends[0]) / length
            rows, cols = _window(ends, half_width, shape_hw[0], 1), _window(ends, half_width, shape_hw[1], 0)
            x, y = cols[None, :] - ends[0, 0], rows[:, None] - ends[0, 1]
            along, across = x * unit[0] + y * unit[1], np.abs(x * unit[1] - y * unit[0])
            on_limb = (along >= 0) & (along <= length) & (across <= half_width)
            grid = np.ix_(rows, cols)
            fields[2 * index][grid] += np.where(on_limb, unit[0], 0)
            fields[2 * index + 1][grid] += np.where(on_limb, unit[1], 0)
            count[grid] += on_limb
        fields[2 * index : 2 * index + 2] /= np.maximum(count, 1)
    return fields
