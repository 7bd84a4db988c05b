"""Matching: which of the scored links between peaks are used.

    greedy     of each limb the best link, then the best between what is left, and so on
    hungarian  of each limb the links whose values have the largest sum
    global     all links: whether one is used is left to the assembly, which takes the best of all limbs first

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050:
    eq. 12 to 14 (the assignment problem of each limb) and section 2.4 (its greedy relaxation).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.arrays import DoubleArray, LongArray
from pose_ros.decoder.assignment import assign
from pose_ros.decoder.jit import jit

METHODS = ("greedy", "hungarian", "global")


def match(
    links: LongArray, values: DoubleArray, method: str, limb_count: int, max_peaks: int
) -> tuple[LongArray, DoubleArray]:
    """Choose links.

    Args:
        links: (n, 3) limb, peak of its first and of its second end, limb by limb.
        values: (n,) in (0, 1].
        method: One of METHODS.
        limb_count: Number of limbs.
        max_peaks: Number of peaks that a keypoint may have.

    Returns:
        The chosen links and their values, the best first; equal ones in their old order.
    """
    if method == "hungarian":
        chosen = _hungarian(links, values)
        links, values = links[chosen], values[chosen]
    order = _descending(values)
    if method == "greedy":
        order = _greedy(links, order, limb_count, max_peaks)
    return links[order], values[order]


@jit
def _hungarian(links: Any, values: Any) -> Any:
    """Which links are in the best assignment of their limb: eq. 12 to 14, the largest sum of values."""
    chosen, start = np.zeros(len(links), np.bool_), 0
    while start < len(links):
        stop = start
        rows, cols = 0, 0
        while stop < len(links) and links[stop, 0] == links[start, 0]:
            rows, cols, stop = max(rows, links[stop, 1] + 1), max(cols, links[stop, 2] + 1), stop + 1
        costs = np.zeros((rows, max(rows, cols)))  # a pair without a link costs nothing, and is no pair
        for n in range(start, stop):
            costs[links[n, 1], links[n, 2]] = -values[n]
        columns = assign(costs)
        for n in range(start, stop):
            chosen[n] = columns[links[n, 1]] == links[n, 2]
        start = stop
    return chosen


@jit
def _greedy(links: Any, order: Any, limb_count: Any, max_peaks: Any) -> Any:
    """The links, in order, whose ends no earlier link of the same limb has."""
    taken = np.zeros((2, limb_count, max_peaks), np.bool_)
    chosen = 0
    for rank in range(len(order)):
        limb, i, j = links[order[rank], 0], links[order[rank], 1], links[order[rank], 2]
        if not (taken[0, limb, i] or taken[1, limb, j]):
            taken[0, limb, i], taken[1, limb, j] = True, True
            order[chosen] = order[rank]
            chosen += 1
    return order[:chosen]


@jit
def _descending(values: Any) -> Any:
    """Indices of the values, the highest first, equal ones as they are. A Shell sort: argsort compiles for a second."""
    order = np.empty(len(values), np.int64)
    for i in range(len(values)):
        order[i] = i
    gap = len(values) // 2
    while gap > 0:
        for i in range(gap, len(values)):
            moved, place = order[i], i
            while place >= gap and _comes_first(values, moved, order[place - gap]):
                order[place] = order[place - gap]
                place -= gap
            order[place] = moved
        gap //= 2
    return order


@jit
def _comes_first(values: Any, i: Any, j: Any) -> Any:
    return values[i] > values[j] or (values[i] == values[j] and i < j)
