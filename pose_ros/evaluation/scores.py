"""Evaluate a model or stored results: scores, errors and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pose_ros.datasets.pose_errors import KINDS
from pose_ros.datasets.sample import Sample
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.coco import Scores, average_precision
from pose_ros.evaluation.data import DataSet
from pose_ros.evaluation.data_sets import data_of
from pose_ros.evaluation.detections import Detections, spell_usually, to_detections
from pose_ros.evaluation.errors import ImageErrors, correct_kind, count_kinds, diagnose, drop_false_positives
from pose_ros.evaluation.masks import MaskScores, score_masks
from pose_ros.evaluation.model import ModelResults, PoseModel, Refined, SeveralViews, SharedPass, Track, run_model
from pose_ros.evaluation.pck import Pck, correct_keypoints
from pose_ros.people import People
from pose_ros.refinement.stage import RefinementStage
from pose_ros.skeleton import Skeleton


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of the detections in a data set.

    Attributes:
        data: Labelled images.
        detections: Detections in each image.
        scores: AP and AR. Empty if not all people of the data set are labelled.
        pck: Correct keypoints, by name of the measure.
        errors: Errors in each image.
        gains: AP gain if the errors of one kind, or the false positives, were corrected.
        unknown_keypoints: Keypoints of the data set that the model does not detect. They count as wrong everywhere.
        times_ms: Time of each stage, one number per image, ms.
        masks: Scores of the masks. None = no masks or no outlines.
    """

    data: DataSet
    detections: Sequence[Detections]
    scores: Scores
    pck: Mapping[str, Pck]
    errors: Sequence[ImageErrors]
    gains: Scores
    unknown_keypoints: tuple[str, ...] = ()
    times_ms: Mapping[str, Sequence[float]] = field(default_factory=dict)
    masks: MaskScores | None = None

    def numbers(self) -> dict[str, Any]:
        """Return all numbers as plain data for JSON."""
        names = self.data.skeleton.keypoint_names
        kinds = count_kinds(self.errors, len(names))
        return {
            "images": len(self.data),
            "labelled_people": sum(int((~image.ignored).sum()) for image in self.data.images),
            "found_people": sum(len(people) for people in self.detections),
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
            "keypoints_unknown_to_model": list(self.unknown_keypoints),
            "times_ms": {stage: summarise_times(times) for stage, times in self.times_ms.items()},
            "masks": None if self.masks is None else _mask_numbers(self.masks),
        }


def summarise_times(times_ms: Sequence[float]) -> dict[str, float]:
    """Compute median and 95th percentile without the first image, where libraries warm up."""
    times = np.asarray(times_ms[1:] or times_ms)
    return {"median": float(np.median(times)), "p95": float(np.percentile(times, 95))}


def evaluate_model(
    estimator: PoseEstimator,
    data: DataSet,
    groupings: Sequence[str] = (),
    *,
    flip: bool = False,
    short_sides: Sequence[int] = (),
    refinement: RefinementStage | None = None,
    track: Track = iter,
) -> dict[str, Evaluation]:
    """Evaluate a model with each grouping. Groupings share one run of the network per image, unless views are merged.

    Args:
        estimator: Model to evaluate.
        data: Labelled images.
        groupings: Names of the groupings. Default: the grouping of the estimator.
        flip: Whether to add the mirrored image as a view.
        short_sides: Shorter sides of the input, one view each, px. Default: as configured in the estimator.
        refinement: Second network that refines the people. None = off.
        track: Function that yields the images and shows the progress.

    Returns:
        Evaluations by grouping.

    Raises:
        FileNotFoundError: If an image is missing.
        ImportError: If pycocotools is missing.
        ValueError: If an image cannot be read, or the model lacks the fields of a grouping.
    """
    several = flip or bool(short_sides) or estimator.count_views() > 1
    model: PoseModel = (
        SeveralViews(estimator, groupings, short_sides, flip) if several else SharedPass(estimator, groupings)
    )
    if refinement is not None:
        model = Refined(model, refinement)
    return {name: evaluate_results(data, results) for name, results in run_model(model, data, track).items()}


def evaluate_results(data: DataSet, results: ModelResults) -> Evaluation:
    """Evaluate the results of a model."""
    skeleton, names = spell_usually(results.skeleton), data.skeleton.keypoint_names
    unknown = tuple(name for name in names if not _has_keypoint(skeleton, name))
    evaluation = evaluate_detections(data, results.detections, unknown, results.times_ms)
    return replace(evaluation, masks=score_masks(data.images, evaluation.errors, results.mask_ious))


def evaluate_detections(
    data: DataSet,
    detections: Sequence[Detections],
    unknown_keypoints: tuple[str, ...] = (),
    times_ms: Mapping[str, Sequence[float]] = {},
) -> Evaluation:
    """Evaluate detections.

    Args:
        data: Labelled images.
        detections: Detections in each image of ``data``.
        unknown_keypoints: Keypoints of the data set that the model does not detect.
        times_ms: Time of each stage, one number per image, ms.

    Raises:
        ImportError: If pycocotools is missing.
    """
    errors = diagnose(data, detections)
    scores, gains = (average_precision(data, detections), {}) if data.complete else ({}, {})
    if data.complete:
        gains = _compute_gains(data, detections, errors, scores["AP"])
    return Evaluation(
        data, detections, scores, correct_keypoints(data, detections), errors, gains, unknown_keypoints, times_ms
    )


def evaluate_samples(samples: Sequence[Sample], people: Sequence[People], skeleton: Skeleton) -> Scores:
    """Compute AP and AR of the people that a network in training detects, in pixels of the samples.

    Args:
        samples: All samples of a validation set.
        people: Detected people of each sample.
        skeleton: Skeleton of samples and people.

    Raises:
        ImportError: If pycocotools is missing.
    """
    data = data_of(samples, skeleton)
    return average_precision(data, [to_detections(each, skeleton, skeleton) for each in people])


def _compute_gains(
    data: DataSet, detections: Sequence[Detections], errors: Sequence[ImageErrors], baseline: float | None
) -> Scores:
    corrected = {kind: correct_kind(data, detections, errors, index) for index, kind in enumerate(KINDS) if index}
    corrected["false people"] = drop_false_positives(detections, errors)
    aps = {kind: average_precision(data, people)["AP"] for kind, people in corrected.items()}
    return {kind: None if ap is None or baseline is None else ap - baseline for kind, ap in aps.items()}


def _has_keypoint(skeleton: Skeleton, name: str) -> bool:
    of_shoulders = name == "neck" and {"left_shoulder", "right_shoulder"} <= set(skeleton.keypoint_names)
    return of_shoulders or name in skeleton.keypoint_names


def _mask_numbers(masks: MaskScores) -> dict[str, Any]:
    return {
        "labelled_people": masks.people,
        "matched_people": masks.matched,
        "mean_iou": masks.mean_iou,
        "mean_iou_of_all": masks.mean_iou_of_all,
    }


def _pck_numbers(pck: Pck, names: Sequence[str]) -> dict[str, Any]:
    shares = [None if np.isnan(share) else share for share in pck.by_keypoint.tolist()]
    return {"all": pck.total, "by_keypoint": dict(zip(names, shares, strict=True))}
