"""Test several input sizes per image (``preprocess.scales``)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from crop_network import write_crop_network

from pose_ros.config import AUTO, EstimatorConfig, PreprocessConfig, RuntimeConfig
from pose_ros.estimator import PoseEstimator
from pose_ros.pipeline import CameraImage, PosePipeline
from pose_ros.view_merging import consensus

RUNTIME = RuntimeConfig(backend="onnx", threads=1, warm_up=False)


def load(**preprocess: object) -> PoseEstimator:
    return PoseEstimator.load(config=EstimatorConfig(PreprocessConfig(**preprocess), RUNTIME))


def test_the_people_of_both_sizes_are_merged(shared: Path) -> None:
    image = cv2.imread(str(sorted((shared / "images/coco_val/images").glob("*.jpg"))[4]))
    single = [load(short_side=side).estimate(image) for side in (128, 256)]
    estimator = load(scales=(128, 256))
    merged = estimator.process_batch([image, image[:, ::-1]], ["bgr", "bgr"])[0]
    expected = consensus(single, estimator.skeleton)
    assert len(expected) > 0
    np.testing.assert_allclose(merged.people.keypoints, expected.keypoints, atol=1e-3)
    np.testing.assert_allclose(merged.people.person_scores, expected.person_scores, atol=1e-4)
    assert min(merged.preprocess_ms, merged.network_ms, merged.decode_ms) > 0


def test_one_size_is_the_default() -> None:
    config = PreprocessConfig(short_side=192)
    assert config.views() == (config,)
    assert [view.short_side for view in PreprocessConfig(scales=(256, 448)).views()] == [256, 448]
    assert PreprocessConfig(scales=(256, 448)).views()[0] == replace(config, short_side=256)


@pytest.mark.parametrize("scales", [(), (0, 256), (256, 256), (-1,), (5000,), tuple(range(32, 64))])
def test_wrong_sizes_are_refused(scales: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"PreprocessConfig\.scales: expected"):
        PreprocessConfig(scales=scales)


def test_a_network_of_one_size_refuses_scales(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx to make a network")
    config = EstimatorConfig(PreprocessConfig(scales=(256, 448)), RUNTIME)
    with pytest.raises(ValueError, match=r"preprocess\.scales: expected \[0\] for a network with the only input size"):
        PoseEstimator.load(write_crop_network(tmp_path / "crop.onnx"), config=config)


def test_one_of_several_sizes_can_be_chosen(shared: Path) -> None:
    image = cv2.imread(str(sorted((shared / "images/coco_val/images").glob("*.jpg"))[4]))
    in_turn = load(scales=(128, 192), scale_order="alternate")
    assert in_turn.short_sides == (128, 192)
    chosen = in_turn.process_batch([image, image], ["bgr", "bgr"], views=[1, 0])
    assert [estimate.view for estimate in chosen] == [1, 0]
    for side, estimate in zip((192, 128), chosen, strict=True):
        expected = load(short_side=side).process(image)
        assert expected.view == 0 and len(expected.people) > 0
        np.testing.assert_allclose(estimate.people.keypoints, expected.people.keypoints, atol=1e-3)
    assert in_turn.process(image).view is None  # a single image has no order


def test_a_single_image_has_all_sizes_in_turn_and_says_so() -> None:
    texts: list[str] = []
    config = EstimatorConfig(PreprocessConfig(scales=(64, 96), scale_order="alternate"), RUNTIME)
    estimator = PoseEstimator.load(config=config, notify=texts.append)
    image = np.zeros((90, 120, 3), np.uint8)
    PosePipeline(estimator).process(CameraImage(image))
    assert estimator.count_views() == 2 and texts == []
    assert estimator.process(image).view is None
    assert texts == ["preprocess.scale_order: alternate is for a camera; a single image has all scales"]


@pytest.mark.parametrize("scales", [(0,), (64, 96)])
def test_a_single_image_has_one_size_with_auto(scales: tuple[int, ...]) -> None:
    estimator = load(short_side=AUTO, scales=scales)
    assert len(estimator.short_sides) > 1 and estimator.count_views() == 1
    wanted = min(estimator.short_sides, key=lambda side: abs(side - estimator.spec.input.short_side))
    assert estimator.preprocess.config.short_side == wanted  # evaluation reads it
    with pytest.warns(UserWarning, match="a single image has the preferred size"):
        assert estimator.process(np.zeros((90, 120, 3), np.uint8)).view is not None


def test_a_single_image_has_the_preferred_size_with_auto() -> None:
    texts: list[str] = []
    config = EstimatorConfig(PreprocessConfig(short_side=AUTO), RUNTIME)
    estimator = PoseEstimator.load(config=config, notify=texts.append)
    assert len(estimator.short_sides) == 5 and texts == []
    view = estimator.process(np.zeros((90, 120, 3), np.uint8)).view
    assert view is not None and estimator.short_sides[view] == estimator.spec.input.short_side
    assert len(texts) == 1 and texts[0].startswith("preprocess.short_side: auto follows the people of a camera")


def test_auto_has_no_effect_on_a_network_of_one_size(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx to make a network")
    texts: list[str] = []
    config = EstimatorConfig(PreprocessConfig(short_side=AUTO), RUNTIME)
    estimator = PoseEstimator.load(write_crop_network(tmp_path / "crop.onnx"), config=config, notify=texts.append)
    assert estimator.short_sides == (128,)
    assert [text for text in texts if text.startswith("preprocess.short_side: auto has no effect")]
    assert PosePipeline(estimator).choose_view(CameraImage(np.zeros((9, 9, 3), np.uint8))) is None
