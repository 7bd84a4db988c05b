"""Find the surfaces in the depth image around each keypoint.

Around a keypoint, a depth image often shows several surfaces: the limb, the wall behind it, an object in front of it.
A single pixel may be any of them, and pixels at edges hold distances in between, where there is nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.decoder.jit import jit

MAX_SURFACES = 4
_PATCHES = (1, 2, 4)
"""Sizes of the patches that are tried until one has a surface, because sensors leave holes at edges."""
_AROUND = 3.0
_MISSED_M = (0.25, 1.0)
"""A keypoint missed its limb if its patch has one surface, and one in a patch _AROUND times as large is this nearer."""
_SIDE = 7
"""Most samples along a side of a patch."""
_MIN_SHARE = 0.12
"""Smallest share of the samples of a patch that is a surface. Flying pixels are fewer."""
_GAP_M = 0.07
_GAP_SIGMAS = 2.5
"""Two surfaces are farther apart than the sum of _GAP_M and so many standard deviations of the noise."""


@jit
def find_surfaces(
    depth: Any,
    keypoints: Any,
    visible: Any,
    is_thin: Any,
    half_px: Any,
    limits_m: Any,
    noise: Any,
    surfaces: Any,
    counts: Any,
) -> None:
    """Fill the surfaces around each keypoint, the nearest first.

    Args:
        depth: (H, W) float32, m. Values outside the limits, 0 and NaN are unknown.
        keypoints: (N, K, 2) positions, pixels of the depth image.
        visible: (N, K) bool.
        is_thin: (K,) bool, whether a keypoint belongs to a thin part of the body, which it may miss.
        half_px: (N, K) half the side of the patch, at least 1.
        limits_m: Shortest and longest distance.
        noise: Standard deviation of a distance relative to its square, 1/m.
        surfaces: (N, K, MAX_SURFACES, 3) to fill: distance along the optical axis, its standard deviation, m, and share
            of the samples.
        counts: (N, K) to fill: number of surfaces.
    """
    values = np.empty(_SIDE * _SIDE, np.float32)
    for n in range(keypoints.shape[0]):
        for k in range(keypoints.shape[1]):
            counts[n, k] = 0
            if visible[n, k]:
                x, y = keypoints[n, k, 0], keypoints[n, k, 1]
                for larger in _PATCHES:
                    known, total = _sample(depth, x, y, larger * half_px[n, k], limits_m, values)
                    counts[n, k] = _split(values, known, total, noise, surfaces[n, k])
                    if counts[n, k] > 0:
                        break
                if counts[n, k] == 1 and is_thin[k]:
                    around, distance = _AROUND * half_px[n, k], surfaces[n, k, 0, 0]
                    counts[n, k] = not _is_beside(depth, x, y, around, limits_m, distance)


@jit
def _is_beside(depth: Any, x: Any, y: Any, half: Any, limits_m: Any, distance: Any) -> Any:
    """Return whether a part of the patch is nearer than a distance, as much as a limb is before a wall."""
    nearer, total = 0, 0
    rows, columns, step = _window(depth, x, y, half)
    for r in range(rows[0], rows[1], step):
        for c in range(columns[0], columns[1], step):
            total += 1
            value = depth[r, c]
            nearer += value >= limits_m[0] and _MISSED_M[0] < distance - value < _MISSED_M[1]
    return nearer > _MIN_SHARE * total


@jit
def _window(depth: Any, x: Any, y: Any, half: Any) -> Any:
    """Return the first row and the end, the first column and the end, and the step of the samples in a patch."""
    height, width = depth.shape
    reach = int(half)
    if not (-0.5 - reach < x < width + reach and -0.5 - reach < y < height + reach):
        return (0, 0), (0, 0), 1
    step = (2 * reach + _SIDE - 1) // _SIDE if 2 * reach + 1 > _SIDE else 1
    side = reach // step * step
    column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
    top, left = row - side, column - side
    top += max(0, -top + step - 1) // step * step
    left += max(0, -left + step - 1) // step * step
    return (top, min(row + side + 1, height)), (left, min(column + side + 1, width)), step


@jit
def _sample(depth: Any, x: Any, y: Any, half: Any, limits_m: Any, values: Any) -> Any:
    """Sort the known distances of a patch into values. Return their number, and the number of samples."""
    known, total = 0, 0
    rows, columns, step = _window(depth, x, y, half)
    for r in range(rows[0], rows[1], step):
        for c in range(columns[0], columns[1], step):
            total += 1
            value = depth[r, c]
            if limits_m[0] <= value <= limits_m[1]:
                at = known
                while at > 0 and values[at - 1] > value:
                    values[at] = values[at - 1]
                    at -= 1
                values[at] = value
                known += 1
    return known, total


@jit
def _split(values: Any, known: Any, total: Any, noise: Any, surfaces: Any) -> Any:
    """Split sorted distances where there is a gap. Return the number of surfaces."""
    count, start = 0, 0
    least = max(2.0, _MIN_SHARE * total)
    for at in range(1, known + 1):
        last = values[at - 1]
        if at < known and values[at] - last <= _GAP_M + _GAP_SIGMAS * noise * last * last:
            continue
        size = at - start
        if size >= least and count < MAX_SURFACES:
            middle = (values[start + (size - 1) // 2] + values[start + size // 2]) / 2
            # The middle half of a normal distribution is 1.35 standard deviations wide. The median of m samples has
            # 1.25 / sqrt(m) of their deviation. Neighbours are not independent: a quarter of the samples count.
            spread = (values[start + (3 * (size - 1)) // 4] - values[start + (size - 1) // 4]) / 1.35
            sigma = max(spread, noise * middle * middle)
            surfaces[count, 0] = middle
            surfaces[count, 1] = 2.5 * sigma / np.sqrt(size)
            surfaces[count, 2] = size / total
            count += 1
        start = at
    return count
