"""Group keypoints by part affinity fields: connect peaks to limbs, and limbs to people.

The links of all limbs are processed from the best to the worst. A link joins the groups of its two ends, unless these
groups contain different peaks of the same keypoint. Partial people merge by the same rule.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050, section 2.4.
    Cao et al., OpenPose, arXiv:1812.08008, section 3.3 (redundant limbs, merging of people).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pose_ros.arrays import DoubleArray, FloatArray, LongArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder import can_use_centres, can_use_front
from pose_ros.decoder.duplicates import find_distinct
from pose_ros.decoder.front import read_front
from pose_ros.decoder.jit import jit, jit_inline
from pose_ros.decoder.limbs import score_limbs
from pose_ros.decoder.matching import match, match_greedy, sort_descending
from pose_ros.decoder.partition import can_solve
from pose_ros.decoder.partition_links import LinkPartition
from pose_ros.decoder.peaks import Peaks, find_keypoint_peaks
from pose_ros.decoder.with_centres import CentreKeypoints
from pose_ros.fields import Fields, ModelSpec, field_array
from pose_ros.people import People

SHORTEST_LIMB = 0.06
"""Shorter limbs (of the face) count as this long, in body heights. They are a poor measure of body height."""
MIN_LINKS_FOR_SIZE = 3
"""Fewest links of a group that limit the length of its other limbs."""


class PafDecoder:
    """Decoder of part affinity fields. Immutable and thread-safe."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config
        self._scale, self._origin = np.float32(spec.stride), np.float32(spec.origin)
        self._limbs = np.array(spec.limbs, np.int64).reshape(-1, 2)
        self._keypoint_count = len(spec.skeleton)
        self._sigmas = np.array(spec.skeleton.sigmas)
        self._centres = CentreKeypoints(spec, config) if can_use_centres(spec, config) else None
        self._can_use_front = can_use_front(spec, config)
        self._limits = (config.paf_threshold, config.max_stretch or np.inf)
        self._least = (config.min_keypoints, config.min_person_score)
        ends = spec.skeleton.standing[self._limbs]
        is_partition = config.matching == "partition"
        self._matching = "greedy" if is_partition else config.matching
        self._partition = (
            LinkPartition(self._limbs, np.array(spec.skeleton.flip_order), config.paf_threshold, config.partition_ms)
            if is_partition and can_solve()
            else None
        )
        self._limb_lengths = np.maximum(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1), SHORTEST_LIMB)

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        Args:
            fields: ``heatmaps`` and ``pafs`` (2 L, H, W), any real type and memory layout. Optional:
                ``heatmap_offsets``, and the fields of centres, which add keypoints. Or ``peaks`` (K, M, 3) and
                ``limb_scores`` (L, M, M), which are preferred if ``can_use_front`` is true.

        Returns:
            The people in network-input pixels, sorted by score, the best first.

        Raises:
            ValueError: If a field is missing or of the wrong shape.
        """
        config = self._config
        if self._can_use_front and fields.peaks is not None:
            peaks, all_links, all_values = read_front(fields, self._limbs, self._keypoint_count, config)
        else:
            peaks, all_links, all_values = self._find_links(fields)
        if self._matching == "greedy" and self._partition is None:
            graph = (peaks.xy, peaks.scores, self._limbs, self._limb_lengths)
            found = _group_greedily(all_links, all_values, *graph, self._limits, self._scale, self._origin, self._least)
        else:
            found = self._group(peaks, all_links, all_values)
        people = self._make_people(*found)
        return people if self._centres is None or fields.centres is None else self._centres.improve(people, fields)

    def _find_links(self, fields: Fields) -> tuple[Peaks, LongArray, DoubleArray]:
        """Find the peaks of the heatmaps, and the links that the PAFs make between them, with their values."""
        config = self._config
        heatmaps, peaks = find_keypoint_peaks(fields, self._keypoint_count, config)
        pafs = field_array("pafs", fields.pafs, 2 * len(self._limbs))
        if pafs.shape[1:] != heatmaps.shape[1:]:
            raise ValueError(f"pafs: expected the grid of the heatmaps, {heatmaps.shape[1:]}, got {pafs.shape[1:]}")
        return peaks, *score_limbs(pafs, peaks, self._limbs, config.paf_threshold, config.paf_fraction)

    def _group(self, peaks: Peaks, all_links: LongArray, all_values: DoubleArray) -> Any:
        """Group the peaks by a matching other than the greedy one. Return the same as ``_group_greedily``."""
        most = self._config.most_peaks
        links, values = match(all_links, all_values, self._matching, len(self._limbs), most)
        members, limb_sums = self._assemble(links, values, peaks)
        if self._partition is not None:
            links, values = self._partition.select(peaks, (all_links, all_values), (links, values), members)
            members, limb_sums = self._assemble(links, values, peaks)
        return _read_groups(members, limb_sums, peaks.xy, peaks.scores, self._scale, self._origin, self._least)

    def _assemble(self, links: LongArray, values: DoubleArray, peaks: Peaks) -> tuple[LongArray, DoubleArray]:
        """Join the links, in their order, to groups. Return members (G, K) and the sums (G,) of their link values."""
        order = np.arange(len(links))
        members, sums = _assemble(links, values, order, peaks.xy, self._limbs, self._limb_lengths, self._limits)
        return members, sums

    def _make_people(self, keypoints: FloatArray, scores: FloatArray, person_scores: FloatArray) -> People:
        """Drop duplicates, and people beyond the most."""
        most = self._config.most_people
        keep = find_distinct(keypoints, scores, self._sigmas, self._config.duplicate_oks)
        if len(keep) > most or not keep.all():
            chosen = np.flatnonzero(keep)[:most]
            keypoints, scores, person_scores = keypoints[chosen], scores[chosen], person_scores[chosen]
        return People(keypoints, scores, person_scores)


@jit
def _group_greedily(
    links: Any,
    values: Any,
    xy: Any,
    scores: Any,
    limbs: Any,
    lengths: Any,
    limits: Any,
    scale: Any,
    origin: Any,
    least: Any,
) -> Any:
    """Match the links greedily, assemble them and read the groups, in one call: each call from Python takes 1 µs."""
    order = match_greedy(links, values, len(limbs), xy.shape[1])
    members, sums = _assemble(links, values, order, xy, limbs, lengths, limits)
    return _read_groups(members, sums, xy, scores, scale, origin, least)


@jit
def _read_groups(members: Any, limb_sums: Any, xy: Any, scores: Any, scale: Any, origin: Any, least: Any) -> Any:
    """Return keypoints (N, K, 2) px, scores (N, K) and person scores (N,) of the likely groups, the best first.

    The score of a person is the sum of its keypoint scores and link values, relative to that of a whole person.

    Args:
        members: (G, K) peak of each keypoint, or -1.
        limb_sums: (G,) sum of the link values.
        xy: (K, M, 2) peaks, cells.
        scores: (K, M) values of the peaks.
        scale: Stride, float32.
        origin: Position of the first cell, px, float32.
        least: Fewest keypoints, and lowest score, of a person.
    """
    groups, keypoint_count = members.shape
    person_scores = np.empty(groups, np.float32)
    for group in range(groups):
        total, present = limb_sums[group], 0
        for k in range(keypoint_count):
            if members[group, k] >= 0:
                total, present = total + scores[k, members[group, k]], present + 1
        score = np.float32(min(total / (2 * keypoint_count - 1), 1.0))
        person_scores[group] = score if present >= least[0] and score >= least[1] else -1
    order = sort_descending(person_scores)
    count = 0
    while count < groups and person_scores[order[count]] >= 0:
        count += 1
    found_xy, found_scores = (
        np.zeros((count, keypoint_count, 2), np.float32),
        np.zeros((count, keypoint_count), np.float32),
    )
    for n in range(count):
        for k in range(keypoint_count):
            peak = members[order[n], k]
            if peak >= 0:
                found_scores[n, k] = scores[k, peak]
                for axis in range(2):
                    found_xy[n, k, axis] = xy[k, peak, axis] * scale + origin
    return found_xy, found_scores, person_scores[order[:count]]


@jit
def _assemble(links: Any, values: Any, order: Any, xy: Any, limbs: Any, lengths: Any, limits: Any) -> Any:
    """Join linked peaks into groups, in the order of the links.

    A link with a value of at most limits[0] can extend a group but not start one. Each link implies a body height. A
    link is skipped if its height is more than limits[1] times the mean height of a group. This prevents an arm from
    reaching a neighbour.

    Args:
        links: (n, 3) limb, peak of its first keypoint, peak of its second keypoint.
        values: (n,) values of the links.
        order: (m,) indices of the links to join, the best first.
        xy: (K, M, 2) peaks, cells.
        limbs: (L, 2) from and to keypoints of each limb.
        lengths: (L,) length of each limb of a standing person, body heights.
        limits: Value of a link that starts a group, and ratio of body heights.

    Returns:
        members (G, K), the peak of each keypoint or -1, and the sum (G,) of the link values of each group.
    """
    owner = np.full(xy.shape[:2], -1, np.int64)
    members = np.full((len(order), len(xy)), -1, np.int64)
    sums, heights, counts = np.zeros(len(order)), np.zeros(len(order)), np.zeros(len(order))
    groups = np.int64(0)
    for link in order:
        limb, i, j = links[link]
        a, b = limbs[limb]
        first, second = owner[a, i], owner[b, j]
        dx, dy = xy[a, i, 0] - xy[b, j, 0], xy[a, i, 1] - xy[b, j, 1]
        height = math.sqrt(dx * dx + dy * dy) / lengths[limb]
        if _is_too_long(height, limits[1], heights, counts, first) or _is_too_long(
            height, limits[1], heights, counts, second
        ):
            continue
        group = _join(members, owner, a, i, b, j, groups, values[link] > limits[0])
        if group < 0:
            continue
        groups = max(groups, group + 1)
        if second >= 0 and second != group:
            for totals in (sums, heights, counts):
                totals[group], totals[second] = totals[group] + totals[second], 0.0
        sums[group] += values[link]
        if height > 0:
            heights[group], counts[group] = heights[group] + height, counts[group] + 1
    return members[:groups], sums[:groups]


@jit_inline
def _join(members: Any, owner: Any, a: Any, i: Any, b: Any, j: Any, groups: Any, may_start: Any) -> Any:
    """Join peak i of keypoint a and peak j of keypoint b in one group. Return its index, or -1 if impossible."""
    first, second = owner[a, i], owner[b, j]
    if first < 0 and second < 0:
        if not may_start:
            return np.int64(-1)
        _add(members, owner, groups, a, i)
        return _add(members, owner, groups, b, j)
    if first < 0:
        return _add(members, owner, second, a, i)
    if second < 0:
        return _add(members, owner, first, b, j)
    return first if first == second or _merge(members, owner, first, second) else np.int64(-1)


@jit_inline
def _add(members: Any, owner: Any, group: Any, keypoint: Any, peak: Any) -> Any:
    """Add a peak to a group. Return the index of the group, or -1 if it already has that keypoint."""
    if members[group, keypoint] >= 0:
        return np.int64(-1)
    members[group, keypoint], owner[keypoint, peak] = peak, group
    return np.int64(group)


@jit_inline
def _is_too_long(height: Any, most: Any, heights: Any, counts: Any, group: Any) -> Any:
    """Return whether a link is too long for a group. NaN is never too long."""
    return group >= 0 and counts[group] >= MIN_LINKS_FOR_SIZE and height * counts[group] > most * heights[group]


@jit_inline
def _merge(members: Any, owner: Any, first: Any, second: Any) -> Any:
    """Move all peaks of the second group to the first. Return False if both have the same keypoint.

    The empty group remains.
    """
    for k in range(members.shape[1]):
        if members[first, k] >= 0 and members[second, k] >= 0:
            return False
    for k in range(members.shape[1]):
        if members[second, k] >= 0:
            members[first, k], owner[k, members[second, k]] = members[second, k], first
            members[second, k] = -1
    return True
