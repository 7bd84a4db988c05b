"""Part affinity fields: peaks are joined into limbs by line integrals, and limbs into people.

1. Score every pair of peaks that a limb could join: the mean of the field's projection on the line between them.
2. Match: of each limb's pairs take the best, strike out both ends, and so on (greedy bipartite matching).
3. Assemble: take all matches, the best first, and join the groups that their ends belong to, unless the two groups
   hold different peaks of the same keypoint. Partial people merge by the same rule.

References:
    Cao et al., Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields, arXiv:1611.08050:
    eq. 10 and 11 (line integral), section 2.4 (greedy matching and assembly).
    Cao et al., OpenPose, arXiv:1812.08008, section 3.3 and 5 (redundant limbs, merging of people).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.config import DecoderConfig
from pose_ros.decoder.jit import COMPILED, jit
from pose_ros.decoder.peaks import Peaks, find_peaks
from pose_ros.fields import Fields, ModelSpec, field_array
from pose_ros.people import People

MIN_SAMPLES, MAX_SAMPLES = 5, 25
RESCUE_CELLS = 1.0
"""Peaks closer than this have no direction to test: their limb is accepted as the weakest, to complete a person."""


class PafDecoder:
    """Groups keypoints along part affinity fields. Immutable and safe in any thread."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config
        self._limbs = np.array(spec.limbs, np.int64).reshape(-1, 2)
        self._keypoint_count = len(spec.skeleton)

    def __call__(self, fields: Fields) -> People:
        """Decode one image.

        Args:
            fields: ``heatmaps`` (K or more, H, W) and ``pafs`` (2 L, H, W), any real type and memory layout.

        Returns:
            The people, the best first, in network-input pixels.

        Raises:
            ValueError: If a field is missing or of the wrong shape.
        """
        heatmaps = field_array("heatmaps", fields.heatmaps, self._keypoint_count)
        pafs = field_array("pafs", fields.pafs, 2 * len(self._limbs))
        if pafs.shape[1:] != heatmaps.shape[1:]:
            raise ValueError(f"pafs: expected the grid of the heatmaps, {heatmaps.shape[1:]}, got {pafs.shape[1:]}")
        config = self._config
        peaks = find_peaks(heatmaps, config.score_threshold, config.max_peaks, config.subpixel)
        match = _match if COMPILED else _match_numpy
        links, values = match(pafs, peaks.xy, peaks.counts, self._limbs, config.paf_threshold, config.paf_fraction)
        members, limb_sums = _assemble(
            links, values, self._limbs, config.paf_threshold, peaks.scores.shape[1], self._keypoint_count
        )
        return self._people(peaks, members, limb_sums)

    def _people(self, peaks: Peaks, members: npt.NDArray[np.int64], limb_sums: npt.NDArray[np.float64]) -> People:
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
        order = order[keep[order]][: config.max_people]
        return People(keypoints[order], scores[order], person_scores[order])


def _person_scores(
    scores: npt.NDArray[np.float32], present: npt.NDArray[np.bool_], limb_sums: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Confidence of each group: keypoints and limbs together, over all that a whole person has."""
    most = 2 * scores.shape[1] - 1
    return np.minimum((scores.sum(axis=1) + limb_sums) / most, 1).astype(np.float32)


@jit
def _may_join(pafs: Any, channel: Any, x: Any, y: Any, dx: Any, dy: Any, threshold: Any) -> Any:
    """Whether the field agrees at the nearest cells of two of the points at 1/4, 1/2 and 3/4 of the way.

    Most pairs of a crowd fail here, for a tenth of the cost of the integral.
    """
    least, agreeing = threshold * threshold * (dx * dx + dy * dy), 0
    for quarter in range(1, 4):
        row, col = int(y + 0.25 * quarter * dy + 0.5), int(x + 0.25 * quarter * dx + 0.5)
        along = pafs[channel, row, col] * dx + pafs[channel + 1, row, col] * dy
        agreeing += along > 0 and along * along > least
        if agreeing + 3 - quarter < 2:
            return False
    return True


@jit
def _sample(pafs: Any, channel: Any, x: Any, y: Any) -> Any:
    """Bilinear interpolation of a channel."""
    _, rows, cols = pafs.shape
    x0, y0 = min(int(x), cols - 1), min(int(y), rows - 1)
    x1, y1 = min(x0 + 1, cols - 1), min(y0 + 1, rows - 1)
    fx, fy = x - x0, y - y0
    top = (1 - fx) * pafs[channel, y0, x0] + fx * pafs[channel, y0, x1]
    bottom = (1 - fx) * pafs[channel, y1, x0] + fx * pafs[channel, y1, x1]
    return (1 - fy) * top + fy * bottom


@jit
def _line_integral(pafs: Any, channel: Any, x: Any, y: Any, dx: Any, dy: Any, threshold: Any, fraction: Any) -> Any:
    """Confidence that a limb leads from (x, y) to (x + dx, y + dy), eq. 10 and 11; -1 if too few samples agree."""
    length = math.sqrt(dx * dx + dy * dy)
    if length < RESCUE_CELLS:
        return threshold
    samples = min(max(int(math.ceil(length)) + 1, MIN_SAMPLES), MAX_SAMPLES)
    misses = samples - int(math.ceil(fraction * samples - 1e-9))
    total, step = 0.0, 1.0 / (samples - 1)
    for i in range(samples):
        at_x, at_y = x + i * step * dx, y + i * step * dy
        along = (_sample(pafs, channel, at_x, at_y) * dx + _sample(pafs, channel + 1, at_x, at_y) * dy) / length
        if threshold < along < np.inf:
            total += along
        else:
            misses -= 1
            if misses < 0:
                return -1.0
    # A limb longer than half the image is unlikely: the prior of the authors' code.
    return min(total / samples, 1.0) + min(0.5 * max(pafs.shape[1], pafs.shape[2]) / length - 1.0, 0.0)


@jit
def _match(pafs: Any, xy: Any, counts: Any, limbs: Any, threshold: Any, fraction: Any) -> Any:
    """Greedy bipartite matching of every limb: links (n, 3) of limb, from, to; and their values (n,)."""
    most, most_pairs = 0, 0
    for limb in range(len(limbs)):
        a, b = limbs[limb, 0], limbs[limb, 1]
        most, most_pairs = most + min(counts[a], counts[b]), max(most_pairs, counts[a] * counts[b])
    links, values, found = np.empty((most, 3), np.int64), np.empty(most), 0
    scores, pairs = np.empty(most_pairs), np.empty(most_pairs, np.int64)
    for limb in range(len(limbs)):
        a, b = limbs[limb, 0], limbs[limb, 1]
        accepted = _score_pairs(pafs, xy, counts, limb, a, b, threshold, fraction, scores, pairs)
        found = _take_best(scores[:accepted], pairs[:accepted], limb, counts[a], counts[b], links, values, found)
    return links[:found], values[:found]


@jit
def _score_pairs(
    pafs: Any, xy: Any, counts: Any, limb: Any, a: Any, b: Any, threshold: Any, fraction: Any, scores: Any, pairs: Any
) -> Any:
    """Line integrals of all pairs of a limb; fills those above 0 and returns their number."""
    accepted, channel = 0, 2 * limb
    for i in range(counts[a]):
        x, y = np.float64(xy[a, i, 0]), np.float64(xy[a, i, 1])
        for j in range(counts[b]):
            dx, dy = xy[b, j, 0] - x, xy[b, j, 1] - y
            near = dx * dx + dy * dy < RESCUE_CELLS * RESCUE_CELLS
            if near or _may_join(pafs, channel, x, y, dx, dy, threshold):
                value = _line_integral(pafs, channel, x, y, dx, dy, threshold, fraction)
                if value > 0:
                    scores[accepted], pairs[accepted] = value, i * counts[b] + j
                    accepted += 1
    return accepted


def _match_numpy(pafs: Any, xy: Any, counts: Any, limbs: Any, threshold: float, fraction: float) -> Any:
    """The same as ``_match`` where there is no compiler: all pairs of a limb at once."""
    most = int(np.minimum(counts[limbs[:, 0]], counts[limbs[:, 1]]).sum())
    links, values, found = np.empty((most, 3), np.int64), np.empty(most), 0
    for limb, (a, b) in enumerate(limbs):
        if counts[a] == 0 or counts[b] == 0:
            continue
        ends = xy[a, : counts[a], None, :], xy[b, None, : counts[b], :]
        scores = _line_integrals(pafs[2 * limb : 2 * limb + 2], *ends, threshold, fraction).ravel()
        pairs = np.flatnonzero(scores > 0)
        found = _take_best(scores[pairs], pairs, limb, counts[a], counts[b], links, values, found)
    return links[:found], values[:found]


def _line_integrals(field: Any, a: Any, b: Any, threshold: float, fraction: float) -> Any:
    """``_score_pairs`` of all pairs of points, (A, 1, 2) and (1, B, 2): (A, B)."""
    _, rows, cols = field.shape
    dx, dy = np.moveaxis(b.astype(np.float64) - a, -1, 0)
    length = np.sqrt(dx * dx + dy * dy)
    near = length < RESCUE_CELLS
    length = np.where(near, RESCUE_CELLS, length)
    probes = np.zeros(length.shape, np.int64)
    for part in (0.25, 0.5, 0.75):
        row, col = (a[..., 1] + part * dy + 0.5).astype(np.int64), (a[..., 0] + part * dx + 0.5).astype(np.int64)
        with np.errstate(invalid="ignore"):
            along = field[0, row, col] * dx + field[1, row, col] * dy
            probes += (along > 0) & (along * along > threshold * threshold * (dx * dx + dy * dy))
    samples = np.clip(np.ceil(length).astype(np.int64) + 1, MIN_SAMPLES, MAX_SAMPLES)
    total, agreeing, step = np.zeros(length.shape), np.zeros(length.shape, np.int64), 1.0 / (samples - 1)
    for i in range(samples.max()):
        x, y = a[..., 0] + i * step * dx, a[..., 1] + i * step * dy
        x0, y0 = np.minimum(x.astype(np.int64), cols - 1), np.minimum(y.astype(np.int64), rows - 1)
        x1, y1 = np.minimum(x0 + 1, cols - 1), np.minimum(y0 + 1, rows - 1)
        fx, fy = x - x0, y - y0
        with np.errstate(invalid="ignore"):  # fields may hold NaN and Inf; such samples do not agree
            top = (1 - fx) * field[:, y0, x0] + fx * field[:, y0, x1]
            bottom = (1 - fx) * field[:, y1, x0] + fx * field[:, y1, x1]
            u, v = (1 - fy) * top + fy * bottom
            along = (u * dx + v * dy) / length
            agrees = (threshold < along) & (along < np.inf) & (i < samples)
        total += np.where(agrees, along, 0)
        agreeing += agrees
    value = np.minimum(total / samples, 1.0) + np.minimum(0.5 * max(rows, cols) / length - 1.0, 0.0)
    value = np.where((probes >= 2) & (agreeing >= np.ceil(fraction * samples - 1e-9)), value, -1.0)
    return np.where(near, threshold, value)


@jit
def _take_best(
    scores: Any, pairs: Any, limb: Any, count_a: Any, count_b: Any, links: Any, values: Any, found: Any
) -> Any:
    """Append a limb's pairs, the best first, each peak once. Returns the new number of links."""
    free_a, free_b = np.ones(count_a, np.bool_), np.ones(count_b, np.bool_)
    for rank in np.argsort(-scores, kind="mergesort"):
        i, j = pairs[rank] // count_b, pairs[rank] % count_b
        if free_a[i] and free_b[j]:
            free_a[i], free_b[j] = False, False
            links[found, 0], links[found, 1], links[found, 2] = limb, i, j
            values[found] = scores[rank]
            found += 1
    return found


@jit
def _assemble(links: Any, values: Any, limbs: Any, least: Any, max_peaks: Any, keypoint_count: Any) -> Any:
    """Join linked peaks into groups, the best link first. A link no better than ``least`` cannot begin a group.

    Returns:
        members (G, K), the peak of each keypoint or -1, and the sum (G,) of the values of each group's links.
    """
    owner = np.full((keypoint_count, max_peaks), -1, np.int64)
    members = np.full((len(links), keypoint_count), -1, np.int64)
    sums = np.zeros(len(links))
    groups = 0
    for rank in np.argsort(-values, kind="mergesort"):
        limb, i, j = links[rank]
        a, b = limbs[limb]
        first, second = owner[a, i], owner[b, j]
        if first < 0 and second < 0:
            if values[rank] <= least:
                continue
            first, groups = groups, groups + 1
            members[first, a], members[first, b] = i, j
            owner[a, i], owner[b, j] = first, first
        elif first < 0 or second < 0:
            joined, keypoint, peak = (second, a, i) if first < 0 else (first, b, j)
            if members[joined, keypoint] >= 0:
                continue
            members[joined, keypoint], owner[keypoint, peak] = peak, joined
            first = joined
        elif first != second:
            if not _merge(members, owner, sums, first, second):
                continue
        sums[first] += values[rank]
    return members[:groups], sums[:groups]


@jit
def _merge(members: Any, owner: Any, sums: Any, first: Any, second: Any) -> Any:
    """Move all of the second group to the first, unless both have the same keypoint. An emptied group stays."""
    for k in range(members.shape[1]):
        if members[first, k] >= 0 and members[second, k] >= 0:
            return False
    for k in range(members.shape[1]):
        if members[second, k] >= 0:
            members[first, k], owner[k, members[second, k]] = members[second, k], first
            members[second, k] = -1
    sums[first], sums[second] = sums[first] + sums[second], 0.0
    return True
