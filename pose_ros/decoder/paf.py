"""Part affinity fields: peaks are joined into limbs, and limbs into people.

The links are taken from all limbs, the best first, and join the groups that their ends belong to, unless the two
groups hold different peaks of the same keypoint. Partial people merge by the same rule.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050, section 2.4.
    Cao et al., OpenPose, arXiv:1812.08008, section 3.3 (redundant limbs, merging of people).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, FloatArray, LongArray
from pose_ros.config import DecoderConfig
from pose_ros.decoder import front_fits
from pose_ros.decoder.duplicates import distinct
from pose_ros.decoder.front import read_front
from pose_ros.decoder.jit import inlined, jit
from pose_ros.decoder.limbs import score_limbs
from pose_ros.decoder.matching import match
from pose_ros.decoder.peaks import Peaks, find_peaks
from pose_ros.fields import Fields, ModelSpec, field_array
from pose_ros.people import People

SHORTEST_LIMB = 0.06
"""Limbs shorter than this many body heights (of the face) say little about the size of a person."""
TELLING_LINKS = 3
"""A group of so many links is large enough to tell how long another limb can be."""


class PafDecoder:
    """Groups keypoints along part affinity fields. Immutable and safe in any thread."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config
        self._limbs = np.array(spec.limbs, np.int64).reshape(-1, 2)
        self._keypoint_count = len(spec.skeleton)
        self._sigmas = np.array(spec.skeleton.sigmas)
        self._front_fits = front_fits(config)
        self._limits = (config.paf_threshold, config.max_stretch or np.inf)
        ends = spec.skeleton.standing[self._limbs]
        self._limb_lengths = np.maximum(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1), SHORTEST_LIMB)

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        Args:
            fields: ``heatmaps`` (K or more, H, W) and ``pafs`` (2 L, H, W), any real type and memory layout; or
                ``peaks`` (K, M, 3) and ``limb_scores`` (L, M, M), which are preferred where ``front_fits``.

        Returns:
            The people, the best first, in network-input pixels.

        Raises:
            ValueError: If a field is missing or of the wrong shape.
        """
        config = self._config
        if self._front_fits and fields.peaks is not None:
            peaks, links, values = read_front(fields, self._limbs, self._keypoint_count, config)
        else:
            peaks, links, values = self._find(fields)
        links, values = match(links, values, config.matching, len(self._limbs), config.max_peaks)
        shape = (self._keypoint_count, config.max_peaks)
        spans = self._spans(links, peaks)
        members, limb_sums = _assemble(links, values, spans, self._limbs, self._limits, shape)
        return self._people(peaks, members, limb_sums)

    def _find(self, fields: Fields) -> tuple[Peaks, LongArray, DoubleArray]:
        """The peaks of the heatmaps, and the links that the PAFs make of them, with their values."""
        heatmaps = field_array("heatmaps", fields.heatmaps, self._keypoint_count)
        pafs = field_array("pafs", fields.pafs, 2 * len(self._limbs))
        if pafs.shape[1:] != heatmaps.shape[1:]:
            raise ValueError(f"pafs: expected the grid of the heatmaps, {heatmaps.shape[1:]}, got {pafs.shape[1:]}")
        config = self._config
        peaks = find_peaks(heatmaps, config.score_threshold, config.max_peaks, config.subpixel, config.dark_kernel)
        return peaks, *score_limbs(pafs, peaks, self._limbs, config.paf_threshold, config.paf_fraction)

    def _spans(self, links: LongArray, peaks: Peaks) -> DoubleArray:
        """(n,) the height in cells of a standing person whose limb is as long as each link; NaN where unknown."""
        limb, i, j = links.T
        a, b = self._limbs[limb].T
        return np.linalg.norm(peaks.xy[a, i] - peaks.xy[b, j], axis=1) / self._limb_lengths[limb]

    def _people(self, peaks: Peaks, members: LongArray, limb_sums: DoubleArray) -> People:
        """Gather the groups into arrays, drop the unlikely ones and sort, the best first."""
        config, spec = self._config, self._spec
        present = members >= 0
        columns = np.arange(self._keypoint_count)
        scores = np.where(present, peaks.scores[columns, members], 0)
        keypoints = peaks.xy[columns, members] * np.float32(spec.stride) + np.float32(spec.origin)
        keypoints = np.where(present[..., None], keypoints, 0)
        person_scores = _person_scores(scores, present, limb_sums)
        order = np.argsort(-person_scores, kind="stable")
        keep = (present.sum(axis=1) >= config.min_keypoints) & (person_scores >= config.min_person_score)
        order = order[keep[order]]
        order = order[distinct(keypoints[order], scores[order], self._sigmas, config.duplicate_oks)]
        order = order[: config.max_people]
        return People(keypoints[order], scores[order], person_scores[order])


def _person_scores(scores: FloatArray, present: BoolArray, limb_sums: DoubleArray) -> FloatArray:
    """Confidence of each group: keypoints and limbs together, over all that a whole person has."""
    most = 2 * scores.shape[1] - 1
    return np.minimum((scores.sum(axis=1) + limb_sums) / most, 1).astype(np.float32)


@jit
def _assemble(links: Any, values: Any, spans: Any, limbs: Any, limits: Any, shape: Any) -> Any:
    """Join linked peaks into groups, in order.

    A link no better than limits[0] completes a group but begins none. One that would make a person limits[1] times as
    tall as the links of a group do does not join it: an arm does not reach to the neighbour.

    Returns:
        members (G, K), the peak of each keypoint or -1, and the sum (G,) of the values of each group's links.
    """
    owner = np.full(shape, -1, np.int64)
    members = np.full((len(links), shape[0]), -1, np.int64)
    sums, heights, counts = np.zeros(len(links)), np.zeros(len(links)), np.zeros(len(links))
    groups = np.int64(0)
    for rank in range(len(links)):
        limb, i, j = links[rank]
        a, b = limbs[limb]
        first, second = owner[a, i], owner[b, j]
        if _is_stretched(spans[rank], limits[1], heights, counts, first) or _is_stretched(
            spans[rank], limits[1], heights, counts, second
        ):
            continue
        group = _join(members, owner, a, i, b, j, groups, values[rank] > limits[0])
        if group < 0:
            continue
        groups = max(groups, group + 1)
        if second >= 0 and second != group:
            for totals in (sums, heights, counts):
                totals[group], totals[second] = totals[group] + totals[second], 0.0
        sums[group] += values[rank]
        if spans[rank] > 0:
            heights[group], counts[group] = heights[group] + spans[rank], counts[group] + 1
    return members[:groups], sums[:groups]


@jit
def _join(members: Any, owner: Any, a: Any, i: Any, b: Any, j: Any, groups: Any, may_begin: Any) -> Any:
    """Bring peak i of keypoint a and peak j of keypoint b into one group; its number, or -1 where that cannot be."""
    first, second = owner[a, i], owner[b, j]
    if first < 0 and second < 0:
        if not may_begin:
            return np.int64(-1)
        _add(members, owner, groups, a, i)
        return _add(members, owner, groups, b, j)
    if first < 0:
        return _add(members, owner, second, a, i)
    if second < 0:
        return _add(members, owner, first, b, j)
    return first if first == second or _merge(members, owner, first, second) else np.int64(-1)


@inlined
def _add(members: Any, owner: Any, group: Any, keypoint: Any, peak: Any) -> Any:
    """Give a group a peak; its number, or -1 if it has another of that keypoint."""
    if members[group, keypoint] >= 0:
        return np.int64(-1)
    members[group, keypoint], owner[keypoint, peak] = peak, group
    return np.int64(group)


@inlined
def _is_stretched(span: Any, most: Any, heights: Any, counts: Any, group: Any) -> Any:
    """Whether a link is too long for a group; NaN never is."""
    return group >= 0 and counts[group] >= TELLING_LINKS and span * counts[group] > most * heights[group]


@inlined
def _merge(members: Any, owner: Any, first: Any, second: Any) -> Any:
    """Move all of the second group to the first, unless both have the same keypoint. An emptied group stays."""
    for k in range(members.shape[1]):
        if members[first, k] >= 0 and members[second, k] >= 0:
            return False
    for k in range(members.shape[1]):
        if members[second, k] >= 0:
            members[first, k], owner[k, members[second, k]] = members[second, k], first
            members[second, k] = -1
    return True
