"""What a lower precision costs: a model held against the same model in float32, on images without labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pose_ros.arrays import BoolArray, DoubleArray, Image
from pose_ros.decoder import fields_read, make_decoder
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.data import LabelledImage
from pose_ros.evaluation.detections import Detections
from pose_ros.evaluation.oks import NOBODY, matched, oks
from pose_ros.fields import FRONT_HEADS, Fields
from pose_ros.people import People
from pose_ros.preprocess import Preprocessor
from pose_ros.skeleton import BOX_FILL

SAME_OKS = 0.5
"""People at least so alike are the same."""


@dataclass(frozen=True)
class Difference:
    """By how much a field differs from that of the reference, as shares of the latter's range over all images.

    Attributes:
        mean: Over all its numbers.
        largest: Of any number.
    """

    mean: float
    largest: float


@dataclass(frozen=True)
class PrecisionReport:
    """How far a model's answers are from those of its reference.

    Attributes:
        images: How many were shown to both.
        fields: By name.
        people: Whom the reference found.
        lost: How many of them the model did not find.
        added: How many the model found beside them.
        keypoints: Of the people whom both found, keypoints that the reference gave.
        keypoints_lost: How many of those the model did not give.
        keypoints_added: How many the model gave beside them.
        shifts_px: Of each keypoint that both gave, how far it moved, px of its image.
        oks: Of each person whom both found, the likeness; 1 is the same.
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
    def found(self) -> int:
        """How many people both found."""
        return self.people - self.lost

    def rows(self) -> list[tuple[str, str]]:
        """The report for people to read: names and values."""
        rows = [
            (f"{name}: mean, largest difference", f"{100 * d.mean:.2g} %, {100 * d.largest:.2g} %")
            for name, d in self.fields.items()
        ]
        rows.append(
            ("people in float32: found, lost, added", f"{self.people}: {self.found}, {self.lost}, {self.added}")
        )
        keypoints = f"{self.keypoints}: {len(self.shifts_px)}, {self.keypoints_lost}, {self.keypoints_added}"
        rows.append(("their keypoints: found, lost, added", keypoints))
        if self.found:
            rows.append(("likeness of the people (OKS), mean", f"{self.oks.mean():.3f}"))
        if len(self.shifts_px):
            median, p95 = np.percentile(self.shifts_px, [50, 95])
            rows.append(("shift of the keypoints, median, p95", f"{median:.2f} px, {p95:.2f} px"))
        return rows


def compare(reference: PoseEstimator, model: PoseEstimator, images: Iterable[Image]) -> PrecisionReport:
    """Show images to two models and compare fields and people.

    Args:
        reference: The model in float32.
        model: The same in another precision: of the same input, skeleton and fields.
        images: (H, W, 3) BGR or (H, W) grey.

    Raises:
        ValueError: If there are no images, or the fields have other shapes.
    """
    first, second = _ImageDetections(reference), _ImageDetections(model)
    fields, pairs = _FieldDifferences(), []
    for image in images:
        expected, expected_people = first(image)
        got, people = second(image)
        fields.add(expected, got)
        pairs.append(_pair(expected_people, people, reference.skeleton.sigmas))
    if not pairs:
        raise ValueError("compare: expected images to show to both models, got none")
    return _report(fields.differences(), pairs)


class _ImageDetections:
    """The fields of an image and its people, of one run of the network."""

    def __init__(self, estimator: PoseEstimator) -> None:
        self._spec, config = estimator.spec, estimator.config
        self._run = estimator.runner.run
        self._prepare = Preprocessor(self._spec.input, config.preprocess)
        self._decode = make_decoder(self._spec, estimator.grouping, config.decoder)
        read = fields_read(self._spec, estimator.grouping, config.decoder)
        self._read = [head.tensor for head in self._spec.heads if head.field in read]

    def __call__(self, image: Image) -> tuple[Fields, People]:
        tensor, transform = self._prepare(image)
        outputs = self._run({self._spec.input.tensor: tensor})
        people = self._decode(self._spec.fields({name: outputs[name] for name in self._read}))
        return self._spec.fields(outputs), people.with_keypoints(transform.to_image(people.keypoints))


class _FieldDifferences:
    """Adds up, image by image, by how much fields differ."""

    def __init__(self) -> None:
        self._names: dict[str, list[DoubleArray]] = {}

    def add(self, expected: Fields, got: Fields) -> None:
        for name, array in vars(expected).items():
            if array is None or name in FRONT_HEADS:  # peaks of equal scores come in any order
                continue
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
    """The people of two models in one image: how many, and of those whom both found the OKS and the keypoints."""

    counts: tuple[int, int]
    oks: DoubleArray
    shown: BoolArray  # (2, n, K): which keypoints each gave
    shifts_px: DoubleArray


def _pair(expected: People, got: People, sigmas: Sequence[float]) -> _Pair:
    found = Detections(got.keypoints.astype(float), got.person_scores.astype(float), np.zeros(len(got)))
    likeness = oks(found, _labelled(expected), np.asarray(sigmas, float))
    partners = matched(likeness, SAME_OKS)
    places = np.flatnonzero(partners != NOBODY)
    a, b = expected[partners[places]], got[places]
    shown = np.stack([a.visible, b.visible])
    shifts = np.linalg.norm(a.keypoints.astype(float) - b.keypoints, axis=2)[shown.all(axis=0)]
    return _Pair((len(expected), len(got)), likeness[places, partners[places]], shown, shifts)


def _labelled(people: People) -> LabelledImage:
    """People as labels."""
    low, high = np.split(people.boxes().astype(float), 2, axis=1)
    boxes = np.concatenate([low, high - low], axis=1)
    areas = BOX_FILL * boxes[:, 2] * boxes[:, 3]
    nobody = np.zeros(len(people), bool)
    return LabelledImage(0, Path(), people.keypoints.astype(float), people.visible, areas, boxes, nobody)


def _report(fields: Mapping[str, Difference], pairs: Sequence[_Pair]) -> PrecisionReport:
    likeness = np.concatenate([pair.oks for pair in pairs])
    shifts = np.concatenate([pair.shifts_px for pair in pairs])
    people, others = np.sum([pair.counts for pair in pairs], axis=0).tolist()
    given, gotten = np.sum([pair.shown.sum(axis=(1, 2)) for pair in pairs], axis=0).tolist()
    both = len(shifts)
    alike = len(likeness)
    return PrecisionReport(
        len(pairs),
        fields,
        people,
        people - alike,
        others - alike,
        given,
        given - both,
        gotten - both,
        shifts,
        likeness,
    )
