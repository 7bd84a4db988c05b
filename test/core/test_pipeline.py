"""Test the pipeline of one camera: order and inputs of its stages."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pose_ros.config import EstimatorConfig, SmoothingConfig, TrackingConfig
from pose_ros.estimator import Estimate
from pose_ros.people import People
from pose_ros.pipeline import CameraImage, PosePipeline
from pose_ros.skeleton import COCO_17

STAGES = ("refine", "track", "smooth", "lift")
IMAGE = CameraImage(np.zeros((4, 6, 3), np.uint8), "rgb", 5)


def person(x: float) -> People:
    return People(np.full((1, 17, 2), x), np.ones((1, 17)), np.ones(1))


class Estimator:
    """Fake estimator. It finds a person at x = 1, and records its calls."""

    skeleton, config = COCO_17, EstimatorConfig(tracking=TrackingConfig(hits=1))

    def __init__(self) -> None:
        self.images: list[tuple[Any, str]] = []

    def process(self, image: Any, colour: str = "bgr", *, view: int | None = None) -> Estimate:
        self.images.append((image, colour))
        return Estimate(person(1), 2.0, 3.0, 4.0)


def test_without_stages_the_estimate_passes_through() -> None:
    estimator = Estimator()
    estimate = PosePipeline(estimator).process(IMAGE)
    assert estimator.images == [(IMAGE.image, "rgb")]
    assert np.array_equal(estimate.people.keypoints, person(1).keypoints)
    assert (estimate.preprocess_ms, estimate.network_ms) == (2.0, 3.0) and estimate.decode_ms > 4.0


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
    def refuse(image: Any, colour: str, *, view: int | None) -> Estimate:
        raise ValueError("image: expected uint8, got float32")

    fake = SimpleNamespace(process=refuse, skeleton=COCO_17, config=EstimatorConfig())
    with pytest.raises(ValueError, match="expected uint8"):
        PosePipeline(fake).process(IMAGE)


def test_size_wh_is_width_and_height() -> None:
    assert IMAGE.size_wh == (6, 4)


def test_people_get_ids_and_keep_them_when_settings_change() -> None:
    pipeline = PosePipeline(Estimator())
    ids = [pipeline.process(replace(IMAGE, stamp_ns=i * 10**8)).people.ids.tolist() for i in range(1, 4)]
    pipeline.configure(TrackingConfig(hits=3), SmoothingConfig(enabled=True))
    smoothed = pipeline.process(replace(IMAGE, stamp_ns=4 * 10**8)).people
    assert ids == [[0]] * 3 and smoothed.ids.tolist() == [0] and smoothed.raw_keypoints is not None
    pipeline.configure(TrackingConfig(enabled=False), SmoothingConfig(enabled=True))
    plain = pipeline.process(replace(IMAGE, stamp_ns=5 * 10**8)).people
    assert plain.ids.tolist() == [-1] and plain.raw_keypoints is None


def test_the_motion_of_the_camera_is_measured_on_request() -> None:
    config = EstimatorConfig(tracking=TrackingConfig(camera_motion=True))
    estimator = Estimator()
    estimator.config = config
    pipeline = PosePipeline(estimator)
    ids = [pipeline.process(replace(IMAGE, stamp_ns=i * 10**8)).people.ids.tolist() for i in range(1, 4)]
    assert ids[-1] == [0]
