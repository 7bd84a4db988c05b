"""Test the pipeline with depth: a walk of synthetic people, whose true points in metres are known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scene_depth import MeasuredScene, measure_scene

from pose_ros.config import DepthConfig, EstimatorConfig, SmoothingConfig, TrackingConfig
from pose_ros.estimator import Estimate
from pose_ros.people import People, TrackState
from pose_ros.pipeline import CameraImage, PosePipeline
from pose_ros.skeleton import OPENPOSE_18

SIZE_WH = (424, 240)
NAN_FIELDS = ("keypoints_3d", "deviations_3d", "positions_3d", "position_deviations_3d")


@pytest.fixture(scope="module")
def view() -> MeasuredScene:
    return measure_scene(3, 2, SIZE_WH)


def make_pipeline(people: People, on_depth_error: Any = None, **settings: Any) -> PosePipeline:
    stages: dict[str, Any] = {"tracking": TrackingConfig(hits=1), "depth": DepthConfig(enabled=True)}
    config = EstimatorConfig(**(stages | settings))
    process = lambda *_, view: Estimate(people, 1.0, 1.0, 1.0)  # noqa: E731
    estimator: Any = SimpleNamespace(skeleton=OPENPOSE_18, config=config, process=process)
    return PosePipeline(estimator, **({"on_depth_error": on_depth_error} if on_depth_error else {}))


def image_of(view: MeasuredScene, index: int = 0, **changes: Any) -> CameraImage:
    """Return the image of the scene, 100 ms after the last one."""
    image = CameraImage(view.truth.image_bgr, "bgr", 10**9 + index * 10**8, view.depth_m, view.camera)
    return replace(image, **changes)


def is_unknown(people: People) -> bool:
    return all(np.isnan(getattr(people, name)).all() for name in NAN_FIELDS)


def test_people_are_lifted_and_rest(view: MeasuredScene) -> None:
    pipeline = make_pipeline(view.people)
    people = [pipeline.process(image_of(view, index)).people for index in range(8)][-1]
    errors = np.linalg.norm(people.keypoints_3d - view.truth.keypoints_3d_m, axis=2)[view.truth.visible]
    assert np.nanmedian(errors) < 0.1 and np.isfinite(errors).mean() > 0.7
    assert np.abs(people.velocities_3d).max() < 0.05 and (people.position_deviations_3d > 0).all()


def test_the_velocity_is_that_in_the_frame_of_the_results(view: MeasuredScene) -> None:
    """The camera moves by 0.1 m along x per image, and nothing moves in its images."""
    pipeline, matrix = make_pipeline(view.people), np.eye(4)
    for index in range(8):
        matrix[0, 3] = 0.1 * index
        transform = matrix.copy()
        people = pipeline.process(image_of(view, index, find_transform=lambda t=transform: t)).people
    assert np.abs(people.velocities_3d - (1.0, 0, 0)).max() < 0.1
    assert np.abs(people.positions_3d[:, 0] - 0.7).min() < 2.0


def test_without_a_transform_everything_is_unknown(view: MeasuredScene) -> None:
    people = make_pipeline(view.people).process(image_of(view, find_transform=lambda: None)).people
    assert is_unknown(people) and len(people) == 2


@pytest.mark.parametrize("changes", [{"depth": lambda: None}, {"camera": None}])
def test_missing_depth_or_calibration_is_unknown_never_0(view: MeasuredScene, changes: dict[str, Any]) -> None:
    assert is_unknown(make_pipeline(view.people).process(image_of(view, **changes)).people)


def test_without_depth_images_there_is_nothing(view: MeasuredScene) -> None:
    people = make_pipeline(view.people).process(image_of(view, depth=None)).people
    assert all(getattr(people, name) is None for name in (*NAN_FIELDS, "velocities_3d"))
    off = make_pipeline(view.people, depth=DepthConfig()).process(image_of(view)).people
    assert off.keypoints_3d is None


def test_monocular_positions_have_no_keypoints(view: MeasuredScene) -> None:
    pipeline = make_pipeline(view.people, depth=DepthConfig(enabled=True, monocular=True))
    people = pipeline.process(image_of(view, depth=None)).people
    assert people.keypoints_3d is None and np.isfinite(people.positions_3d).all()


def test_depth_is_read_after_the_network_and_only_for_people(view: MeasuredScene) -> None:
    calls: list[str] = []

    def find() -> Any:
        calls.append("depth")
        return view.depth_m

    empty = make_pipeline(People.empty(18)).process(image_of(view, depth=find)).people
    assert calls == [] and empty.keypoints_3d.shape == (0, 18, 3)
    assert np.isfinite(make_pipeline(view.people).process(image_of(view, depth=find)).people.keypoints_3d).any()


def test_a_broken_depth_image_keeps_the_people(view: MeasuredScene) -> None:
    errors: list[Exception] = []
    wrong = image_of(view, depth=np.ones((240, 240), np.float32))
    assert is_unknown(make_pipeline(view.people, errors.append).process(wrong).people)
    assert "aspect ratio" in str(errors[0])
    with pytest.raises(ValueError, match="aspect ratio"):
        make_pipeline(view.people).process(wrong)


def test_predicted_people_are_unknown_in_metres(view: MeasuredScene) -> None:
    """Something hides them, so the depth image shows something else."""
    pipeline = make_pipeline(view.people, tracking=TrackingConfig(hits=1, bridge_s=2.0))
    for index in range(3):
        pipeline.process(image_of(view, index))
    nobody = Estimate(People.empty(18), 1.0, 1.0, 1.0)
    people = pipeline.process(image_of(view, 3), nobody).people
    assert (people.states == TrackState.LOST).all() and len(people) == 2 and is_unknown(people)


def test_smoothing_in_space_reduces_jitter(view: MeasuredScene) -> None:
    rng = np.random.default_rng(0)
    depths = [view.depth_m + 0.04 * rng.standard_normal() for _ in range(20)]
    spreads = {}
    for enabled in (False, True):
        pipeline = make_pipeline(view.people, smoothing=SmoothingConfig(enabled=enabled))
        found = [pipeline.process(image_of(view, i, depth=each)).people for i, each in enumerate(depths)]
        z = np.array([people.keypoints_3d[..., 2] for people in found[5:]])
        both = np.isfinite(z).all(axis=0)
        spreads[enabled] = float(z[:, both].std(axis=0).mean())
        positions = np.array([people.positions_3d[:, 2] for people in found[5:]])
        assert np.isfinite(positions).all()
    assert spreads[True] < 0.8 * spreads[False]


def test_settings_may_change(view: MeasuredScene) -> None:
    pipeline = make_pipeline(view.people, depth=DepthConfig())
    assert pipeline.process(image_of(view)).people.keypoints_3d is None
    pipeline.configure(TrackingConfig(hits=1), SmoothingConfig(), DepthConfig(enabled=True))
    assert pipeline.process(image_of(view, 1)).people.keypoints_3d is not None
