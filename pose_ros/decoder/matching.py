"""Select the links between peaks.

    greedy     for each limb, the best link, then the best link between the remaining peaks, and so on
    hungarian  for each limb, the links with the largest sum of values
    global     all links: the assembly decides, and takes the best link of all limbs first

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050:
    eq. 12 to 14 (the assignment problem of each limb) and section 2.4 (its greedy relaxation).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.arrays import DoubleArray, LongArray
from pose_ros.decoder.assignment import assign
from pose_ros.decoder.jit import jit, jit_inline

METHODS = ("greedy", "hungarian", "global")
"""Matching methods."""


def match(
    links: LongArray, values: DoubleArray, method: str, limb_count: int, max_peaks: int
) -> tuple[LongArray, DoubleArray]:
    """Select links.

    Args:
        links: (n, 3) limb, peak of its first keypoint, peak of its second keypoint, limb by limb.
        values: (n,) values of the links in (0, 1].
        method: Matching method, one of METHODS.
        limb_count: Number of limbs.
        max_peaks: Most peaks of a keypoint.

    Returns:
        The selected links and their values, the best first. Equal links keep their order.
    """
    if method == "hungarian":
        chosen = _match_hungarian(links, values)
        links, values = links[chosen], values[chosen]
    order = match_greedy(links, values, limb_count, max_peaks) if method == "greedy" else sort_descending(values)
    return links[order], values[order]


@jit
def _match_hungarian(links: Any, values: Any) -> Any:
    """Return a mask of the links in the best assignment of their limb: eq. 12 to 14, the largest sum of values."""
    chosen, start = np.zeros(len(links), np.bool_), 0
    while start < len(links):
        stop = start
        rows, cols = 0, 0
        while stop < len(links) and links[stop, 0] == links[start, 0]:
            rows, cols, stop = max(rows, links[stop, 1] + 1), max(cols, links[stop, 2] + 1), stop + 1
        costs = np.zeros((rows, max(rows, cols)))  # a pair without a link costs 0, and is not selected
        for n in range(start, stop):
            costs[links[n, 1], links[n, 2]] = -values[n]
        columns = assign(costs)
        for n in range(start, stop):
            chosen[n] = columns[links[n, 1]] == links[n, 2]
        start = stop
    return chosen


@jit
def match_greedy(links: Any, values: Any, limb_count: Any, max_peaks: Any) -> Any:
    """Return the indices of the links, the best first, that share no peak with a better link of the same limb."""
    order = sort_descending(values)
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
def sort_descending(values: Any) -> Any:
    """Return the indices of the values, the highest first. Equal values keep their order.

    This is a merge sort, because argsort takes a second to compile.
    """
    order, merged, length = np.empty(len(values), np.int64), np.empty(len(values), np.int64), 1
    for i in range(len(values)):
        order[i] = i
    while length < len(values):
        for start in range(0, len(values), 2 * length):
            _merge_runs(values, order, start, length, merged)
        order, merged, length = merged, order, 2 * length
    return order


@jit_inline
def _merge_runs(values: Any, order: Any, start: Any, length: Any, merged: Any) -> None:
    """Merge two sorted runs of at most a length, one after the other."""
    middle, stop = min(start + length, len(order)), min(start + 2 * length, len(order))
    i, j = start, middle
    for place in range(start, stop):
        if j == stop or (i < middle and values[order[i]] >= values[order[j]]):
            merged[place], i = order[i], i + 1
        else:
            merged[place], j = order[j], j + 1
