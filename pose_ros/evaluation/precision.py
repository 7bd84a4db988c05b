"""Compare a model in lower precision with the same model in float32, on images without labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, Image
from pose_ros.decoder import fields_to_read, make_decoder
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.data import LabelledImage
from pose_ros.evaluation.detections import Detections
from pose_ros.evaluation.oks import NO_MATCH, match_people, oks
from pose_ros.fields import FRONT_HEADS, Fields
from pose_ros.people import People
from pose_ros.preprocess import Preprocessor
from pose_ros.skeleton import BOX_FILL

SAME_OKS = 0.5
"""Minimum OKS of two detections of the same person."""


@dataclass(frozen=True)
class Difference:
    """Difference between a field and the reference field, relative to the range of the reference over all images.

    Attributes:
        mean: Mean absolute difference.
        largest: Maximum absolute difference.
    """

    mean: float
    largest: float


@dataclass(frozen=True)
class PrecisionReport:
    """Differences between the results of a model and its reference.

    Attributes:
        images: Number of compared images.
        fields: Difference of each field, by name.
        people: Number of people that the reference detected.
        lost: Number of these people that the model did not detect.
        added: Number of additional people that the model detected.
        keypoints: Number of keypoints of the reference, over the people that both detected.
        keypoints_lost: Number of these keypoints that the model did not detect.
        keypoints_added: Number of additional keypoints that the model detected.
        shifts_px: Distance between the two positions of each keypoint that both detected, px of the image.
        oks: OKS of each person that both detected. 1 = identical.
    """

    images: int
    fields: Mapping[str, Difference]
    people: int
    lost: int
    added: int
    keypoints: int
    keypoints_lost: int
    keypoints_added: int
    shifts_px: DoubleArray
    oks: DoubleArray

    @property
    def kept(self) -> int:
        """Number of people that both detected."""
        return self.people - self.lost

    def rows(self) -> list[tuple[str, str]]:
        """Return the report as rows of name and value, for people to read."""
        rows = [
            (f"{name}: mean, largest difference", f"{100 * d.mean:.2g} %, {100 * d.largest:.2g} %")
            for name, d in self.fields.items()
        ]
        rows.append(("people in float32: kept, lost, added", f"{self.people}: {self.kept}, {self.lost}, {self.added}"))
        keypoints = f"{self.keypoints}: {len(self.shifts_px)}, {self.keypoints_lost}, {self.keypoints_added}"
        rows.append(("keypoints of these people: kept, lost, added", keypoints))
        if self.kept:
            rows.append(("similarity of these people (OKS), mean", f"{self.oks.mean():.3f}"))
        if len(self.shifts_px):
            median, p95 = np.percentile(self.shifts_px, [50, 95])
            rows.append(("shift of these keypoints, median, p95", f"{median:.2f} px, {p95:.2f} px"))
        return rows


def compare(reference: PoseEstimator, model: PoseEstimator, images: Iterable[Image]) -> PrecisionReport:
    """Run two models on images, and compare their fields and people.

    Args:
        reference: Model in float32.
        model: Same model in another precision, with the same input, skeleton and fields.
        images: (H, W, 3) BGR or (H, W) grey images.

    Raises:
        ValueError: If there are no images, or the fields have different shapes.
    """
    first, second = _FieldsAndPeople(reference), _FieldsAndPeople(model)
    fields, pairs = _FieldDifferences(), []
    for image in images:
        expected, expected_people = first(image)
        got, people = second(image)
        fields.add(expected, got)
        pairs.append(_pair_people(expected_people, people, reference.skeleton.sigmas))
    if not pairs:
        raise ValueError("compare: expected at least one image, got none")
    return _build_report(fields.differences(), pairs)


class _FieldsAndPeople:
    """Function that returns the fields and the people of an image from one run of the network."""

    def __init__(self, estimator: PoseEstimator) -> None:
        self._spec, config = estimator.spec, estimator.config
        self._run = estimator.runner.run
        self._prepare = Preprocessor(self._spec.input, config.preprocess)
        self._decode = make_decoder(self._spec, estimator.grouping, config.decoder)
        read = fields_to_read(self._spec, estimator.grouping, config.decoder)
        self._read = [head.tensor for head in self._spec.heads if head.field in read]

    def __call__(self, image: Image) -> tuple[Fields, People]:
        tensor, transform = self._prepare(image)
        outputs = self._run({self._spec.input.tensor: tensor})
        size_wh = transform.input_wh
        people = self._decode(self._spec.fields({name: outputs[name] for name in self._read}, input_wh=size_wh))
        return self._spec.fields(outputs, input_wh=size_wh), people.with_keypoints(transform.to_image(people.keypoints))


class _FieldDifferences:
    """Accumulated differences of the fields, image by image."""

    def __init__(self) -> None:
        self._names: dict[str, list[DoubleArray]] = {}

    def add(self, expected: Fields, got: Fields) -> None:
        for name, array in vars(expected).items():
            if array is None or name in FRONT_HEADS or array.ndim < 3:
                continue  # the order of people, and of peaks with equal scores, is undefined
            other = getattr(got, name)
            if other is None or other.shape != array.shape:
                raise ValueError(
                    f"{name}: expected shape {array.shape}, got {getattr(other, 'shape', 'no such field')}"
                )
            gap = np.abs(array.astype(float) - other)
            entry = np.array([gap.sum(), gap.size, gap.max(), array.min(), array.max()])
            self._names.setdefault(name, []).append(entry)

    def differences(self) -> dict[str, Difference]:
        differences = {}
        for name, entries in self._names.items():
            sums, sizes, largest, lowest, highest = np.transpose(entries)
            span = max(highest.max() - lowest.min(), np.finfo(float).tiny)
            differences[name] = Difference(float(sums.sum() / sizes.sum() / span), float(largest.max() / span))
        return differences


@dataclass(frozen=True)
class _Pair:
    """People of two models in one image: numbers of people, and OKS and keypoints of those that both detected."""

    counts: tuple[int, int]
    oks: DoubleArray
    visible: BoolArray  # (2, n, K), whether each model detected each keypoint
    shifts_px: DoubleArray


def _pair_people(expected: People, got: People, sigmas: Sequence[float]) -> _Pair:
    detections = Detections(got.keypoints.astype(float), got.person_scores.astype(float), np.zeros(len(got)))
    similarity = oks(detections, _to_labels(expected), np.asarray(sigmas, float))
    partners = match_people(similarity, SAME_OKS)
    indices = np.flatnonzero(partners != NO_MATCH)
    a, b = expected[partners[indices]], got[indices]
    visible = np.stack([a.visible, b.visible])
    shifts = np.linalg.norm(a.keypoints.astype(float) - b.keypoints, axis=2)[visible.all(axis=0)]
    return _Pair((len(expected), len(got)), similarity[indices, partners[indices]], visible, shifts)


def _to_labels(people: People) -> LabelledImage:
    """Convert people to labels."""
    low, high = np.split(people.boxes().astype(float), 2, axis=1)
    boxes = np.concatenate([low, high - low], axis=1)
    areas = BOX_FILL * boxes[:, 2] * boxes[:, 3]
    crowds = np.zeros(len(people), bool)
    return LabelledImage(0, Path(), people.keypoints.astype(float), people.visible, areas, boxes, crowds)


def _build_report(fields: Mapping[str, Difference], pairs: Sequence[_Pair]) -> PrecisionReport:
    similarity = np.concatenate([pair.oks for pair in pairs])
    shifts = np.concatenate([pair.shifts_px for pair in pairs])
    people, others = np.sum([pair.counts for pair in pairs], axis=0).tolist()
    keypoints, other_keypoints = np.sum([pair.visible.sum(axis=(1, 2)) for pair in pairs], axis=0).tolist()
    both = len(shifts)
    matched = len(similarity)
    return PrecisionReport(
        len(pairs),
        fields,
        people,
        people - matched,
        others - matched,
        keypoints,
        keypoints - both,
        other_keypoints - both,
        shifts,
        similarity,
    )
