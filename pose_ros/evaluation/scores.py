"""All numbers of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pose_ros.datasets.sample import Sample
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.coco import Scores, average_precision
from pose_ros.evaluation.data import DataSet
from pose_ros.evaluation.data_sets import data_of
from pose_ros.evaluation.detections import Detections, to_detections
from pose_ros.evaluation.errors import KINDS, ImageErrors, corrected, counted, diagnose, without_false
from pose_ros.evaluation.model import ModelResults, PoseModel, SeveralViews, SharedPass, Track, run_model
from pose_ros.evaluation.pck import Pck, correct_keypoints
from pose_ros.people import People
from pose_ros.skeleton import Skeleton


@dataclass(frozen=True)
class Evaluation:
    """How good results are.

    Attributes:
        data: What they are held against.
        found: The results, by image.
        scores: AP and AR; empty for a data set where not everybody is labelled.
        pck: By measure.
        errors: By image.
        gains: What AP would gain if the errors of a kind, or false people, were not there.
        lacking: Keypoints of the data set that the model does not know: they are wrong everywhere.
        times_ms: By stage, one number for each image.
    """

    data: DataSet
    found: Sequence[Detections]
    scores: Scores
    pck: Mapping[str, Pck]
    errors: Sequence[ImageErrors]
    gains: Scores
    lacking: tuple[str, ...] = ()
    times_ms: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        names = self.data.skeleton.keypoint_names
        kinds = counted(self.errors, len(names))
        return {
            "images": len(self.data),
            "labelled_people": sum(int((~image.ignored).sum()) for image in self.data.images),
            "found_people": sum(len(people) for people in self.found),
            "missed_people": sum(int(image.missed.sum()) for image in self.errors),
            "false_people": sum(int(image.false.sum()) for image in self.errors),
            "scores": dict(self.scores),
            "pck": {name: _pck_numbers(pck, names) for name, pck in self.pck.items()},
            "errors": dict(zip(KINDS, kinds.sum(axis=0).tolist(), strict=True)),
            "misses_without_place": sum(int(image.absent.sum()) for image in self.errors),
            "errors_by_keypoint": {
                name: dict(zip(KINDS, row, strict=True)) for name, row in zip(names, kinds.tolist(), strict=True)
            },
            "gains": dict(self.gains),
            "keypoints_unknown_to_model": list(self.lacking),
            "times_ms": {stage: summary(times) for stage, times in self.times_ms.items()},
        }


def summary(times_ms: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile, without the first image, on which libraries warm up."""
    times = np.asarray(times_ms[1:] or times_ms)
    return {"median": float(np.median(times)), "p95": float(np.percentile(times, 95))}


def evaluate_model(
    estimator: PoseEstimator,
    data: DataSet,
    groupings: Sequence[str] = (),
    *,
    flip: bool = False,
    short_sides: Sequence[int] = (),
    track: Track = iter,
) -> dict[str, Evaluation]:
    """Evaluate a model, by way of grouping. Several share one pass of the network, unless there are several views.

    Args:
        estimator: The model.
        data: What to hold it against.
        groupings: Ways of grouping; by default the estimator's.
        flip: Ask about mirrored images, too.
        short_sides: Sizes to ask at, px; by default the model's.
        track: Shows how far it is.

    Raises:
        FileNotFoundError: If an image is missing.
        ImportError: If pycocotools is missing.
        ValueError: If an image cannot be read, or the model lacks the fields of a grouping.
    """
    several = flip or bool(short_sides)
    model: PoseModel = (
        SeveralViews(estimator, groupings, short_sides, flip) if several else SharedPass(estimator, groupings)
    )
    return {name: evaluate_answers(data, answer) for name, answer in run_model(model, data, track).items()}


def evaluate_answers(data: DataSet, answer: ModelResults) -> Evaluation:
    """Evaluate what a model has found."""
    unknown = tuple(name for name in data.skeleton.keypoint_names if not _finds(answer.skeleton, name))
    return evaluate_found(data, answer.found, unknown, answer.times_ms)


def evaluate_found(
    data: DataSet,
    found: Sequence[Detections],
    lacking: tuple[str, ...] = (),
    times_ms: Mapping[str, Sequence[float]] = {},
) -> Evaluation:
    """Evaluate results, one entry for each image.

    Raises:
        ImportError: If pycocotools is missing.
    """
    errors = diagnose(data, found)
    scores, gains = (average_precision(data, found), {}) if data.complete else ({}, {})
    if data.complete:
        gains = _gains(data, found, errors, scores["AP"])
    return Evaluation(data, found, scores, correct_keypoints(data, found), errors, gains, lacking, times_ms)


def evaluate_samples(samples: Sequence[Sample], people: Sequence[People], skeleton: Skeleton) -> Scores:
    """AP and AR of the people that a network in training found in its samples, in their pixels.

    Args:
        samples: All of a validation set.
        people: Of each of them.
        skeleton: Of both.

    Raises:
        ImportError: If pycocotools is missing.
    """
    data = data_of(samples, skeleton)
    return average_precision(data, [to_detections(each, skeleton, skeleton) for each in people])


def _gains(data: DataSet, found: Sequence[Detections], errors: Sequence[ImageErrors], now: float | None) -> Scores:
    better = {kind: corrected(data, found, errors, index) for index, kind in enumerate(KINDS) if index}
    better["false people"] = without_false(found, errors)
    aps = {kind: average_precision(data, people)["AP"] for kind, people in better.items()}
    return {kind: None if ap is None or now is None else ap - now for kind, ap in aps.items()}


def _finds(skeleton: Skeleton, name: str) -> bool:
    of_shoulders = name == "neck" and {"left_shoulder", "right_shoulder"} <= set(skeleton.keypoint_names)
    return of_shoulders or name in skeleton.keypoint_names


def _pck_numbers(pck: Pck, names: Sequence[str]) -> dict[str, Any]:
    shares = [None if np.isnan(share) else share for share in pck.by_keypoint.tolist()]
    return {"all": pck.total, "by_keypoint": dict(zip(names, shares, strict=True))}
