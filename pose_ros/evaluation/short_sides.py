"""Measure a model at several input sizes, and choose one.

A network is good at one size of person. Which input size is best therefore depends on the camera.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pose_ros.arrays import Image
from pose_ros.consensus import with_short_side
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.coco import average_precision
from pose_ros.evaluation.data import DataSet
from pose_ros.evaluation.detections import Detections, to_detections
from pose_ros.evaluation.model import Track

FACTORS = (0.5, 0.71, 1.0, 1.41)
"""Measured sizes, relative to the preferred size of the model."""
TOLERANCE = 0.02
"""Share of the best score that a faster size may lose."""


@dataclass(frozen=True)
class MeasuredSize:
    """Result of one input size.

    Attributes:
        short_side: Shorter side of the network input, px.
        score: AP with labels, otherwise people per image.
        time_ms: Median time of an image from the image to the people, ms.
    """

    short_side: int
    score: float
    time_ms: float


def default_short_sides(estimator: PoseEstimator) -> list[int]:
    """Return the sizes to measure: the preferred size of the model, two smaller ones and a larger one, px."""
    spec = estimator.spec.input
    sides = {max(spec.multiple, round(factor * spec.short_side / spec.multiple) * spec.multiple) for factor in FACTORS}
    return sorted(sides)


def count_people(
    estimator: PoseEstimator, images: Iterable[Image], short_sides: Sequence[int], least_score: float
) -> list[MeasuredSize]:
    """Count the people that each size finds.

    Args:
        estimator: The model.
        images: (H, W, 3) uint8 BGR, each.
        short_sides: Sizes, px.
        least_score: Lowest score of a person who counts.

    Raises:
        ValueError: If there is no image, or the model has a fixed input size.
    """
    people: list[list[int]] = []
    times: list[list[float]] = []
    estimators = _with_short_sides(estimator, short_sides)
    for image in images:
        estimates = [each.process(image) for each in estimators]
        people.append([int((each.people.person_scores >= least_score).sum()) for each in estimates])
        times.append([each.preprocess_ms + each.network_ms + each.decode_ms for each in estimates])
    if not people:
        raise ValueError("images: expected at least one image, got none")
    return _summarise(short_sides, np.mean(people, axis=0).tolist(), times)


def measure_precision(
    estimator: PoseEstimator, data: DataSet, short_sides: Sequence[int], track: Track = iter
) -> list[MeasuredSize]:
    """Measure the AP of each size.

    Args:
        estimator: The model.
        data: Labelled images, in which all people are labelled.
        short_sides: Sizes, px.
        track: Function that yields the images and shows the progress.

    Raises:
        FileNotFoundError: If an image is missing.
        ImportError: If pycocotools is missing.
        ValueError: If an image cannot be read, or the model has a fixed input size.
    """
    estimators = _with_short_sides(estimator, short_sides)
    detections: list[list[Detections]] = [[] for _ in estimators]
    times: list[list[float]] = []
    for labelled in track(data.images):
        image = labelled.read_image()
        estimates = [each.process(image) for each in estimators]
        for found, estimate in zip(detections, estimates, strict=True):
            found.append(to_detections(estimate.people, estimator.skeleton, data.skeleton))
        times.append([each.preprocess_ms + each.network_ms + each.decode_ms for each in estimates])
    scores = [average_precision(data, found)["AP"] or 0.0 for found in detections]
    return _summarise(short_sides, scores, times)


def choose_size(sizes: Sequence[MeasuredSize]) -> MeasuredSize:
    """Return the fastest size whose score is nearly the best."""
    enough = (1 - TOLERANCE) * max(size.score for size in sizes)
    return min((size for size in sizes if size.score >= enough), key=lambda size: size.time_ms)


def _with_short_sides(estimator: PoseEstimator, short_sides: Sequence[int]) -> list[PoseEstimator]:
    if estimator.spec.input.size_wh is not None:
        width, height = estimator.spec.input.size_wh
        raise ValueError(
            f"model {estimator.spec.name}: expected a network for any input size, got {height} x {width} px only; "
            "export it with --dynamic"
        )
    return [with_short_side(estimator, side) for side in short_sides]


def _summarise(
    short_sides: Sequence[int], scores: Sequence[float], times: Sequence[Sequence[float]]
) -> list[MeasuredSize]:
    medians = np.median(times[1:] or times, axis=0).tolist()  # without the first image, where libraries warm up
    return [MeasuredSize(*row) for row in zip(short_sides, scores, medians, strict=True)]
