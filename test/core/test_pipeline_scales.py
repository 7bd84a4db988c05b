"""Test input sizes in turn (``preprocess.scale_order``) and by the people (``short_side: auto``)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pose_ros.config import AUTO, EstimatorConfig, PreprocessConfig, TrackingConfig, check_turns
from pose_ros.config_file import build_config
from pose_ros.estimator import Estimate
from pose_ros.people import People, TrackState
from pose_ros.pipeline import CameraImage, PosePipeline
from pose_ros.preprocess import ladder
from pose_ros.skeleton import COCO_17

IN_TURN = PreprocessConfig(scales=(256, 448), scale_order="alternate")
NEAR, FAR = 500.0, 90.0


def people_of(heights: list[float], n: int) -> People:
    """Make people of some heights who walk to the right."""
    bodies = [COCO_17.standing * height + (height + 0.01 * height * n, 50) for height in heights]
    return People(np.reshape(bodies, (-1, 17, 2)), np.full((len(bodies), 17), 0.7), np.full(len(bodies), 0.7))


class Estimator:
    """Fake estimator: sizes up to 300 px find only the near person, larger ones only the far person."""

    skeleton = COCO_17
    spec = SimpleNamespace(input=SimpleNamespace(short_side=352))

    def __init__(self, preprocess: PreprocessConfig, sides: tuple[int, ...], present: tuple[float, ...] = (NEAR, FAR)):
        self.config = EstimatorConfig(preprocess, tracking=TrackingConfig(hits=2))
        self.short_sides, self.present, self.views = sides, present, []

    def process(self, image: Any, colour: str, *, view: int) -> Estimate:
        wanted = NEAR if self.short_sides[view] <= 300 else FAR
        people = people_of([height for height in self.present if height == wanted], len(self.views))
        self.views.append(view)
        return Estimate(people, 1.0, 2.0, 3.0, view)


def run(pipeline: PosePipeline, count: int, start: int = 1) -> list[People]:
    image = np.zeros((720, 1280, 3), np.uint8)
    return [pipeline.process(CameraImage(image, "bgr", (start + n) * 50_000_000)).people for n in range(count)]


def test_people_of_both_sizes_stay_in_every_result() -> None:
    estimator = Estimator(IN_TURN, (256, 448))
    results = run(PosePipeline(estimator), 12)
    assert estimator.views == [0, 1] * 6  # one run of the network per image
    for n, people in enumerate(results[4:]):
        assert sorted(people.ids.tolist()) == [0, 1]
        seen, kept = people[people.states == TrackState.TRACKED], people[people.states == TrackState.LOST]
        assert len(seen) == len(kept) == 1  # who was not looked for in this image is marked
        height = np.ptp(kept.keypoints[0, :, 1])
        expected = NEAR if estimator.views[n + 4] == 1 else FAR
        assert height == pytest.approx(np.ptp(COCO_17.standing[:, 1]) * expected, rel=0.1)
        kept_at = people_of([expected], n + 4).keypoints[0]  # moved on with the velocity
        assert np.abs(kept.keypoints[0] - kept_at).max() < 0.05 * expected


def test_a_person_who_left_is_dropped_after_one_round() -> None:
    estimator = Estimator(IN_TURN, (256, 448))
    pipeline = PosePipeline(estimator)
    run(pipeline, 8)
    estimator.present = (NEAR,)
    counts = [len(people) for people in run(pipeline, 4, 9)]
    assert counts == [2, 1, 1, 1]


def test_three_sizes_in_turn() -> None:
    estimator = Estimator(PreprocessConfig(scales=(192, 256, 448), scale_order="alternate"), (192, 256, 448))
    results = run(PosePipeline(estimator), 15)
    assert all(sorted(people.ids.tolist()) == [0, 1] for people in results[6:])


def test_a_given_estimate_has_its_turn() -> None:
    estimator = Estimator(IN_TURN, (256, 448))
    pipeline = PosePipeline(estimator)
    image = CameraImage(np.zeros((720, 1280, 3), np.uint8), "bgr", 50_000_000)
    for expected in (0, 1, 0):
        view = pipeline.choose_view(image)
        assert view == expected
        pipeline.process(image, estimator.process(image.image, "bgr", view=view))


def test_auto_finds_the_far_person() -> None:
    sides = (176, 256, 352, 496, 704)
    estimator = Estimator(PreprocessConfig(short_side=AUTO), sides, (FAR,))
    results = run(PosePipeline(estimator), 60)
    assert np.mean([sides[view] > 300 for view in estimator.views]) > 0.8
    assert all(people.ids.tolist() == [0] for people in results[10:])  # a look at another size loses nobody


def test_wrong_settings_are_refused() -> None:
    for settings in ({}, {"scales": (256, 448), "short_side": AUTO}):
        with pytest.raises(ValueError, match=r"scale_order: expected together with one run per image, got alternate"):
            PreprocessConfig(scale_order="alternate", **settings)
    off = TrackingConfig(enabled=False)
    with pytest.raises(ValueError, match=r"preprocess\.scale_order: expected together without tracking"):
        EstimatorConfig(IN_TURN, tracking=off)
    check_turns(PreprocessConfig(scales=(256, 448)), off)


def test_auto_is_a_word_of_the_configuration() -> None:
    assert build_config(PreprocessConfig, {"short_side": "auto"}).short_side == AUTO
    with pytest.raises(TypeError, match=r"short_side: expected a whole number, got str 'large'"):
        build_config(PreprocessConfig, {"short_side": "large"})


def test_auto_has_few_sizes_within_the_default_limit() -> None:
    config = PreprocessConfig(short_side=AUTO)
    sides = ladder(SimpleNamespace(short_side=352, multiple=16))
    assert sides == (176, 256, 352, 496, 704)
    assert [view.short_side for view in config.views(sides)] == list(sides)
    assert {view.long_side for view in config.views(sides)} == {1312}  # the largest input of a default engine
    assert [view.short_side for view in PreprocessConfig(short_side=AUTO, scales=(192, 320)).views(sides)] == [192, 320]
    assert PreprocessConfig(short_side=AUTO).views()[0].short_side == 0  # a network of fixed size
