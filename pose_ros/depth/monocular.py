"""Estimate the distance of people without a depth image, from the proportions of the body.

A limb of known length L that looks l long at distance 1 is L / l away if it is parallel to the image. Otherwise it is
nearer. So the limbs that look longest count.
"""

from __future__ import annotations

import numpy as np

from pose_ros.config import DepthConfig
from pose_ros.depth.camera_model import CameraModel
from pose_ros.depth.lifting import LiftedPeople
from pose_ros.depth.proportions import Proportions, find_positions, measure_heights
from pose_ros.people import People
from pose_ros.skeleton import Skeleton

_RELATIVE_ERROR = 0.15
"""Standard deviation of the distance, relative to it: heights of adults 6 %, proportions and posture the rest."""


def estimate_positions(
    people: People, camera: CameraModel, skeleton: Skeleton, settings: DepthConfig | None = None
) -> LiftedPeople:
    """Estimate the positions of people from the proportions of their bodies.

    Args:
        people: N people of K keypoints, in pixels of the camera.
        camera: Camera of the image.
        skeleton: Skeleton of the people.
        settings: Settings, with the height of a person. None = defaults.

    Returns:
        Positions with ``is_monocular``. Keypoints are unknown. A person without a limb that tells its size has no
        position.

    Raises:
        ValueError: If the people have another number of keypoints than the skeleton.
    """
    settings, body = settings or DepthConfig(), Proportions.of(skeleton)
    body.check_keypoints(people)
    rays = np.where(people.visible[..., None], camera.rays(people.keypoints), np.nan)
    has_size = (people.visible[:, body.limbs[:, 0]] & people.visible[:, body.limbs[:, 1]]).any(axis=1)
    with np.errstate(divide="ignore"):
        distances = settings.body_height_m / measure_heights(rays, people.visible, body)
    distances = np.where(has_size & np.isfinite(distances), distances, np.nan)
    directions, _ = find_positions(rays, np.zeros(rays.shape[:2]), body)
    positions = directions * distances[:, None]
    if camera.rotation is not None:
        positions = positions @ camera.rotation.T
    sigmas = _RELATIVE_ERROR * distances * np.sqrt((directions**2).sum(axis=1))
    unknown = np.full(rays.shape, np.nan, np.float32)
    return LiftedPeople(unknown, unknown[..., 0], positions.astype(np.float32), sigmas.astype(np.float32), True)
