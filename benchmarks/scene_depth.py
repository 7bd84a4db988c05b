"""Make synthetic scenes with the measured depth image and imperfect keypoints, for the benchmark and the tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pose_ros.arrays import FloatArray
from pose_ros.datasets.synthetic.depth_sensor import DepthSensor
from pose_ros.datasets.synthetic.scene import SyntheticScene, scene
from pose_ros.depth.camera_model import CameraModel
from pose_ros.people import People


class MeasuredScene(NamedTuple):
    """Scene with what a network and a sensor see of it."""

    truth: SyntheticScene
    people: People
    depth_m: FloatArray
    camera: CameraModel


def measure_scene(
    seed: int, people: int, size_wh: tuple[int, int], jitter: float = 0.01, wall_gap_m: float | None = None
) -> MeasuredScene:
    """Make a scene.

    Args:
        seed: Seed of the scene and of the noise.
        people: Number of people.
        size_wh: Size of both images, px.
        jitter: Standard deviation of the error of keypoints, relative to the height of the person.
        wall_gap_m: Distance of a wall behind the farthest keypoint. None = the wall of the room.
    """
    view, rng = scene(seed, people, size_wh, time_s=seed), np.random.default_rng(seed)
    depth_m = view.depth_m
    if wall_gap_m is not None:
        wall_m = np.float32(view.keypoints_3d_m[..., 2].max() + wall_gap_m)
        depth_m = np.where(view.people_map > 0, depth_m, np.minimum(depth_m, wall_m))
    heights = np.ptp(view.keypoints_px[..., 1], axis=1)
    xy = view.keypoints_px + jitter * heights[:, None, None] * rng.standard_normal(view.keypoints_px.shape)
    scores = (view.visible | view.hidden_by_self).astype(np.float32)
    keypoints = np.where(scores[..., None] > 0, xy, 0).astype(np.float32)
    labelled = People(keypoints, scores, np.ones(people, np.float32))
    return MeasuredScene(view, labelled, DepthSensor().measure(depth_m, rng), CameraModel(size_wh, view.camera.matrix))
