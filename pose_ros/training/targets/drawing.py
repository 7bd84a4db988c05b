"""Draw Gaussians, disks, boxes and limbs into fields, each inside a small window of cells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pose_ros.decoder.jit import jit

LENGTH_EPSILON = 1e-5
"""Added to the length of soft limbs, as published. Their far ends are shifted by the same amount."""


@jit
def _window(low: Any, high: Any, size: Any) -> Any:
    """Return the range of cells from low to high, both included, clipped to the map: first cell, and last cell + 1."""
    return max(0, math.ceil(max(low, 0.0))), min(size, math.floor(min(high, size - 1.0)) + 1)


@jit
def draw_gaussians(maps: Any, channels: Any, centres_xy: Any, sigmas: Any, radii: Any) -> None:
    """Draw Gaussians exp(-d^2 / (2 sigma^2)) into maps (C, H, W). Each cell keeps the maximum.

    Args:
        maps: (C, H, W), changed in place.
        channels: (M,), channel of each Gaussian.
        centres_xy: (M, 2), centres, cells.
        sigmas: (M,), standard deviations, cells.
        radii: (M,), half the side of the square in which each Gaussian is drawn, cells.
    """
    rows, cols = maps.shape[1:]
    along_x = np.empty(cols)
    for m in range(len(channels)):
        k, x, y, scale = channels[m], centres_xy[m, 0], centres_xy[m, 1], -0.5 / sigmas[m] ** 2
        first, end = _window(x - radii[m], x + radii[m], cols)
        for col in range(first, end):
            along_x[col] = math.exp(scale * (col - x) ** 2)
        top, bottom = _window(y - radii[m], y + radii[m], rows)
        for row in range(top, bottom):
            along_y = math.exp(scale * (row - y) ** 2)
            for col in range(first, end):
                maps[k, row, col] = max(maps[k, row, col], np.float32(along_x[col] * along_y))


@jit
def fill_disks(maps: Any, channels: Any, centres_xy: Any, radii: Any, value: Any) -> None:
    """Set the cells of maps (C, H, W) inside disks to a value: centres (M, 2) and radii (M,), in cells."""
    rows, cols = maps.shape[1:]
    for m in range(len(channels)):
        k, x, y, radius = channels[m], centres_xy[m, 0], centres_xy[m, 1], radii[m]
        top, bottom = _window(y - radius, y + radius, rows)
        for row in range(top, bottom):
            half = math.sqrt(max(radius**2 - (row - y) ** 2, 0.0))
            first, end = _window(x - half, x + half, cols)
            for col in range(first, end):
                maps[k, row, col] = value


@jit
def fill_boxes(maps: Any, channels: Any, boxes: Any, value: Any) -> None:
    """Set the cells of maps (C, H, W) inside boxes (M, 4) to a value: x_min, y_min, x_max, y_max, in cells."""
    rows, cols = maps.shape[1:]
    for m in range(len(channels)):
        first, end = _window(boxes[m, 0], boxes[m, 2], cols)
        top, bottom = _window(boxes[m, 1], boxes[m, 3], rows)
        for row in range(top, bottom):
            for col in range(first, end):
                maps[channels[m], row, col] = value


@jit
def draw_limb(field: Any, counts: Any, ends_xy: Any, widths: Any, soft: Any) -> None:
    """Add the unit vectors of a limb to its field.

    Args:
        field: (2, H, W), changed in place.
        counts: (H, W), number of limbs at each cell, changed in place.
        ends_xy: (2, 2), ends of the limb, cells.
        widths: Half width, overhang and reach, cells. Half width: half the width of the limb. A soft limb falls to 1/e
            there. Overhang: length of the limb beyond its ends. Reach: margin of the drawn window around its ends.
        soft: Whether the vectors fall as exp(-d^2 / width^2) with the distance d from the limb.
    """
    width, overhang, reach = widths
    ax, ay, bx, by = ends_xy[0, 0], ends_xy[0, 1], ends_xy[1, 0], ends_xy[1, 1]
    length = math.hypot(bx - ax, by - ay)
    if length == 0:
        return
    length += LENGTH_EPSILON if soft else 0.0
    ux, uy = (bx - ax) / length, (by - ay) / length
    first, end = _window(min(ax, bx) - reach, max(ax, bx) + reach, field.shape[2])
    top, bottom = _window(min(ay, by) - reach, max(ay, by) + reach, field.shape[1])
    for row in range(top, bottom):
        for col in range(first, end):
            along = (col - ax) * ux + (row - ay) * uy
            across = (col - ax) * uy - (row - ay) * ux
            beyond = max(-along, along - length, 0.0)
            inside = beyond <= overhang and abs(across) <= width
            if soft or inside:
                share = math.exp(-(beyond**2 + across**2) / width**2) if soft else 1.0
                field[0, row, col] += share * ux
                field[1, row, col] += share * uy
                counts[row, col] += inside
