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
import numpy.typing as npt

from pose_ros.config import DecoderConfig
from pose_ros.decoder.duplicates import distinct
from pose_ros.decoder.jit import jit
from pose_ros.decoder.limbs import score_limbs
from pose_ros.decoder.matching import match
from pose_ros.decoder.peaks import Peaks, find_peaks
from pose_ros.fields import Fields, ModelSpec, field_array
from pose_ros.people import People


class PafDecoder:
    """Groups keypoints along part affinity fields. Immutable and safe in any thread."""

    def __init__(self, spec: ModelSpec, config: DecoderConfig) -> None:
        self._spec = spec
        self._config = config
        self._limbs = np.array(spec.limbs, np.int64).reshape(-1, 2)
        self._keypoint_count = len(spec.skeleton)
        self._sigmas = np.array(spec.skeleton.sigmas)

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
        peaks = find_peaks(heatmaps, config.score_threshold, config.max_peaks, config.subpixel, config.dark_kernel)
        links, values = score_limbs(pafs, peaks, self._limbs, config.paf_threshold, config.paf_fraction)
        links, values = match(links, values, config.matching, len(self._limbs), config.max_peaks)
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
        order = order[keep[order]]
        order = order[distinct(keypoints[order], scores[order], self._sigmas, config.duplicate_oks)]
        order = order[: config.max_people]
        return People(keypoints[order], scores[order], person_scores[order])


def _person_scores(
    scores: npt.NDArray[np.float32], present: npt.NDArray[np.bool_], limb_sums: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Confidence of each group: keypoints and limbs together, over all that a whole person has."""
    most = 2 * scores.shape[1] - 1
    return np.minimum((scores.sum(axis=1) + limb_sums) / most, 1).astype(np.float32)


@jit
def _assemble(links: Any, values: Any, limbs: Any, least: Any, max_peaks: Any, keypoint_count: Any) -> Any:
    """Join linked peaks into groups, in order. A link no better than ``least`` completes a group but begins none.

    Returns:
        members (G, K), the peak of each keypoint or -1, and the sum (G,) of the values of each group's links.
    """
    owner = np.full((keypoint_count, max_peaks), -1, np.int64)
    members = np.full((len(links), keypoint_count), -1, np.int64)
    sums = np.zeros(len(links))
    groups = 0
    for rank in range(len(links)):
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
        elif first != second and not _merge(members, owner, sums, first, second):
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
