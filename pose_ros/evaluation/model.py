"""A model asked about every image of a data set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pose_ros.arrays import Image
from pose_ros.consensus import Views
from pose_ros.decoder import fields_read, make_decoder
from pose_ros.estimator import PoseEstimator
from pose_ros.evaluation.data import DataSet, LabelledImage
from pose_ros.evaluation.detections import Detections, to_detections
from pose_ros.media.sources import read_image
from pose_ros.people import People
from pose_ros.preprocess import Preprocessor
from pose_ros.skeleton import Skeleton

Track = Callable[[Sequence[LabelledImage]], Iterable[LabelledImage]]
"""Passes images on, and shows how far it is."""
STAGES = ("preprocess", "network", "decode")


class PoseModel(Protocol):
    """Who finds people, in one or several ways.

    Attributes:
        skeleton: Of the people.
    """

    skeleton: Skeleton

    def ask(self, image_bgr: Image) -> dict[str, tuple[People, dict[str, float]]]:
        """The people of an image by way of grouping, and the time of each stage, ms."""
        ...


@dataclass(frozen=True)
class ModelResults:
    """What a model found in every image of a data set, grouped in one way.

    Attributes:
        skeleton: The keypoints that it finds.
        found: By image, on the skeleton of the data set.
        times_ms: By stage, one number for each image; empty where nobody measured.
    """

    skeleton: Skeleton
    found: list[Detections]
    times_ms: dict[str, list[float]]


class SharedPass:
    """One pass of the network for an image, and a decoder for each way of grouping."""

    def __init__(self, estimator: PoseEstimator, groupings: Sequence[str] = ()) -> None:
        spec, config = estimator.spec, estimator.config
        groupings = list(groupings or [estimator.grouping])
        self.skeleton = spec.skeleton
        self._spec, self._runner = spec, estimator.runner
        self._preprocess = Preprocessor(spec.input, config.preprocess)
        self._decoders = {grouping: make_decoder(spec, grouping, config.decoder) for grouping in groupings}
        read = {field for grouping in groupings for field in fields_read(spec, grouping, config.decoder)}
        self._wanted = {head.tensor for head in spec.heads if head.field in read}

    def ask(self, image_bgr: Image) -> dict[str, tuple[People, dict[str, float]]]:
        """The people by way of grouping; of the times, the first two are shared."""
        start = time.perf_counter()
        tensor, transform = self._preprocess(image_bgr)
        prepared = time.perf_counter()
        fields = self._spec.fields(self._runner.run({self._spec.input.tensor: tensor}, self._wanted))
        shared = {"preprocess": 1e3 * (prepared - start), "network": 1e3 * (time.perf_counter() - prepared)}
        answers = {}
        for grouping, decode in self._decoders.items():
            start = time.perf_counter()
            people = decode(fields)
            people = people.with_keypoints(transform.to_image(people.keypoints))
            answers[grouping] = people, {**shared, "decode": 1e3 * (time.perf_counter() - start)}
        return answers


class SeveralViews:
    """Flip test and multi-scale: every way of grouping looks at all views, and their people are brought together."""

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
            grouping: Views([PoseEstimator(*parts, grouping)], None, short_sides, flip)
            for grouping in groupings or [estimator.grouping]
        }

    def ask(self, image_bgr: Image) -> dict[str, tuple[People, dict[str, float]]]:
        """The people by way of grouping; only the whole is timed."""
        answers = {}
        for grouping, views in self._views.items():
            start = time.perf_counter()
            people = views.estimate(image_bgr)
            answers[grouping] = people, {"all views": 1e3 * (time.perf_counter() - start)}
        return answers


def run_model(model: PoseModel, data: DataSet, track: Track = iter) -> dict[str, ModelResults]:
    """Ask about every image, one after the other, by way of grouping.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If it cannot be read.
    """
    collected: dict[str, ModelResults] = {}
    for image in track(data.images):
        for grouping, (people, times) in model.ask(read_image(image.file)).items():
            answer = collected.setdefault(grouping, ModelResults(model.skeleton, [], {stage: [] for stage in times}))
            answer.found.append(to_detections(people, model.skeleton, data.skeleton))
            for stage, time_ms in times.items():
                answer.times_ms[stage].append(time_ms)
    return collected
