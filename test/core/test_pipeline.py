"""Test the pipeline of one camera: order and inputs of its stages."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pose_ros.estimator import Estimate
from pose_ros.people import People
from pose_ros.pipeline import CameraImage, PosePipeline

STAGES = ("refine", "track", "smooth", "lift")
IMAGE = CameraImage(np.zeros((4, 6, 3), np.uint8), "rgb", 5)


def person(x: float) -> People:
    return People(np.full((1, 17, 2), x), np.ones((1, 17)), np.ones(1))


class Estimator:
    """Fake estimator. It finds a person at x = 1, and records its calls."""

    def __init__(self) -> None:
        self.images: list[tuple[Any, str]] = []

    def process(self, image: Any, colour: str = "bgr") -> Estimate:
        self.images.append((image, colour))
        return Estimate(person(1), 2.0, 3.0, 4.0)


def test_without_stages_the_estimate_passes_through() -> None:
    estimator = Estimator()
    estimate = PosePipeline(estimator).process(IMAGE)
    assert estimator.images == [(IMAGE.image, "rgb")]
    assert np.array_equal(estimate.people.keypoints, person(1).keypoints)
    assert (estimate.preprocess_ms, estimate.network_ms, estimate.decode_ms) == (2.0, 3.0, 4.0)


def test_a_given_estimate_is_used() -> None:
    estimator = Estimator()
    estimate = PosePipeline(estimator).process(IMAGE, Estimate(person(7), 0.0, 0.0, 0.0))
    assert estimator.images == [] and estimate.people.keypoints[0, 0, 0] == 7


def test_each_stage_gets_the_people_of_the_previous_stage() -> None:
    calls: list[tuple[str, float, CameraImage]] = []

    def stage(name: str) -> Any:
        def run(people: People, image: CameraImage) -> People:
            calls.append((name, float(people.keypoints[0, 0, 0]), image))
            return replace(people, keypoints=people.keypoints + 1)

        return run

    pipeline = PosePipeline(Estimator(), **{name: stage(name) for name in STAGES})
    assert pipeline.process(IMAGE).people.keypoints[0, 0, 0] == 5
    assert calls == [(name, place, IMAGE) for place, name in enumerate(STAGES, 1)]


def test_the_estimator_may_be_replaced_between_images() -> None:
    first, second = Estimator(), Estimator()
    pipeline = PosePipeline(first)
    pipeline.process(IMAGE)
    pipeline.estimator = second
    pipeline.process(IMAGE)
    assert len(first.images) == len(second.images) == 1


def test_errors_of_the_estimator_are_raised() -> None:
    def refuse(image: Any, colour: str) -> Estimate:
        raise ValueError("image: expected uint8, got float32")

    with pytest.raises(ValueError, match="expected uint8"):
        PosePipeline(SimpleNamespace(process=refuse)).process(IMAGE)


def test_size_wh_is_width_and_height() -> None:
    assert IMAGE.size_wh == (6, 4)
