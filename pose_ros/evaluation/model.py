"""Run a model on every image of a data set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pose_ros.arrays import DoubleArray, Image
from pose_ros.consensus import Views
from pose_ros.decoder import fields_to_read, make_decoder
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.data import DataSet, LabelledImage
from pose_ros.evaluation.detections import Detections, to_detections
from pose_ros.evaluation.masks import mask_ious
from pose_ros.people import People
from pose_ros.refinement.stage import RefinementStage
from pose_ros.skeleton import Skeleton
from pose_ros.to_image import to_image

Track = Callable[[Sequence[LabelledImage]], Iterable[LabelledImage]]
"""Function that yields the images unchanged and shows the progress."""
STAGES = ("preprocess", "network", "decode")


class PoseModel(Protocol):
    """Model that detects people with one or several groupings.

    Attributes:
        skeleton: Skeleton of the people.
    """

    skeleton: Skeleton

    def detect(self, image_bgr: Image) -> dict[str, tuple[People, dict[str, float]]]:
        """Detect the people of an image with each grouping, and measure the time of each stage, ms."""
        ...


@dataclass(frozen=True)
class ModelResults:
    """Detections of a model with one grouping in every image of a data set.

    Attributes:
        skeleton: Skeleton of the model.
        detections: Detections in each image, on the skeleton of the data set.
        times_ms: Time of each stage, one number per image, ms. Empty if not measured.
        mask_ious: Result of ``mask_ious`` for each image.
    """

    skeleton: Skeleton
    detections: list[Detections]
    times_ms: dict[str, list[float]]
    mask_ious: list[DoubleArray | None] = field(default_factory=list)


class SharedPass:
    """Model that runs the network once per image, and a decoder for each grouping.

    Args:
        estimator: Estimator of the network. With ``short_side: auto``, each image has the preferred size.
        groupings: Groupings of keypoints. Empty = that of the estimator.

    Raises:
        ValueError: If the network refines a known pose, or lacks the fields of a grouping.
    """

    def __init__(self, estimator: PoseEstimator, groupings: Sequence[str] = ()) -> None:
        estimator.check_finds_people()
        spec, config = estimator.spec, estimator.config
        groupings = list(groupings or [estimator.grouping])
        self.skeleton = spec.skeleton
        self._spec, self._runner = spec, estimator.runner
        self._preprocess = estimator.preprocess
        self._decoders = {grouping: make_decoder(spec, grouping, config.decoder) for grouping in groupings}
        read = {field for grouping in groupings for field in fields_to_read(spec, grouping, config.decoder)}
        self._wanted = {head.tensor for head in spec.heads if head.field in read}

    def detect(self, image_bgr: Image) -> dict[str, tuple[People, dict[str, float]]]:
        """Detect people with each grouping. All groupings share the times of ``preprocess`` and ``network``."""
        start = time.perf_counter()
        tensor, transform = self._preprocess(image_bgr)
        prepared = time.perf_counter()
        outputs = self._runner.run({self._spec.input.tensor: tensor}, self._wanted)
        fields = self._spec.fields(outputs, input_wh=transform.input_wh)
        shared = {"preprocess": 1e3 * (prepared - start), "network": 1e3 * (time.perf_counter() - prepared)}
        results = {}
        for grouping, decode in self._decoders.items():
            start = time.perf_counter()
            people = decode(fields)
            people = to_image(people, self._spec, transform)
            results[grouping] = people, {**shared, "decode": 1e3 * (time.perf_counter() - start)}
        return results


class Refined:
    """Another model whose people a second network refines.

    Args:
        model: The other model.
        refinement: The second network.
    """

    def __init__(self, model: PoseModel, refinement: RefinementStage) -> None:
        self.skeleton = model.skeleton
        self._model, self._refinement = model, refinement

    def detect(self, image_bgr: Image) -> dict[str, tuple[People, dict[str, float]]]:
        """Detect people with each grouping, refine them, and measure that time as the stage ``refine``."""
        results = {}
        for grouping, (people, times) in self._model.detect(image_bgr).items():
            start = time.perf_counter()
            refined = self._refinement.refine(people, image_bgr)
            results[grouping] = refined, {**times, "refine": 1e3 * (time.perf_counter() - start)}
        return results


class SeveralViews:
    """Model with flip test and multiple scales: each grouping merges the people of all views."""

    def __init__(
        self,
        estimator: PoseEstimator,
        groupings: Sequence[str] = (),
        short_sides: Sequence[int] = (),
        flip: bool = True,
    ) -> None:
        self.skeleton = estimator.skeleton
        parts = estimator.runner, estimator.spec, estimator.config
        self._views = {
            grouping: Views([PoseEstimator(*parts, grouping, notify=estimator.notify)], None, short_sides, flip)
            for grouping in groupings or [estimator.grouping]
        }

    def detect(self, image_bgr: Image) -> dict[str, tuple[People, dict[str, float]]]:
        """Detect people with each grouping. Only the total time is measured."""
        results = {}
        for grouping, views in self._views.items():
            start = time.perf_counter()
            people = views.estimate(image_bgr)
            results[grouping] = people, {"all views": 1e3 * (time.perf_counter() - start)}
        return results


def run_model(model: PoseModel, data: DataSet, track: Track = iter) -> dict[str, ModelResults]:
    """Run a model on every image, one by one.

    Returns:
        Results by grouping.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If an image cannot be read, or its size is not that in the labels.
    """
    results: dict[str, ModelResults] = {}
    for image in track(data.images):
        for grouping, (people, times) in model.detect(image.read_image()).items():
            result = results.setdefault(grouping, ModelResults(model.skeleton, [], {stage: [] for stage in times}))
            result.detections.append(to_detections(people, model.skeleton, data.skeleton))
            result.mask_ious.append(mask_ious(people, image))
            for stage, time_ms in times.items():
                result.times_ms[stage].append(time_ms)
    return results
