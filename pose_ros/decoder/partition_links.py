"""Select the links of part affinity fields with ``partition``: peaks are candidates, and links are likely pairs.

The probabilities are logistic functions of heatmap and link values. The slope of links is fitted to the default model
on 188 images of COCO train2017. The constants of peaks gave the best AP there. The program selects the core of each
person. Then greedy links add the peaks that it leaves out, as far as they fit.

References:
    Pishchulin et al., DeepCut: Joint Subset Partition and Labeling for Multi Person Pose Estimation, arXiv:1511.06645,
    section 2 (log-odds costs).
    Insafutdinov et al., DeeperCut, arXiv:1605.03170 (probabilities of pairs by logistic regression).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, FloatArray, LongArray
from pose_ros.decoder.partition import MAX_CANDIDATES, Hypotheses, partition
from pose_ros.decoder.peaks import Peaks

PEAK_SLOPE, UNDECIDED_PEAK = 5.0, 0.8
"""Rise of the log-odds of a peak with its heatmap value, and the value at odds of 1."""
LINK_SLOPE = 4.7
"""Rise of the log-odds of a link with its value. The odds are 1 at ``paf_threshold``."""
NO_LINK_COST = 1.0
"""Cost of two ends of a limb in one person without a link. The fit gives 4.4, with the same AP. But this divides people
in crowds, where the PAFs of short limbs overlap."""
SAME_CELLS = 0.5
"""Distance below which a left and a right peak are one candidate with two labels. Eyes are often a cell apart."""


@dataclass(frozen=True)
class LinkPartition:
    """Selection of links for a model.

    Attributes:
        limbs: (L, 2) from and to keypoints of each limb.
        mirrored: (K,) keypoint of the other side, or the keypoint itself.
        threshold: Link value of an undecided pair.
        limit_ms: Time limit per image. 0 = no limit.
    """

    limbs: LongArray
    mirrored: LongArray
    threshold: float
    limit_ms: float

    def select(
        self,
        peaks: Peaks,
        found: tuple[LongArray, DoubleArray],
        greedy: tuple[LongArray, DoubleArray],
        members: LongArray,
    ) -> tuple[LongArray, DoubleArray]:
        """Return the links in the order of assembly, with their values.

        Args:
            peaks: Peaks of the K keypoints.
            found: All links (n, 3) and their values.
            greedy: Links and values that greedy matching selects. They are returned if there are too many candidates.
            members: (G, K) peak of each keypoint in the people that the greedy links make. -1 = none.
        """
        links, values = found
        ends = self._ends(links, peaks)
        is_candidate = np.zeros(peaks.scores.size, np.bool_)
        is_candidate[ends] = True
        candidates = np.flatnonzero(is_candidate)
        if not 0 < len(candidates) <= MAX_CANDIDATES:
            return greedy
        first, second = np.searchsorted(candidates, ends)
        hypotheses = self._make_hypotheses(peaks, candidates, first, second, values)
        start = _find_start(candidates, hypotheses, members, peaks)
        groups = partition(hypotheses, start, self.limit_ms)
        is_new = (groups != start) & (groups >= 0)
        core = np.flatnonzero((groups[first] == groups[second]) & is_new[first])
        core = core[np.argsort(-values[core], kind="stable")]
        ends = np.searchsorted(candidates, self._ends(greedy[0], peaks))
        rest = _find_rest(ends, hypotheses.places, groups, is_new)
        return np.concatenate([links[core], greedy[0][rest]]), np.concatenate([values[core], greedy[1][rest]])

    def _ends(self, links: LongArray, peaks: Peaks) -> LongArray:
        """Return both ends (2, n) of links, as indices into the flat array of all peaks."""
        keypoints = self.limbs[links[:, 0]].T
        return keypoints * peaks.scores.shape[1] + links[:, 1:].T

    def _make_hypotheses(
        self, peaks: Peaks, candidates: LongArray, first: LongArray, second: LongArray, values: DoubleArray
    ) -> Hypotheses:
        labels, index = np.divmod(candidates, peaks.scores.shape[1])
        is_limb = np.zeros((len(self.mirrored),) * 2, np.bool_)
        is_limb[self.limbs[:, 0], self.limbs[:, 1]] = is_limb[self.limbs[:, 1], self.limbs[:, 0]] = True
        # The log-odds of DeepCut's objective: log((1 - p) / p) with p = 1 / (1 + exp(-slope * (value - undecided))).
        pair_costs = np.where(is_limb[labels[:, None], labels], NO_LINK_COST, 0.0)
        pair_costs[first, second] = pair_costs[second, first] = LINK_SLOPE * (self.threshold - values)
        costs = PEAK_SLOPE * (UNDECIDED_PEAK - peaks.scores[labels, index].astype(np.float64))
        return Hypotheses(labels, self._find_places(labels, peaks.xy[labels, index]), costs, pair_costs)

    def _find_places(self, labels: LongArray, xy: FloatArray) -> LongArray:
        """Return the candidate of each peak. A right peak on a left peak is the same candidate."""
        places = np.arange(len(labels))
        is_mirrored = self.mirrored[labels] < labels
        for n in np.flatnonzero(is_mirrored):
            others = np.flatnonzero(labels == self.mirrored[labels[n]])
            gaps = np.linalg.norm(xy[others] - xy[n], axis=1)
            if len(gaps) and gaps.min() < SAME_CELLS:
                places[n] = others[gaps.argmin()]
        return places


def _find_rest(ends: LongArray, places: LongArray, groups: LongArray, is_new: BoolArray) -> BoolArray:
    """Return which greedy links (2, n) remain: those between people of the start, and those that add peaks to people.

    A peak whose candidate has another label now is not added.
    """
    left_out = groups < 0
    is_taken = np.zeros(len(groups), np.bool_)
    is_taken[places[is_new]] = True
    is_wrong = left_out & is_taken[places]
    first, second = ends
    remains = left_out[first] | left_out[second] | ~(is_new[first] | is_new[second])
    return remains & ~is_wrong[first] & ~is_wrong[second]


def _find_start(candidates: LongArray, hypotheses: Hypotheses, members: LongArray, peaks: Peaks) -> LongArray:
    """Return the people (n,) of the greedy result as a partition. The rest are alone if likely, else left out."""
    groups = np.full(peaks.scores.shape, -1)
    group, keypoint = np.nonzero(members >= 0)
    groups[keypoint, members[group, keypoint]] = group
    start = groups.reshape(-1)[candidates]
    alone = (start < 0) & (hypotheses.costs < 0)
    start[alone] = len(members) + np.flatnonzero(alone)
    taken: set[int] = set()
    for n in np.argsort(hypotheses.costs, kind="stable").tolist():
        place = int(hypotheses.places[n])
        if start[n] >= 0 and place in taken:
            start[n] = -1
        elif start[n] >= 0:
            taken.add(place)
    return start
