"""Test the distance of people without a depth image."""

from __future__ import annotations

import numpy as np
import pytest
from scene_depth import measure_scene

from pose_ros.config import DepthConfig
from pose_ros.depth.monocular import estimate_positions
from pose_ros.people import People
from pose_ros.skeleton import COCO_17, OPENPOSE_18


def test_distance_agrees_with_the_proportions_of_people():
    errors, ratios = [], []
    corners = [OPENPOSE_18.index(f"{side}_{name}") for side in ("left", "right") for name in ("shoulder", "hip")]
    for seed in range(8):
        view = measure_scene(seed, 3, (640, 360))
        result = estimate_positions(view.people, view.camera, OPENPOSE_18)
        assert result.is_monocular and np.isnan(result.keypoints_m).all()
        whole = view.people.visible[:, corners].all(axis=1)
        truth = np.linalg.norm(view.truth.keypoints_3d_m[whole][:, corners].mean(axis=1), axis=1)
        found = np.linalg.norm(result.positions_m[whole], axis=1)
        errors += list(found / truth - 1)
        ratios += list(np.abs(found - truth) / result.position_sigmas_m[whole])
    assert len(errors) > 12 and np.median(np.abs(errors)) < 0.12 and np.abs(np.median(errors)) < 0.1
    assert np.mean(np.array(ratios) < 2) > 0.9


def test_height_of_people_is_a_setting():
    view = measure_scene(0, 2, (640, 360))
    tall, small = (
        estimate_positions(view.people, view.camera, OPENPOSE_18, DepthConfig(body_height_m=height))
        for height in (1.8, 0.9)
    )
    np.testing.assert_allclose(tall.positions_m, 2 * small.positions_m, rtol=1e-5)


@pytest.mark.parametrize("shown", [[], ["nose"], ["nose", "left_eye"]])
def test_without_a_limb_the_position_is_unknown(shown):
    scores = np.array([[float(name in shown) for name in COCO_17.keypoint_names]], np.float32)
    keypoints = np.where(scores[..., None] > 0, np.arange(34).reshape(1, 17, 2) + 5.0, 0)
    view = measure_scene(0, 1, (640, 360))
    result = estimate_positions(People(keypoints, scores, np.ones(1)), view.camera, COCO_17)
    assert np.isnan(result.positions_m).all() and np.isnan(result.position_sigmas_m).all()
