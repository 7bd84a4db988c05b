"""Synthesise the wrong poses that pose estimators return, from a true pose and the frequencies of their errors.

A keypoint is good, or it has one of four errors: jitter, inversion, swap, miss. ``evaluation.errors`` finds the same
kinds, by the same rules, in the people of a model.

References:
    Moon et al., PoseFix, arXiv:1812.03595, section 3 and figure 3 (the synthesis, and frequencies by keypoint).
    Ronchi and Perona, Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation, arXiv:1707.05388,
    section 3.1 (the kinds of errors).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pose_ros.arrays import BoolArray, DoubleArray, FloatArray
from pose_ros.datasets.keypoint_names import normalise_names
from pose_ros.datasets.numbers import read_numbers
from pose_ros.files import is_file
from pose_ros.json_file import parse_json
from pose_ros.settings import CheckedSettings, setting
from pose_ros.skeleton import Skeleton, without_side

KINDS = ("good", "jitter", "inversion", "swap", "miss")
GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
NOT_JUDGED = -1
"""Kind of keypoints that are not labelled, or whose detection matches no person."""
NEAR, EXACT = 0.5, 0.85
"""Minimum keypoint similarity of a position near a keypoint, and of one as accurate as human labels."""
FAR = 0.1
"""Minimum keypoint similarity of a synthesised miss to the keypoint that it was moved from."""

FACE = (0.15, 0.01, 0.01, 0.02)
ARM, HIP, LEG = (0.15, 0.03, 0.06, 0.10), (0.20, 0.06, 0.03, 0.10), (0.10, 0.06, 0.03, 0.10)
PUBLISHED = {
    "nose": (0.10, *FACE[1:]),
    "eye": FACE,
    "ear": FACE,
    "shoulder": (*ARM[:3], 0.05),
    "hip": HIP,
    "knee": LEG,
    "ankle": (*LEG[:3], 0.05),
}
"""Frequencies of jitter, inversion, swap and miss: those of the paper for a person with more than ten keypoints. Other
keypoints, such as elbow and wrist, have those of ARM."""
PRIOR_COUNT = 50.0
"""Number of keypoints that the published frequencies count as, beside those of a model."""
ABSENT_SHARE = 0.5
"""Share of the misses that have no position. Bottom-up models leave out what they do not find."""
_TRIES = 64


@dataclass(frozen=True)
class PoseErrorConfig(CheckedSettings):
    """Errors of the poses that a refinement network learns to repair."""

    file: Path | None = None  # evaluation.json of `pose_ros evaluate`: errors of the model to refine
    factor: float = setting(1.0, "Factor of all frequencies of errors.", low=0.0, high=10.0)


@dataclass(frozen=True)
class ErrorRates:
    """Frequencies of the errors of a pose estimator.

    Attributes:
        rates: (K, 4) frequency of jitter, inversion, swap and miss at each keypoint. Each row sums to at most 1.
        absent: Share of the misses that have no position.
    """

    rates: DoubleArray
    absent: float = ABSENT_SHARE

    def scale(self, factor: float) -> ErrorRates:
        """Return the frequencies times a factor. A row whose sum would exceed 1 is scaled to 1."""
        scaled = self.rates * factor
        return ErrorRates(scaled / np.maximum(scaled.sum(axis=1, keepdims=True), 1), self.absent)


@dataclass(frozen=True)
class WrongPose:
    """Pose with errors.

    Attributes:
        keypoints: (K, 2) float32, px. (0, 0) for absent keypoints.
        present: (K,), whether each keypoint has a position.
        kinds: (K,) index into KINDS, or NOT_JUDGED.
    """

    keypoints: FloatArray
    present: BoolArray
    kinds: npt.NDArray[np.int8]


def published_rates(skeleton: Skeleton) -> ErrorRates:
    """Return the frequencies that the paper uses, for the keypoints of a skeleton."""
    names = normalise_names(skeleton.keypoint_names)
    return ErrorRates(np.array([PUBLISHED.get(without_side(name), ARM) for name in names]))


def load_rates(config: PoseErrorConfig, skeleton: Skeleton) -> ErrorRates:
    """Load the frequencies of a configuration.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is no result of ``pose_ros evaluate``.
    """
    rates = published_rates(skeleton) if config.file is None else _read_rates(config.file, skeleton)
    return rates.scale(config.factor)


def measured_rates(counts: Mapping[str, Mapping[str, Any]], absent: int, skeleton: Skeleton) -> ErrorRates:
    """Convert counted errors to frequencies. A keypoint with few counts stays near the published frequencies.

    Args:
        counts: Keypoint name to the count of each of KINDS.
        absent: Number of misses without a position.
        skeleton: Keypoints of the frequencies. Keypoints without counts have the published frequencies.

    Raises:
        ValueError: If a count is missing, negative or not a number.
    """
    published = published_rates(skeleton).rates
    by_name = dict(zip(normalise_names(tuple(counts)), counts.values(), strict=True))
    rows = np.zeros((len(skeleton), len(KINDS)))
    for k, name in enumerate(normalise_names(skeleton.keypoint_names)):
        if name in by_name:
            rows[k] = [_read_count(by_name[name], kind, name) for kind in KINDS]
    rates = (rows[:, 1:] + PRIOR_COUNT * published) / (rows.sum(axis=1, keepdims=True) + PRIOR_COUNT)
    misses = rows[:, MISS].sum() + PRIOR_COUNT
    return ErrorRates(rates, float(np.clip((absent + PRIOR_COUNT * ABSENT_SHARE) / misses, 0, 1)))


def synthesise_pose(
    keypoints: FloatArray,
    labelled: BoolArray,
    areas: DoubleArray,
    person: int,
    rates: ErrorRates,
    skeleton: Skeleton,
    rng: np.random.Generator,
) -> WrongPose:
    """Make a wrong pose of a person.

    Inversions and swaps happen only where another keypoint can be confused with this one. Keypoints that are not
    labelled are absent.

    Args:
        keypoints: (N, K, 2) true keypoints of the people nearby, px.
        labelled: (N, K), whether each keypoint is known.
        areas: (N,) area of each person, px²: the scale of the keypoint similarity.
        person: Index of the person.
        rates: Frequencies of the errors.
        skeleton: Skeleton of the keypoints.
        rng: Source of all random numbers.
    """
    count = len(skeleton)
    pose = WrongPose(np.zeros((count, 2), np.float32), np.zeros(count, bool), np.full(count, NOT_JUDGED, np.int8))
    for k in np.flatnonzero(labelled[person]):
        anchors = _Anchors.around(keypoints, labelled, areas, person, int(k), skeleton)
        kind = _draw_kind(rates.rates[k], anchors, rng)
        if kind == MISS and rng.random() < rates.absent:
            pose.kinds[k] = MISS
            continue
        place = anchors.draw_place(kind, rng)
        if place is None:  # for example an inversion of two keypoints at one place
            kind, place = GOOD, anchors.places[0]
        pose.keypoints[k], pose.present[k], pose.kinds[k] = place, True, kind
    return pose


@dataclass(frozen=True)
class _Anchors:
    """Places where a keypoint may be found: its own, that of its mirror keypoint, and those of other people.

    Attributes:
        places: (A, 2), px. The first is the keypoint itself.
        kinds: (A,), kind of a position at each place: GOOD, INVERSION or SWAP.
        scales: (A,), area times (2 sigma)², px²: the scale of the similarity.
    """

    places: DoubleArray
    kinds: npt.NDArray[np.int8]
    scales: DoubleArray

    @classmethod
    def around(
        cls,
        keypoints: FloatArray,
        labelled: BoolArray,
        areas: DoubleArray,
        person: int,
        keypoint: int,
        skeleton: Skeleton,
    ) -> _Anchors:
        mirror, rows = skeleton.flip_order[keypoint], [(person, keypoint, GOOD)]
        if mirror != keypoint and labelled[person, mirror]:
            rows.append((person, mirror, INVERSION))
        channels = dict.fromkeys((keypoint, mirror))
        rows += [(n, k, SWAP) for n in range(len(areas)) if n != person for k in channels if labelled[n, k]]
        people, same, kinds = np.array(rows).T
        scales = areas[people] * (2 * np.array(skeleton.sigmas)[same]) ** 2
        return cls(keypoints[people, same].astype(np.float64), kinds.astype(np.int8), scales)

    def can_be(self, kind: int) -> bool:
        """Return whether a position of this kind is possible."""
        return kind in (GOOD, JITTER, MISS) or bool((self.kinds == kind).any())

    def draw_place(self, kind: int, rng: np.random.Generator) -> DoubleArray | None:
        """Draw a position (2,) of a kind. None if none was found."""
        most, least = {GOOD: (1, EXACT), JITTER: (EXACT, NEAR), MISS: (NEAR, FAR)}.get(kind, (1, NEAR))
        wanted = {GOOD: self.kinds == GOOD, JITTER: self.kinds == GOOD, MISS: self.kinds >= GOOD}
        chosen = rng.choice(np.flatnonzero(wanted.get(kind, self.kinds == kind)), _TRIES)
        unit = np.sqrt(2 * self.scales[chosen])
        radii = unit * rng.uniform(np.sqrt(-np.log(most)), np.sqrt(-np.log(least)), _TRIES)
        angles = rng.uniform(0, 2 * np.pi, _TRIES)
        places = self.places[chosen] + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        fitting = np.flatnonzero(self.classify(places) == kind)
        return places[fitting[0]] if len(fitting) else None

    def classify(self, places: DoubleArray) -> npt.NDArray[np.int8]:
        """Return the kind of each position (M, 2), as ``evaluation.errors`` judges it."""
        squared = ((places[:, None] - self.places) ** 2).sum(axis=2)
        similarity = np.exp(-squared / (2 * self.scales))
        own, inverted, others = similarity[:, 0], *(self._highest(similarity, kind) for kind in (INVERSION, SWAP))
        wrong = np.where(np.maximum(inverted, others) < NEAR, MISS, np.where(inverted >= others, INVERSION, SWAP))
        return np.where(own >= EXACT, GOOD, np.where(own >= NEAR, JITTER, wrong)).astype(np.int8)

    def _highest(self, similarity: DoubleArray, kind: int) -> DoubleArray:
        return np.asarray(similarity[:, self.kinds == kind].max(axis=1, initial=0))


def _draw_kind(rates: DoubleArray, anchors: _Anchors, rng: np.random.Generator) -> int:
    possible = [rate * anchors.can_be(kind) for kind, rate in enumerate(rates.tolist(), start=1)]
    return int(np.searchsorted(np.cumsum([1 - sum(possible), *possible]), rng.random(), side="right").clip(0, MISS))


def _read_rates(file: Path, skeleton: Skeleton) -> ErrorRates:
    if not is_file(file):
        raise FileNotFoundError(f"pose_errors.file: expected evaluation.json of pose_ros evaluate, got no file {file}")
    try:
        results = next(iter(parse_json(file.read_bytes())["evaluations"].values()))
        absent = int(_read_count(results, "misses_without_place", "evaluation"))
        return measured_rates(results["errors_by_keypoint"], absent, skeleton)
    except (KeyError, StopIteration, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"pose_errors.file {file}: expected evaluation.json of pose_ros evaluate, got {type(error).__name__}: "
            f"{error}"
        ) from error


def _read_count(row: Mapping[str, Any], kind: str, name: str) -> float:
    return float(read_numbers(row[kind], f"{name}: {kind}", (), 0.0))
